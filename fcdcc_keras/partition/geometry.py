"""The sizes of one two-dimensional convolution, channels last.

Symbols: input X ``(B, H, W, C)``, kernel K ``(K_H, K_W, C, N)``, output Y
``(B, H', W', N)``, stride s, dilation d, D_H = (K_H − 1)·d + 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from fcdcc_keras.errors import PlanError

Pair = tuple[int, int]


@dataclass(frozen=True)
class ConvGeometry:
    """Sizes of a convolution over one image; lengths in pixels."""

    input_size: Pair
    """(H, W), before padding."""
    channels: int
    """C, channels of the input."""
    filters: int
    """N, channels of the output."""
    kernel_size: Pair
    """(K_H, K_W)."""
    strides: Pair = (1, 1)
    dilation_rate: Pair = (1, 1)
    padding: Literal["valid", "same"] | tuple[Pair, Pair] = "valid"
    """"valid", "same", or the zeros themselves: ((above, below), (left, right))."""

    def __post_init__(self) -> None:
        for field in ("input_size", "kernel_size", "strides", "dilation_rate"):
            pair = getattr(self, field)
            if not _is_pair(pair):
                raise PlanError(
                    f"`{field}` must be two integers of at least 1. Received: "
                    f"{field}={pair!r}. Give a height and a width."
                )
            object.__setattr__(self, field, (int(pair[0]), int(pair[1])))
        for field in ("channels", "filters"):
            if not _is_size(getattr(self, field)):
                raise PlanError(
                    f"`{field}` must be an integer of at least 1. Received: "
                    f"{field}={getattr(self, field)!r}. Give a positive number."
                )
        if self.padding not in ("valid", "same") and not _is_padding(self.padding):
            raise PlanError(
                "`padding` must be 'valid', 'same', or the zeros above, below, left "
                f"and right as two pairs. Received: padding={self.padding!r}. Choose "
                "one of these."
            )
        if min(self.output_size) < 1:
            raise PlanError(
                "The input must be at least as large as the dilated kernel. "
                f"Received: input_size={self.input_size}, dilated kernel "
                f"{self.dilated_kernel}, padding={self.padding!r}. Use larger "
                "inputs or padding='same'."
            )

    @property
    def dilated_kernel(self) -> Pair:
        """(D_H, D_W): extent of the kernel with its gaps."""
        (kh, kw), (dh, dw) = self.kernel_size, self.dilation_rate
        return (kh - 1) * dh + 1, (kw - 1) * dw + 1

    @property
    def output_size(self) -> Pair:
        """(H', W')."""
        return self._output(0), self._output(1)

    @property
    def pad_height(self) -> Pair:
        """Rows of zeros that the layer's padding adds (above, below)."""
        return self._pad(0)

    @property
    def pad_width(self) -> Pair:
        """Columns of zeros that the layer's padding adds (left, right)."""
        return self._pad(1)

    @property
    def condensed(self) -> ConvGeometry:
        """The same convolution of those rows and columns only that it reads.

        With strides, a kernel of one row or column reads only every s-th.
        """
        read = self._read_singly
        sizes = zip(read, self.output_size, self.input_size, strict=True)
        steps = zip(read, self.strides, strict=True)
        height, width = (short if alone else long for alone, short, long in sizes)
        down, right = (1 if alone else stride for alone, stride in steps)
        return replace(self, input_size=(height, width), strides=(down, right))

    def condense(self, images: np.ndarray) -> np.ndarray:
        """Returns what ``condensed`` reads of images ``(B, H, W, C)``, as a view."""
        (rows, columns), (down, right) = self._read_singly, self.strides
        return images[:, :: down if rows else 1, :: right if columns else 1]

    @property
    def _read_singly(self) -> tuple[bool, bool]:
        """Whether each output depends on one row, and on one column."""
        rows, columns = self.dilated_kernel
        above_or_below, beside = any(self.pad_height), any(self.pad_width)
        return rows == 1 and not above_or_below, columns == 1 and not beside

    def of_rows(self, output: range) -> tuple[ConvGeometry, slice]:
        """Returns the convolution that yields only some consecutive output rows.

        Args:
            output: The rows of Y, at least one.

        Returns:
            The convolution, its padding written out, and the rows of X that it is of.

        Raises:
            PlanError: They depend on padding alone.
        """
        stride, above = self.strides[0], self.pad_height[0]
        first = output.start * stride - above
        last = (output.stop - 1) * stride - above + self.dilated_kernel[0]
        rows = slice(max(0, first), min(self.input_size[0], last))
        zeros = max(0, -first), max(0, last - self.input_size[0])
        size = rows.stop - rows.start, self.input_size[1]
        geometry = replace(self, input_size=size, padding=(zeros, self.pad_width))
        return geometry, rows

    @property
    def terms(self) -> int:
        """K_H·K_W·C: products in the sum of one output."""
        return self.kernel_size[0] * self.kernel_size[1] * self.channels

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the convolution of one image: H'·W'·N·C·K_H·K_W."""
        (h, w), (kh, kw) = self.output_size, self.kernel_size
        return h * w * self.filters * self.channels * kh * kw

    def _output(self, axis: int) -> int:
        size, stride = self.input_size[axis], self.strides[axis]
        if self.padding == "same":
            return -(-size // stride)
        size += sum(self._pad(axis))
        return max(0, (size - self.dilated_kernel[axis]) // stride + 1)

    def _pad(self, axis: int) -> Pair:
        if self.padding == "valid":
            return 0, 0
        if self.padding != "same":
            return self.padding[axis]
        # TensorFlow's rule: what the last window lacks, the odd zero at the end.
        covered = (self._output(axis) - 1) * self.strides[axis]
        covered += self.dilated_kernel[axis]
        total = max(0, covered - self.input_size[axis])
        return total // 2, total - total // 2


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(map(_is_size, value))
    )


def _is_padding(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value)
        and all(isinstance(n, int) and n >= 0 for pair in value for n in pair)
    )


def _is_size(value: object) -> bool:
    # NumPy's integers are sizes too; True is an integer, but no size.
    return isinstance(value, int | np.integer) and value is not True and int(value) > 0
