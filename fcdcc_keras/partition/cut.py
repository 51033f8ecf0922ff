"""Parts along one axis of a batch: its images, or one of the lengths of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from fcdcc_keras.partition.apcp import AxisPartition
from fcdcc_keras.partition.axis import Axis
from fcdcc_keras.partition.geometry import ConvGeometry
from fcdcc_keras.partition.parts import Parts

IMAGES = -1
"""The axis of a cut along the batch."""
View = tuple[int, int, int]
"""An array's shape with one axis in the middle: (outer, rows, inner), and channels."""


@dataclass(frozen=True)
class Cut(Parts):
    """Parts that follow each other along one axis."""

    parts: int
    """k_A."""
    index: int
    """The axis: 0 for the height and so on, or ``IMAGES``."""

    @cached_property
    def partition(self) -> AxisPartition:
        """Where the parts lie along the axis."""
        if self.index == IMAGES:
            return AxisPartition(Axis(self.images, self.images), self.parts)
        return AxisPartition(self.geometry.axis(self.index), self.parts)

    @cached_property
    def part(self) -> ConvGeometry:
        """Sizes of an image of a part, and of its convolution."""
        if self.index == IMAGES or self.parts == 1:
            return self.geometry
        along = self.partition
        return self.geometry.along(self.index, along.input_rows, along.pads)

    @property
    def part_images(self) -> int:
        """Images of a part."""
        return self.partition.input_rows if self.index == IMAGES else self.images

    @property
    def input_view(self) -> View:
        """How X is seen: ``(B, H, W, C)`` as ``(outer, rows, inner·C)``."""
        return _view((self.images, *self.geometry.input_size), self.index + 1)

    @property
    def output_view(self) -> View:
        """The same of Y."""
        return _view((self.images, *self.geometry.output_size), self.index + 1)


def _view(shape: tuple[int, ...], axis: int) -> View:
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
