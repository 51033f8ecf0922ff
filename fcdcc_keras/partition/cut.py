"""Which axis a batch is cut along: images, or one of the lengths of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from fcdcc_keras.partition.apcp import AxisPartition
from fcdcc_keras.partition.axis import Axis
from fcdcc_keras.partition.geometry import ConvGeometry

IMAGES = -1
"""The axis of a cut along the batch."""
View = tuple[int, int, int]
"""An array's shape with one axis in the middle: (outer, rows, inner), and channels."""


@dataclass(frozen=True)
class Cut:
    """B images in k_A parts of one shape, cut along one axis."""

    geometry: ConvGeometry
    """Of a whole image, with as many filters as a worker's kernel has."""
    images: int
    """B."""
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


@lru_cache(maxsize=4096)
def best_cut(geometry: ConvGeometry, filters: int, images: int, parts: int) -> Cut:
    """Returns the cut with the least to send and to return.

    Args:
        geometry: Sizes of the layer.
        filters: Channels that a worker returns.
        images: B.
        parts: k_A.
    """
    geometry = replace(geometry, filters=filters)
    axes = [0] if parts == 1 else list(range(geometry.rank))
    if images >= parts > 1:
        axes.append(IMAGES)
    cuts = [Cut(geometry, images, parts, index) for index in axes]
    # Of equal ones the first: along the height what lies in a row is longest.
    return min(cuts, key=lambda cut: cut.upload + cut.answer)


def _view(shape: tuple[int, ...], axis: int) -> View:
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
