"""Parts that lie in rows and columns: a cut along two lengths of an image at once.

Where a length is shared out among many parts, most of each part is overlap. Parts that
are nearly square have less of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fcdcc_keras.partition.apcp import AxisPartition
from fcdcc_keras.partition.axis import Pair
from fcdcc_keras.partition.geometry import ConvGeometry
from fcdcc_keras.partition.parts import Parts

Slices = tuple[Any, ...]


@dataclass(frozen=True)
class Grid(Parts):
    """Parts in a grid, row by row."""

    axes: Pair
    """The axes that are cut; 0 for the height and so on."""
    counts: Pair
    """Parts along each of them, both at least 2; k_A is their product."""

    @cached_property
    def partitions(self) -> tuple[AxisPartition, AxisPartition]:
        """Where the parts lie along each axis."""
        (first, second), (down, across) = self.axes, self.counts
        return (
            AxisPartition(self.geometry.axis(first), down),
            AxisPartition(self.geometry.axis(second), across),
        )

    @cached_property
    def part(self) -> ConvGeometry:
        """Sizes of an image of a part, and of its convolution."""
        part = self.geometry
        for axis, along in zip(self.axes, self.partitions, strict=True):
            part = part.along(axis, along.input_rows, along.pads)
        return part

    def split(self, images: np.ndarray) -> np.ndarray:
        """Returns the parts.

        Args:
            images: X, shape ``(B, H, W, C)``.

        Returns:
            X_i, shape ``(k_A, B, Ĥ, Ŵ, C)``, padding included, same dtype.
        """
        down, across = self.counts
        size = (len(images), *self.part.input_size, images.shape[-1])
        parts = np.zeros((down * across, *size), images.dtype)
        starts = [
            range(along.offset, along.offset + along.parts * along.step, along.step)
            for along in self.partitions
        ]
        lengths = [along.input_rows for along in self.partitions]
        for part, (inside, there) in enumerate(self._places(starts, lengths, True)):
            parts[part][there] = images[inside]
        return parts

    def merge(self, blocks: np.ndarray, output: np.ndarray) -> None:
        """Fills in the output.

        Args:
            blocks: Y_ij, shape ``(k_A, k_B, B, h', w', f)``.
            output: Y, shape ``(B, H', W', N)``.
        """
        filters = blocks.shape[-1]
        lengths = [along.output_rows for along in self.partitions]
        starts = [
            range(0, along.parts * rows, rows)
            for along, rows in zip(self.partitions, lengths, strict=True)
        ]
        for part, (inside, there) in enumerate(self._places(starts, lengths, False)):
            for j, block in enumerate(blocks[part]):
                target = output[inside][..., j * filters : (j + 1) * filters]
                target[...] = block[there][..., : target.shape[-1]]

    def _places(
        self, starts: list[range], lengths: list[int], inputs: bool
    ) -> Iterator[tuple[Slices, Slices]]:
        """Yields where each part lies in the whole, and where that is in the part."""
        whole = self.geometry.input_size if inputs else self.geometry.output_size
        for first in starts[0]:
            for second in starts[1]:
                inside = [slice(None)] * (len(whole) + 1)
                there = list(inside)
                for axis, start, length in zip(
                    self.axes, (first, second), lengths, strict=True
                ):
                    begin = min(max(0, start), whole[axis])
                    end = max(begin, min(whole[axis], start + length))
                    inside[axis + 1] = slice(begin, end)
                    there[axis + 1] = slice(begin - start, end - start)
                yield tuple(inside), tuple(there)
