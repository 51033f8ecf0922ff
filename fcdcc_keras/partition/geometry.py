"""The sizes of one convolution, channels last, of any rank and kind.

Symbols, for two dimensions: input X ``(B, H, W, C)``, kernel K ``(K_H, K_W, C, N)``,
output Y ``(B, H', W', N)``, stride s, dilation d, D_H = (K_H − 1)·d + 1. With one or
three dimensions there is one length or there are three, everywhere; the first is
called the height.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np

from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition.axis import Axis, Pair

Sizes = tuple[int, ...]
Kind = Literal["conv", "depthwise", "separable", "transposed", "dense"]
"""How inputs become outputs:

- conv: each of ``groups`` groups of output channels sums over its group of input
  channels. K ``(K_H, K_W, C/groups, N)``.
- depthwise: each input channel gives N/C output channels. K ``(K_H, K_W, C, N/C)``.
- separable: a depthwise convolution to C·``depth_multiplier`` channels, then one of
  1×1. K is flat, the two kernels after one another.
- transposed: the transpose of a convolution. K ``(K_H, K_W, N, C)``.
- dense: a matrix product at each place; a convolution of extent 1. K ``(C, N)``.
"""

KINDS: tuple[Kind, ...] = get_args(Kind)
_NUMBERS = {1: "one integer", 2: "two integers", 3: "three integers"}


@dataclass(frozen=True)
class ConvGeometry:
    """Sizes of a convolution over one image; lengths in pixels."""

    input_size: Sizes
    """(H, W), before padding."""
    channels: int
    """C, channels of the input."""
    filters: int
    """N, channels of the output."""
    kernel_size: Sizes
    """(K_H, K_W)."""
    strides: Sizes = ()
    """(s_H, s_W); left out: 1."""
    dilation_rate: Sizes = ()
    """(d_H, d_W); left out: 1."""
    padding: Literal["valid", "same", "causal"] | tuple[Pair, ...] = "valid"
    """A name, or the zeros themselves: ((above, below), (left, right)); of a
    transposed convolution what is cropped, see ``Axis.pads``."""
    groups: int = 1
    kind: Kind = "conv"
    depth_multiplier: int = 1
    """Channels of a separable convolution's first step for each of the input."""
    output_padding: Sizes | None = None
    """As Keras has it for transposed convolutions."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
                object.__setattr__(self, field.name, value)
            if value == () and isinstance(self.kernel_size, tuple):
                object.__setattr__(self, field.name, (1,) * len(self.kernel_size))
        _check(self)

    @property
    def rank(self) -> int:
        """Number of dimensions, without those of images and channels."""
        return len(self.input_size)

    @property
    def dilated_kernel(self) -> Sizes:
        """(D_H, D_W): extent of the kernel with its gaps."""
        sizes = zip(self.kernel_size, self.dilation_rate, strict=True)
        return tuple((k - 1) * d + 1 for k, d in sizes)

    @property
    def output_size(self) -> Sizes:
        """(H', W')."""
        return tuple(self._output(axis) for axis in range(self.rank))

    @property
    def pads(self) -> tuple[Pair, ...]:
        """((above, below), (left, right)), see ``Axis.pads``."""
        return tuple(self._pad(axis) for axis in range(self.rank))

    def axis(self, index: int) -> Axis:
        """Returns what there is along one axis; 0 is the height."""
        return Axis(
            self.input_size[index],
            self._output(index),
            self.dilated_kernel[index],
            self.strides[index],
            self._pad(index),
            self.kind == "transposed",
        )

    def along(self, index: int, size: int, pads: Pair) -> ConvGeometry:
        """Returns the same with another length and padding along one axis.

        All its padding is written out.
        """
        sizes, padding = list(self.input_size), list(self.pads)
        sizes[index], padding[index] = size, pads
        return replace(self, input_size=tuple(sizes), padding=tuple(padding))

    @property
    def condensed(self) -> ConvGeometry:
        """The same convolution of those rows and columns only that it reads.

        With strides, a kernel of one row or column reads only every s-th.
        """
        read = self._read_singly
        sizes = zip(read, self.output_size, self.input_size, strict=True)
        steps = zip(read, self.strides, strict=True)
        return replace(
            self,
            input_size=tuple(short if alone else long for alone, short, long in sizes),
            strides=tuple(1 if alone else stride for alone, stride in steps),
        )

    def condense(self, images: np.ndarray) -> np.ndarray:
        """Returns what ``condensed`` reads of images ``(B, H, W, C)``, as a view."""
        steps = zip(self._read_singly, self.strides, strict=True)
        taken = (slice(None, None, s if alone else 1) for alone, s in steps)
        index = (slice(None), *taken)
        return images[index]

    @property
    def _read_singly(self) -> tuple[bool, ...]:
        """Whether each output depends on one row, on one column."""
        extents = zip(self.dilated_kernel, self.pads, strict=True)
        forward = self.kind != "transposed"
        return tuple(forward and n == 1 and not any(pads) for n, pads in extents)

    def of_rows(self, output: range) -> tuple[ConvGeometry, slice]:
        """Returns the convolution that yields only some consecutive output rows.

        Args:
            output: The rows of Y, at least one.

        Returns:
            The convolution, its padding written out, and the rows of X that it is of.

        Raises:
            PlanError: They depend on padding alone.
        """
        window = self.axis(0).inside(output)
        if window.stop <= window.start:
            raise PlanError(
                "Rows that are cut out of an output must depend on the input. "
                f"Received: rows {output.start} to {output.stop - 1} of {self}, which "
                "are padding alone. Cut fewer parts."
            )
        rows = slice(window.start, window.stop)
        return self.along(0, rows.stop - rows.start, window.pads), rows

    def at(self, place: Sizes) -> tuple[ConvGeometry, tuple[slice, ...]]:
        """Returns the convolution that yields one place of the output alone.

        Args:
            place: Row, column and so on of Y.

        Returns:
            The convolution, and the rows and columns of X that it is of.
        """
        one, taken = self, []
        for axis, o in enumerate(place):
            window = self.axis(axis).inside(range(o, o + 1))
            taken.append(slice(window.start, window.stop))
            one = one.along(axis, window.stop - window.start, window.pads)
        return one, tuple(taken)

    @property
    def codes_input(self) -> bool:
        """Whether the input may be cut into coded parts."""
        return self.kind != "dense"

    @property
    def codes_kernel(self) -> bool:
        """Whether the kernel may be cut into coded blocks of output channels."""
        return self.kind == "dense" or (self.kind == "conv" and self.groups == 1)

    @property
    def group_filters(self) -> int:
        """Output channels that are sums over the same input channels."""
        groups = self.channels if self.kind == "depthwise" else self.groups
        return self.filters // groups

    @property
    def terms(self) -> int:
        """K_H·K_W·C: products in the sum of one output, at most."""
        window = math.prod(self.kernel_size)
        if self.kind == "depthwise":
            return window
        if self.kind == "separable":
            return window * self.channels * self.depth_multiplier
        if self.kind == "transposed":
            sizes = zip(self.kernel_size, self.strides, strict=True)
            window = math.prod(-(-k // s) for k, s in sizes)
        return window * self.channels // self.groups

    @property
    def kernel_floats(self) -> int:
        """Numbers in the kernel: K_H·K_W·C·N for a plain convolution."""
        window = math.prod(self.kernel_size)
        if self.kind == "depthwise":
            return window * self.filters
        if self.kind == "separable":
            middle = self.channels * self.depth_multiplier
            return middle * (window + self.filters)
        return window * self.channels * self.filters // self.groups

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the convolution of one image: H'·W'·N·C·K_H·K_W.

        Each number of a kernel enters once at each place of the output, or of the
        input of a transposed convolution.
        """
        transposed = self.kind == "transposed"
        places = self.input_size if transposed else self.output_size
        return math.prod(places) * self.kernel_floats

    def _output(self, axis: int) -> int:
        size, stride = self.input_size[axis], self.strides[axis]
        extent = self.dilated_kernel[axis]
        if self.kind == "transposed":
            return self._transposed_output(axis)
        if self.padding in ("same", "causal"):
            return -(-size // stride)
        size += sum(self._pad(axis))
        return max(0, (size - extent) // stride + 1)

    def _transposed_output(self, axis: int) -> int:
        """Returns the length that Keras gives a transposed convolution's output."""
        size, stride = self.input_size[axis], self.strides[axis]
        extent, more = self.dilated_kernel[axis], self.output_padding
        least = (size - 1) * stride
        if self.padding == "same":
            return size * stride if more is None else least + extent % 2 + more[axis]
        if self.padding == "valid":
            beyond = max(0, stride - extent) if more is None else more[axis]
            return least + extent + beyond
        return least + extent - sum(self._pad(axis))

    def _pad(self, axis: int) -> Pair:
        if not isinstance(self.padding, str):
            return self.padding[axis]
        size, stride = self.input_size[axis], self.strides[axis]
        extent = self.dilated_kernel[axis]
        if self.kind == "transposed":
            beyond = (size - 1) * stride + extent - self._transposed_output(axis)
            before = max(0, beyond) // 2 if self.padding == "same" else 0
            return before, beyond - before
        if self.padding == "valid":
            return 0, 0
        if self.padding == "causal":
            return extent - 1, 0
        # TensorFlow's rule: what the last window lacks, the odd zero at the end.
        total = max(0, (self._output(axis) - 1) * stride + extent - size)
        return total // 2, total - total // 2


def _check(geometry: ConvGeometry) -> None:
    """Checks a geometry, and makes its numbers Python's own.

    Raises:
        PlanError: There is no such convolution.
    """
    if geometry.kind not in KINDS:
        raise PlanError(
            f"`kind` must be one of {KINDS}. Received: kind={geometry.kind!r}. Choose "
            "one of them."
        )
    _check_lengths(geometry)
    for field in ("channels", "filters", "groups", "depth_multiplier"):
        if not _is_size(getattr(geometry, field)):
            raise PlanError(
                f"`{field}` must be an integer of at least 1. Received: "
                f"{field}={getattr(geometry, field)!r}. Give a positive number."
            )
    _check_channels(geometry)
    _check_padding(geometry)
    if min(geometry.output_size) < 1:
        raise PlanError(
            "The input must be at least as large as the dilated kernel. "
            f"Received: input_size={geometry.input_size}, dilated kernel "
            f"{geometry.dilated_kernel}, padding={geometry.padding!r}. Use larger "
            "inputs or padding='same'."
        )


def _check_lengths(geometry: ConvGeometry) -> None:
    rank = len(geometry.kernel_size) if isinstance(geometry.kernel_size, tuple) else 0
    for field in ("input_size", "kernel_size", "strides", "dilation_rate"):
        sizes = getattr(geometry, field)
        good = isinstance(sizes, tuple) and len(sizes) == rank in _NUMBERS
        if not good or not all(map(_is_size, sizes)):
            raise PlanError(
                f"`{field}` must be {_NUMBERS.get(rank, 'one to three integers')} of "
                f"at least 1. Received: {field}={sizes!r}, with kernel_size="
                f"{geometry.kernel_size!r}. Give one length for each dimension."
            )
        object.__setattr__(geometry, field, tuple(int(n) for n in sizes))


def _check_channels(geometry: ConvGeometry) -> None:
    channels, filters = geometry.channels, geometry.filters
    parts = channels if geometry.kind == "depthwise" else geometry.groups
    if channels % parts or filters % parts:
        raise PlanError(
            "Channels and filters must divide into the groups of a convolution. "
            f"Received: channels={channels}, filters={filters}, {parts} groups. "
            "Choose multiples."
        )


def _check_padding(geometry: ConvGeometry) -> None:
    padding = geometry.padding
    names = ("valid", "same") if geometry.rank > 1 else ("valid", "same", "causal")
    if padding in names or _is_padding(padding, geometry):
        return
    raise PlanError(
        f"`padding` must be {' or '.join(map(repr, names))}, or the zeros before and "
        f"after each dimension as pairs. Received: padding={padding!r}. Choose one of "
        "these."
    )


def _is_padding(value: object, geometry: ConvGeometry) -> bool:
    negative = geometry.kind == "transposed"  # rows are appended, not cropped
    return (
        isinstance(value, tuple)
        and len(value) == geometry.rank
        and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value)
        and all(isinstance(n, int) and (n >= 0 or negative) for p in value for n in p)
    )


def _is_size(value: object) -> bool:
    # NumPy's integers are sizes too; True is an integer, but no size.
    return isinstance(value, int | np.integer) and value is not True and int(value) > 0
