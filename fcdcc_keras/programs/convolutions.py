"""The convolutions. Kernels are laid out as ``partition.geometry.Kind`` has it.

Each may have a second weight, the bias ``(N,)``. K is the kernel, D its extent with
its gaps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fcdcc_keras.programs.operation import (
    Operation,
    Pair,
    Reach,
    Shape,
    Sizes,
    channels,
    fail,
    integers,
    is_integer,
    misfit,
    pairs,
    positive,
    spatial,
    windows,
)


@dataclass(frozen=True)
class Convolution(Operation):
    """A convolution, of groups where K has fewer channels than X.

    K is ``(K_H, K_W, C/groups, N)``.
    """

    strides: tuple[int, ...] = ()
    dilation_rate: tuple[int, ...] = ()
    pads: tuple[Pair, ...] = ()
    """Zeros (above, below), (left, right)."""

    kind: ClassVar[str] = "conv"
    weighs: ClassVar[tuple[int, int]] = (1, 2)

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(self, "strides", 1)
        integers(self, "dilation_rate", 1)
        pairs(self, "pads")

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        sizes = spatial(self, shapes[0], self.strides, self.dilation_rate, self.pads)
        filters = self._filters(shapes[0], weights)
        out = tuple(map(windows, sizes, self.extents(weights), self.strides, self.pads))
        return positive(self, shapes, (shapes[0][0], *out, filters))

    def _reach(self, rank: int, weights: Sequence[Sizes]) -> tuple[Reach, ...] | None:
        return tuple(map(Reach, self.extents(weights), self.strides, self.pads))

    def multiply_adds(
        self, read: Sizes, yields: Sizes, weights: Sequence[Sizes]
    ) -> int:
        """Returns its multiply-adds; see ``Operation.multiply_adds``."""
        return math.prod(yields[:-1]) * math.prod(weights[0])

    def window(self, weights: Sequence[Sizes]) -> Sizes:
        """Returns (K_H, K_W)."""
        return weights[0][:-2]

    def extents(self, weights: Sequence[Sizes]) -> tuple[int, ...]:
        """Returns (D_H, D_W)."""
        steps = zip(self.window(weights), self.dilation_rate, strict=True)
        return tuple((k - 1) * d + 1 for k, d in steps)

    def _filters(self, shape: Shape, weights: Sequence[Sizes]) -> int:
        """Returns N, having checked the kernel and the bias."""
        filters = self._of_kernel(shape, weights[0])
        if len(weights) > 1 and weights[1] != (filters,):
            raise misfit(self, f"The bias must be of {filters} channels.", weights[1])
        return filters

    def _of_kernel(self, shape: Shape, kernel: Sizes) -> int:
        self._check_axes(kernel)
        within, filters = kernel[-2:]
        of = shape[-1]
        if of is not None and (of % within or filters % (of // within)):
            raise misfit(
                self,
                "The input's channels must be those of the kernel, or a multiple that "
                "divides the filters.",
                (shape, kernel),
            )
        return filters

    def _check_axes(self, kernel: Sizes) -> None:
        if len(kernel) != len(self.strides) + 2:
            raise misfit(self, "The kernel must have the input's axes.", kernel)


@dataclass(frozen=True)
class Depthwise(Convolution):
    """A convolution of each channel by itself. K is ``(K_H, K_W, C, N/C)``."""

    kind: ClassVar[str] = "depthwise"

    def _of_kernel(self, shape: Shape, kernel: Sizes) -> int:
        self._check_axes(kernel)
        within, multiplier = kernel[-2:]
        channels(self, shape, within)
        return within * multiplier


@dataclass(frozen=True)
class Separable(Convolution):
    """A depthwise convolution, then one of 1×1. K is both after one another, flat."""

    kernel_size: tuple[int, ...] = ()
    """(K_H, K_W)."""
    depth_multiplier: int = 1
    """Channels between the two for each of the input."""

    kind: ClassVar[str] = "separable"

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(self, "kernel_size", 1)
        if not is_integer(self.depth_multiplier, 1):
            fail(self, "depth_multiplier", "be an integer of at least 1")

    def window(self, weights: Sequence[Sizes]) -> Sizes:
        """Returns (K_H, K_W)."""
        return self.kernel_size

    def _of_kernel(self, shape: Shape, kernel: Sizes) -> int:
        if len(self.kernel_size) != len(self.strides):
            raise misfit(self, "The kernel must have the input's axes.", shape)
        if len(kernel) != 1 or shape[-1] is None:
            raise misfit(self, "The kernel must be flat.", (shape, kernel))
        between = shape[-1] * self.depth_multiplier
        filters, rest = divmod(kernel[0], between)
        filters -= math.prod(self.kernel_size)
        if rest or filters < 1:
            raise misfit(
                self,
                "The kernel must be a depthwise and a pointwise one.",
                (shape, kernel),
            )
        return filters


@dataclass(frozen=True)
class Transposed(Convolution):
    """The transpose of a convolution. K is ``(K_H, K_W, N, C)``.

    Of its (H − 1)·s + D rows, ``pads`` are cropped; negative after: zeros appended.
    As in Keras, there are no strides with gaps in the kernel.
    """

    kind: ClassVar[str] = "transposed"

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        integers(self, "strides", 1)
        integers(self, "dilation_rate", 1)
        pairs(self, "pads", (0, -(2**31) + 1))
        if max(self.strides, default=1) > 1 and max(self.dilation_rate, default=1) > 1:
            fail(self, "dilation_rate", "be 1 where the strides of a transpose are not")

    def multiply_adds(
        self, read: Sizes, yields: Sizes, weights: Sequence[Sizes]
    ) -> int:
        """Returns its multiply-adds; see ``Operation.multiply_adds``."""
        return math.prod(read[:-1]) * math.prod(weights[0])

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        sizes = spatial(self, shapes[0], self.strides, self.dilation_rate, self.pads)
        filters = self._filters(shapes[0], weights)
        steps = zip(sizes, self.extents(weights), self.strides, self.pads, strict=True)
        out = [
            None if n is None else (n - 1) * s + extent - sum(pads)
            for n, extent, s, pads in steps
        ]
        return positive(self, shapes, (shapes[0][0], *out, filters))

    def _reach(self, rank: int, weights: Sequence[Sizes]) -> tuple[Reach, ...] | None:
        steps = zip(self.extents(weights), self.strides, self.pads, strict=True)
        return tuple(Reach(*step, transposed=True) for step in steps)

    def _of_kernel(self, shape: Shape, kernel: Sizes) -> int:
        self._check_axes(kernel)
        filters, within = kernel[-2:]
        channels(self, shape, within)
        return filters


@dataclass(frozen=True)
class Dense(Operation):
    """A matrix product at each place. K is ``(C, N)``."""

    kind: ClassVar[str] = "dense"
    weighs: ClassVar[tuple[int, int]] = (1, 2)

    def multiply_adds(
        self, read: Sizes, yields: Sizes, weights: Sequence[Sizes]
    ) -> int:
        """Returns its multiply-adds; see ``Operation.multiply_adds``."""
        return math.prod(yields[:-1]) * math.prod(weights[0])

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        kernel = weights[0]
        if len(kernel) != 2:
            raise misfit(self, "The kernel must have two axes.", kernel)
        channels(self, shapes[0], kernel[0])
        if len(weights) > 1 and weights[1] != (kernel[1],):
            raise misfit(self, f"The bias must be of {kernel[1]} channels.", weights[1])
        return (*shapes[0][:-1], kernel[1])
