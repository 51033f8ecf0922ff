"""Operations on each number by itself, and those that join values.

v is what is read, C its channels. Weights are ``(C,)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fcdcc_keras.programs.operation import (
    Operation,
    Reach,
    Shape,
    Size,
    Sizes,
    choice,
    fail,
    is_finite,
    is_integer,
    misfit,
    number,
    vector,
)

Parameters = tuple[tuple[str, float | bool | None], ...]
ACTIVATIONS: dict[str, dict[str, float | bool | None]] = {
    "celu": {"alpha": 1.0},
    "elu": {"alpha": 1.0},
    "exponential": {},
    "gelu": {"approximate": False},
    "hard_shrink": {"threshold": 0.5},
    "hard_sigmoid": {},
    "hard_silu": {},
    "hard_tanh": {},
    "leaky_relu": {"negative_slope": 0.2},
    "linear": {},
    "log_sigmoid": {},
    "log_softmax": {},
    "mish": {},
    "relu": {"negative_slope": 0.0, "max_value": None, "threshold": 0.0},
    "relu6": {},
    "selu": {},
    "sigmoid": {},
    "silu": {},
    "soft_shrink": {"threshold": 0.5},
    "softmax": {},
    "softplus": {},
    "softsign": {},
    "sparse_plus": {},
    "sparse_sigmoid": {},
    "squareplus": {"b": 4.0},
    "tanh": {},
    "tanh_shrink": {},
    "threshold": {"threshold": 0.0, "default_value": 0.0},
}
"""Those of ``keras.activations``, of softmax that of the channels: the parameters of
each, and what they are where they are left out. None: no limit."""
_POSITIVE = {("celu", "alpha"), ("relu", "max_value"), ("squareplus", "b")}


@dataclass(frozen=True)
class Activation(Operation):
    """A function of ``keras.activations``."""

    function: str = "linear"
    """Its name."""
    parameters: Parameters = ()
    """Those of its parameters that are not as they are where they are left out."""

    kind: ClassVar[str] = "activation"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self, "function", tuple(ACTIVATIONS))
        known, named = ACTIVATIONS[self.function], self.parameters
        if not isinstance(named, tuple) or not all(
            isinstance(one, tuple)
            and len(one) == 2
            and isinstance(one[0], str)
            and self._fits(*one)
            for one in named
        ):
            fail(self, "parameters", f"be pairs of names and numbers of {list(known)}")
        if len(dict(named)) < len(named):
            fail(self, "parameters", "name each once")

    def _fits(self, name: str, value: object) -> bool:
        known = ACTIVATIONS[self.function]
        if name not in known:
            return False
        if isinstance(known[name], bool):
            return isinstance(value, bool)
        positive = (self.function, name) in _POSITIVE
        if value is None:
            return known[name] is None
        return (
            is_finite(value, least=0.0) and value != 0 if positive else is_finite(value)
        )

    @property
    def settings(self) -> dict[str, float | bool | None]:
        """All parameters."""
        return {**ACTIVATIONS[self.function], **dict(self.parameters)}


@dataclass(frozen=True)
class _OfChannels(Operation):
    """An operation with one number of each weight for each channel."""

    weighs: ClassVar[tuple[int, int]] = (1, 1)

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        many = {vector(self, shapes[0], weight) for weight in weights}
        if len(many) > 1:
            raise misfit(self, "The weights must be of equal length.", weights)
        return (*shapes[0][:-1], *many)


@dataclass(frozen=True)
class Bias(_OfChannels):
    """v + bias."""

    kind: ClassVar[str] = "bias"


@dataclass(frozen=True)
class Scale(_OfChannels):
    """v · scale."""

    kind: ClassVar[str] = "scale"


@dataclass(frozen=True)
class PReLU(_OfChannels):
    """v where that is positive, otherwise v · alpha."""

    kind: ClassVar[str] = "prelu"


@dataclass(frozen=True)
class BatchNormalization(_OfChannels):
    """(v − mean) / √(variance + epsilon) · gamma + beta, at inference.

    The weights are gamma, beta, mean and variance.
    """

    epsilon: float = 1e-3

    kind: ClassVar[str] = "batch_normalization"
    weighs: ClassVar[tuple[int, int]] = (4, 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self, "epsilon", 0.0)


@dataclass(frozen=True)
class Normalization(_OfChannels):
    """(v − mean) / max(√variance, epsilon). The weights are mean and variance."""

    epsilon: float = 1e-7

    kind: ClassVar[str] = "normalization"
    weighs: ClassVar[tuple[int, int]] = (2, 2)

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self, "epsilon", 0.0)


@dataclass(frozen=True)
class Rescaling(Operation):
    """v · scale + offset."""

    scale: float = 1.0
    offset: float = 0.0

    kind: ClassVar[str] = "rescaling"

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self, "scale")
        number(self, "offset")


MERGES = ("add", "subtract", "multiply", "maximum", "minimum", "average")


@dataclass(frozen=True)
class Merge(Operation):
    """Several values joined number by number; axes of length 1 go with any other."""

    function: str = "add"
    """One of ``MERGES``. Two values are subtracted."""

    kind: ClassVar[str] = "merge"
    arity: ClassVar[tuple[int, int]] = (2, 64)

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self, "function", MERGES)
        if self.function == "subtract" and len(self.reads) != 2:
            fail(self, "reads", "be two values where they are subtracted")

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        if len({len(shape) for shape in shapes}) > 1:
            raise misfit(self, "Values to be merged must have the same axes.", shapes)
        return tuple(self._joined(sizes, shapes) for sizes in zip(*shapes, strict=True))

    def _joined(self, sizes: tuple[Size, ...], shapes: Sequence[Shape]) -> Size:
        known = {size for size in sizes if size is not None}
        if len(known - {1}) > 1:
            raise misfit(self, "Values to be merged must have the same sizes.", shapes)
        larger = known - {1}
        if larger:
            return larger.pop()
        return None if None in sizes else 1


@dataclass(frozen=True)
class Concatenate(Operation):
    """Several values one after another along an axis."""

    axis: int = -1
    """-1: channels. Otherwise from 1, the first after the images."""

    kind: ClassVar[str] = "concatenate"
    arity: ClassVar[tuple[int, int]] = (2, 64)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_integer(self.axis, -1) or not -1 <= self.axis <= 4 or not self.axis:
            fail(self, "axis", "be -1, or an axis from 1 on")

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        axes = {len(shape) for shape in shapes}
        if len(axes) > 1 or max(axes) <= self.axis:
            raise misfit(self, "Values to be joined must have that axis.", shapes)
        place = self.axis % max(axes)
        out: list[Size] = []
        for index, sizes in enumerate(zip(*shapes, strict=True)):
            known = [size for size in sizes if size is not None]
            if index == place:
                out.append(sum(known) if len(known) == len(sizes) else None)
            elif len(set(known)) > 1:
                raise misfit(
                    self, "Values to be joined must agree in the other axes.", shapes
                )
            else:
                out.append(known[0] if known else None)
        return tuple(out)

    def _reach(self, rank: int, weights: Sequence[Sizes]) -> tuple[Reach, ...] | None:
        return super()._reach(rank, weights) if self.axis in (-1, rank + 1) else None
