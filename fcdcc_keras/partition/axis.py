"""One axis along which a layer repeats itself: which rows its outputs depend on.

Symbols: rows of X are numbered by i, rows of Y by o; stride s, D the extent of the
kernel with its gaps. A convolution that adds p zeros before X has

    Y[o] = Σ_e K[e]·X[o·s + e − p],  0 ≤ e < D,

and a transposed convolution, of whose (H − 1)·s + D rows the first p are cropped,

    Y[o] = Σ_i K[o + p − i·s]·X[i],  0 ≤ o + p − i·s < D.

Moving on by one *unit*, the former reads s rows further on and yields the next row,
the latter reads the next row and yields s rows further on.
"""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Rows of X that some rows of Y depend on."""

    start: int
    """The first row; negative where it is padding."""
    stop: int
    """The row after the last; it may lie beyond X."""
    pads: Pair
    """Padding with which the layer makes of these rows those rows of Y exactly."""


@dataclass(frozen=True)
class Axis:
    """Sizes along one axis, in rows."""

    size: int
    """Rows of X."""
    output: int
    """Rows of Y."""
    extent: int = 1
    """D."""
    stride: int = 1
    """s."""
    pads: Pair = (0, 0)
    """Rows of zeros (before, after) that a convolution adds to X, or rows that a
    transposed one crops from its output; negative after: zeros that it appends."""
    transposed: bool = False

    @property
    def units(self) -> int:
        """Units that Y has; of the last one there may be a part only."""
        return -(-self.output // self.output_step)

    @property
    def input_step(self) -> int:
        """Rows of X by which a unit moves on."""
        return 1 if self.transposed else self.stride

    @property
    def output_step(self) -> int:
        """Rows of Y by which a unit moves on."""
        return self.stride if self.transposed else 1

    def window(self, output: range) -> Window:
        """Returns what some consecutive rows of Y depend on, at least one row."""
        s, p, extent = self.stride, self.pads[0], self.extent
        if not self.transposed:
            first = output.start * s - p
            return Window(first, (output.stop - 1) * s - p + extent, (0, 0))
        reached = output.start + p
        # Where s > D there are rows that no row of X reaches: one is read for them.
        first = min(-((extent - 1 - reached) // s), reached // s)
        stop = (output.stop - 1 + p) // s + 1
        return Window(
            first, stop, self._crop(reached - first * s, stop - first, output)
        )

    def inside(self, output: range) -> Window:
        """Returns the same, with no rows but those of X, and padding for the others."""
        window = self.window(output)
        start, stop = max(0, window.start), min(self.size, window.stop)
        before, after = start - window.start, window.stop - stop
        if not self.transposed:
            return Window(start, stop, (before, after))
        crop = window.pads[0] - before * self.stride
        return Window(start, stop, self._crop(crop, stop - start, output))

    def _crop(self, before: int, rows: int, output: range) -> Pair:
        """Returns the crop of a transposed convolution of so many rows of X."""
        whole = (rows - 1) * self.stride + self.extent
        return before, whole - before - len(output)
