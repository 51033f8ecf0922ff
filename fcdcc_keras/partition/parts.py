"""What every way of cutting a batch into parts has."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from fcdcc_keras.partition.geometry import ConvGeometry


@dataclass(frozen=True)
class Parts(ABC):
    """B images in k_A parts of one shape."""

    geometry: ConvGeometry
    """Of a whole image, with as many filters as a worker's kernel has."""
    images: int
    """B."""

    @property
    @abstractmethod
    def part(self) -> ConvGeometry:
        """Sizes of an image of a part, and of its convolution."""

    @property
    def part_images(self) -> int:
        """Images of a part."""
        return self.images

    @property
    def upload(self) -> int:
        """Numbers in a part of X."""
        pixels = math.prod(self.part.input_size)
        return self.part_images * pixels * self.geometry.channels

    @property
    def answer(self) -> int:
        """Numbers in a part's output."""
        pixels = math.prod(self.part.output_size)
        return self.part_images * pixels * self.geometry.filters
