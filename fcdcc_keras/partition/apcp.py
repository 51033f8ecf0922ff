"""APCP: adaptive-padding coded partitioning of the input, along its height.

FCDCC, arXiv:2411.01579. The padded input is cut into k_A overlapping parts that
each yield h' = ⌈H'/k_A⌉ output rows: part i starts at row i·h'·s and is
Ĥ = (h' − 1)·s + D_H rows high. Rows missing at the bottom are zeros.

With k_A = 1 the only part is the input as it is, unpadded, Ĥ = H.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from fcdcc_keras.partition.geometry import ConvGeometry, Pair


@dataclass(frozen=True)
class Band:
    """Rows of the parts that lie in X, or in Y, for the same parts."""

    rows: range
    """The rows, counted from the start of each part."""
    parts: range
    """The parts; in the others these rows are padding."""


@dataclass(frozen=True)
class HeightPartition:
    """Where k_A parts lie in the input, by height, and their outputs in the output."""

    geometry: ConvGeometry
    parts: int
    """k_A."""

    @property
    def output_rows(self) -> int:
        """h': output rows of each part."""
        return -(-self.geometry.output_size[0] // self.parts)

    @property
    def input_rows(self) -> int:
        """Ĥ: input rows of each part, padding and overlap included."""
        if self.parts == 1:
            return self.geometry.input_size[0]
        stride = self.geometry.strides[0]
        return (self.output_rows - 1) * stride + self.geometry.dilated_kernel[0]

    @property
    def step(self) -> int:
        """h'·s: rows from the start of one part to that of the next."""
        return self.output_rows * self.geometry.strides[0]

    @property
    def filled_parts(self) -> int:
        """Parts whose output has rows of Y; those after them are all padding."""
        return -(-self.geometry.output_size[0] // self.output_rows)

    @property
    def pad_height(self) -> Pair:
        """Rows of zeros (above, below) that the convolution of a part adds."""
        return self.geometry.pad_height if self.parts == 1 else (0, 0)

    @property
    def offset(self) -> int:
        """Row of X at which part 0 starts; negative where it starts with padding."""
        return 0 if self.parts == 1 else -self.geometry.pad_height[0]

    @property
    def input_bands(self) -> tuple[Band, ...]:
        """The rows of the parts, r < Ĥ: row r of part i is row i·h'·s + r of X.

        Counted from ``offset``. No band is higher than h'·s, so that the rows of a
        band do not overlap.
        """
        height = self.geometry.input_size[0]
        return _bands(self.input_rows, self.step, self.offset, height, self.parts)

    @property
    def output_bands(self) -> tuple[Band, ...]:
        """The rows of the parts' outputs, r < h': row i·h' + r of Y."""
        rows, height = self.output_rows, self.geometry.output_size[0]
        return _bands(rows, rows, 0, height, self.parts)


@lru_cache(maxsize=1024)
def _bands(
    rows: int, step: int, offset: int, height: int, parts: int
) -> tuple[Band, ...]:
    """Cuts 0 ≤ r < rows into bands, at multiples of ``step`` too.

    A band ends where the i < parts with 0 ≤ offset + i·step + r < height change.
    """
    edges = {0, rows, *range(0, rows, step)}
    for i in range(parts):
        edges |= {-offset - i * step, height - offset - i * step}
    cuts = sorted(edge for edge in edges if 0 <= edge <= rows)
    bands = []
    for start, stop in pairwise(cuts):
        first = max(0, -((offset + start) // step))
        last = min(parts, -((offset + start - height) // step))
        bands.append(Band(range(start, stop), range(first, max(first, last))))
    return tuple(bands)
