"""APCP: adaptive-padding coded partitioning of the input, along one of its axes.

FCDCC, arXiv:2411.01579. The padded input is cut into k_A overlapping parts that
each yield h' = ⌈H'/k_A⌉ output rows: part i starts at row i·h'·s and is
Ĥ = (h' − 1)·s + D_H rows high. Rows missing at the bottom are zeros. A transposed
convolution's parts each yield h' = s·⌈⌈H'/s⌉/k_A⌉ rows, and part i starts at row
i·h'/s; ``Axis`` has both rules.

With k_A = 1 the only part is the input as it is, unpadded, Ĥ = H.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from fcdcc_keras.partition.axis import Axis, Pair, Window


@dataclass(frozen=True)
class Band:
    """Rows of the parts that lie in X, or in Y, for the same parts."""

    rows: range
    """The rows, counted from the start of each part."""
    parts: range
    """The parts; in the others these rows are padding."""


@dataclass(frozen=True)
class AxisPartition:
    """Where k_A parts lie in the input, along an axis, and their outputs in Y."""

    axis: Axis
    parts: int
    """k_A."""

    @property
    def output_rows(self) -> int:
        """h': output rows of each part."""
        if self.parts == 1:
            return self.axis.output
        return self._units * self.axis.output_step

    @property
    def input_rows(self) -> int:
        """Ĥ: input rows of each part, padding and overlap included."""
        return self._first.stop - self._first.start

    @property
    def step(self) -> int:
        """h'·s: rows from the start of one part to that of the next."""
        return self._units * self.axis.input_step

    @property
    def filled_parts(self) -> int:
        """Parts whose output has rows of Y; those after them are all padding."""
        return -(-self.axis.output // self.output_rows)

    @property
    def pads(self) -> Pair:
        """Padding of the convolution of a part; see ``Axis.pads``."""
        return self._first.pads

    @property
    def offset(self) -> int:
        """Row of X at which part 0 starts; negative where it starts with padding."""
        return self._first.start

    @property
    def input_bands(self) -> tuple[Band, ...]:
        """The rows of the parts, r < Ĥ: row r of part i is row i·h'·s + r of X.

        Counted from ``offset``. No band is higher than h'·s, so that the rows of a
        band do not overlap.
        """
        rows, step = self.input_rows, self.step
        return _bands(rows, step, self.offset, self.axis.size, self.parts)

    @property
    def output_bands(self) -> tuple[Band, ...]:
        """The rows of the parts' outputs, r < h': row i·h' + r of Y."""
        rows = self.output_rows
        return _bands(rows, rows, 0, self.axis.output, self.parts)

    @property
    def _units(self) -> int:
        return -(-self.axis.units // self.parts)

    @property
    def _first(self) -> Window:
        """What part 0 reads; the others read as many rows, further on."""
        if self.parts == 1:
            return Window(0, self.axis.size, self.axis.pads)
        return self.axis.window(range(self.output_rows))


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
