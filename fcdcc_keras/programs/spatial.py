"""Operations that have no weights: pooling, padding, cropping, sampling, reshaping."""

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
    Size,
    Sizes,
    choice,
    fail,
    integers,
    misfit,
    pairs,
    positive,
    spatial,
    windows,
)


@dataclass(frozen=True)
class MaxPool(Operation):
    """The largest number of each window."""

    pool_size: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    pads: tuple[Pair, ...] = ()
    """Rows and columns that are in no window's result: less than a window."""

    kind: ClassVar[str] = "max_pool"

    def __post_init__(self) -> None:
        super().__post_init__()
        pool = integers(self, "pool_size", 1)
        integers(self, "strides", 1)
        around = pairs(self, "pads")
        if len(pool) != len(around) or any(
            max(pads) >= size for pads, size in zip(around, pool, strict=True)
        ):
            fail(self, "pads", "be less than the window along each axis")

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        shape = shapes[0]
        sizes = spatial(self, shape, self.pool_size, self.strides, self.pads)
        out = map(windows, sizes, self.pool_size, self.strides, self.pads)
        return positive(self, shapes, (shape[0], *out, shape[-1]))

    def _reach(self, rank: int, weights: Sequence[Sizes]) -> tuple[Reach, ...] | None:
        return tuple(map(Reach, self.pool_size, self.strides, self.pads))


@dataclass(frozen=True)
class AveragePool(MaxPool):
    """The mean of each window, of what is not padding."""

    kind: ClassVar[str] = "average_pool"


@dataclass(frozen=True)
class GlobalMaxPool(Operation):
    """The largest number of each channel."""

    keepdims: bool = False
    """Whether axes of length 1 stay."""

    kind: ClassVar[str] = "global_max_pool"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self, "keepdims", (False, True))

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        shape = shapes[0]
        ones = (1,) * len(spatial(self, shape)) if self.keepdims else ()
        return (shape[0], *ones, shape[-1])

    def _reach(self, rank: int, weights: Sequence[Sizes]) -> tuple[Reach, ...] | None:
        return None


@dataclass(frozen=True)
class GlobalAveragePool(GlobalMaxPool):
    """The mean of each channel."""

    kind: ClassVar[str] = "global_average_pool"


@dataclass(frozen=True)
class ZeroPad(Operation):
    """Zeros around."""

    pads: tuple[Pair, ...] = ()
    """(above, below), (left, right)."""

    kind: ClassVar[str] = "zero_pad"

    def __post_init__(self) -> None:
        super().__post_init__()
        pairs(self, "pads")

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        shape = shapes[0]
        sizes = spatial(self, shape, self.pads)
        out = (windows(n, 1, 1, pads) for n, pads in zip(sizes, self.pads, strict=True))
        return positive(self, shapes, (shape[0], *out, shape[-1]))

    def _reach(self, rank: int, weights: Sequence[Sizes]) -> tuple[Reach, ...] | None:
        return tuple(Reach(pads=pads) for pads in self.pads)


@dataclass(frozen=True)
class Crop(Operation):
    """What is left without some rows and columns around."""

    crops: tuple[Pair, ...] = ()
    """(above, below), (left, right)."""

    kind: ClassVar[str] = "crop"

    def __post_init__(self) -> None:
        super().__post_init__()
        pairs(self, "crops")

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        shape = shapes[0]
        sizes = spatial(self, shape, self.crops)
        out = (
            None if n is None else n - sum(crops)
            for n, crops in zip(sizes, self.crops, strict=True)
        )
        return positive(self, shapes, (shape[0], *out, shape[-1]))

    def _reach(self, rank: int, weights: Sequence[Sizes]) -> tuple[Reach, ...] | None:
        return tuple(Reach(pads=(-above, -below)) for above, below in self.crops)


@dataclass(frozen=True)
class Upsample(Operation):
    """Each pixel becomes several."""

    size: tuple[int, ...] = ()
    """How many, along each axis."""
    interpolation: str = "nearest"
    """nearest, or, in two dimensions, bilinear: between the centres of pixels."""

    kind: ClassVar[str] = "upsample"

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(self, "size", 1)
        allowed = ("nearest", "bilinear") if len(self.size) == 2 else ("nearest",)
        choice(self, "interpolation", allowed)

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        shape = shapes[0]
        sizes = spatial(self, shape, self.size)
        out = (
            None if n is None else n * factor
            for n, factor in zip(sizes, self.size, strict=True)
        )
        return positive(self, shapes, (shape[0], *out, shape[-1]))

    def _reach(self, rank: int, weights: Sequence[Sizes]) -> tuple[Reach, ...] | None:
        # Bilinear: a pixel counts up to the centres of its neighbours, not at them.
        beside = [n // 2 if self.interpolation == "bilinear" else 0 for n in self.size]
        return tuple(
            Reach(n + 2 * more, n, (more, more), transposed=True)
            for n, more in zip(self.size, beside, strict=True)
        )


@dataclass(frozen=True)
class Reshape(Operation):
    """The same numbers in the same order, by other axes."""

    target: tuple[int, ...] = ()
    """Sizes of each image, the channels last; 0: as many as are left, once."""

    kind: ClassVar[str] = "reshape"

    def __post_init__(self) -> None:
        super().__post_init__()
        target = integers(self, "target")
        if not 1 <= len(target) <= 4 or target.count(0) > 1:
            fail(self, "target", "be one to four sizes, of which one is 0 at most")

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        shape, known = shapes[0], math.prod(size for size in self.target if size)
        left: Size = None
        if None not in shape[1:]:
            left, rest = divmod(math.prod(n for n in shape[1:] if n), known)
            if rest or (0 not in self.target and left != 1):
                raise misfit(self, "A reshape must keep all numbers.", shape)
        sizes = tuple(size or left for size in self.target)
        return positive(self, shapes, (shape[0], *sizes))

    def _reach(self, rank: int, weights: Sequence[Sizes]) -> tuple[Reach, ...] | None:
        return None
