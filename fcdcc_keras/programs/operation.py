"""What all operations of a program have in common.

Symbols, for two dimensions: an operation reads X ``(B, H, W, C)`` and yields Y
``(B, H', W', N)``, channels last. Sizes that are not known yet are None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

from fcdcc_keras.errors import PlanError

Size = int | None
Shape = tuple[Size, ...]
"""(B, H, W, C), of one to three dimensions between images and channels, or of none."""
Sizes = tuple[int, ...]
"""Shape of a weight."""
Pair = tuple[int, int]
LARGEST = 2**31 - 1
"""Of all integers in a program: engines number what they have with 32 bits."""


@dataclass(frozen=True)
class Reach:
    """What an operation's output depends on along one axis; see ``partition.Axis``."""

    extent: int = 1
    """D: rows of X that one row of Y depends on, or of Y that one of X reaches where
    ``transposed``."""
    stride: int = 1
    """s."""
    pads: Pair = (0, 0)
    """Rows that are added before and after X, or cropped from Y where
    ``transposed``; negative: the other way round."""
    transposed: bool = False
    """Whether a step of X is s steps of Y, instead of the other way round."""


@dataclass(frozen=True)
class Operation:
    """One step of a program: reads values, yields the next one."""

    reads: tuple[int, ...]
    """Numbers of the values that it reads: the program's inputs come first, then what
    each operation yields."""
    weights: tuple[int, ...] = ()
    """Numbers of its weights."""

    kind: ClassVar[str] = ""
    """Its name in a message."""
    arity: ClassVar[tuple[int, int]] = (1, 1)
    """Least and largest number of values that it reads."""
    weighs: ClassVar[tuple[int, int]] = (0, 0)
    """Least and largest number of its weights."""

    def __post_init__(self) -> None:
        for field in fields(self):  # a message has lists
            value = getattr(self, field.name)
            if isinstance(value, list):
                value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
                object.__setattr__(self, field.name, value)
        for name, least, most in (
            ("reads", *self.arity),
            ("weights", *self.weighs),
        ):
            value = integers(self, name)
            if not least <= len(value) <= most:
                fail(self, name, f"name {least} to {most} of them")

    def infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        """Returns the shape of what it yields.

        Args:
            shapes: Of what it reads; sizes may be unknown.
            weights: Shapes of its weights.

        Raises:
            PlanError: It cannot be applied to these.
        """
        return self._infer(shapes, weights)

    def reach(self, rank: int, weights: Sequence[Sizes]) -> tuple[Reach, ...] | None:
        """Returns how far it reaches along each axis, or None where it is not local.

        Args:
            rank: Dimensions of what it reads between images and channels.
            weights: Shapes of its weights.
        """
        return self._reach(rank, weights)

    def multiply_adds(
        self, read: Sizes, yields: Sizes, weights: Sequence[Sizes]
    ) -> int:
        """Returns its multiply-adds where it is a convolution or a product; else 0.

        Each number of a kernel enters once at each place of the output, or of the
        input of a transposed convolution.

        Args:
            read: Shape of what it reads first.
            yields: Shape of what it yields.
            weights: Shapes of its weights.
        """
        return 0

    def _infer(self, shapes: Sequence[Shape], weights: Sequence[Sizes]) -> Shape:
        return shapes[0]

    def _reach(self, rank: int, weights: Sequence[Sizes]) -> tuple[Reach, ...] | None:
        return (Reach(),) * rank


def fail(operation: Operation, field: str, rule: str) -> None:
    """Raises the error of a parameter that breaks a rule.

    Raises:
        PlanError: Always.
    """
    raise PlanError(
        f"`{field}` of an operation must {rule}. Received: {operation.kind} with "
        f"{field}={brief(getattr(operation, field))}. Correct the program."
    )


def misfit(operation: Operation, rule: str, shapes: object) -> PlanError:
    """Returns the error of an operation that cannot be applied to something."""
    return PlanError(
        f"{rule} Received: {operation.kind} and {brief(shapes)}. Correct the program, "
        "or give it other inputs."
    )


def brief(value: object) -> str:
    """Returns the beginning of what a value looks like, however large that is."""
    if type(value) is int and value.bit_length() > 99:
        return "a number of more than 30 digits"
    if isinstance(value, tuple | list):
        inside = ", ".join(brief(v) for v in value[:9])
        more = ", …" if len(value) > 9 else ""
        return f"({inside}{more})"[:200]
    return repr(value)[:80]


def is_integer(value: object, least: int) -> bool:
    """Returns whether a value is an integer of at least some size, and no huge one."""
    return type(value) is int and least <= value <= LARGEST


def integers(operation: Operation, field: str, least: int = 0) -> tuple[int, ...]:
    """Returns a parameter that must be a tuple of integers.

    Raises:
        PlanError: It is none.
    """
    value = getattr(operation, field)
    if not isinstance(value, tuple) or not all(is_integer(v, least) for v in value):
        fail(operation, field, f"be integers from {least} to {LARGEST}")
    assert isinstance(value, tuple)
    return value


def pairs(operation: Operation, field: str, least: Pair = (0, 0)) -> tuple[Pair, ...]:
    """Returns a parameter that must be a pair of integers for each axis.

    Raises:
        PlanError: It is none.
    """
    value = getattr(operation, field)
    if not isinstance(value, tuple) or not all(
        isinstance(pair, tuple)
        and len(pair) == 2
        and is_integer(pair[0], least[0])
        and is_integer(pair[1], least[1])
        for pair in value
    ):
        fail(operation, field, "be a pair of integers for each axis, as for zeros")
    assert isinstance(value, tuple)
    return value


def number(operation: Operation, field: str, least: float = -math.inf) -> None:
    """Checks a parameter that must be a finite number.

    Raises:
        PlanError: It is none.
    """
    if not is_finite(getattr(operation, field), least):
        fail(operation, field, f"be a finite number of at least {least}")


def is_finite(value: object, least: float = -math.inf) -> bool:
    """Returns whether a value is a finite number, and no less than another."""
    if type(value) is int:
        return -LARGEST <= value <= LARGEST and value >= least
    return type(value) is float and math.isfinite(value) and value >= least


def choice(operation: Operation, field: str, allowed: Sequence[object]) -> None:
    """Checks a parameter that must be one of several.

    Raises:
        PlanError: It is none of them.
    """
    value = getattr(operation, field)
    if not any(type(value) is type(one) and value == one for one in allowed):
        fail(operation, field, "be one of " + ", ".join(map(str, allowed)))


def spatial(operation: Operation, shape: Shape, *of_axes: tuple[object, ...]) -> Shape:
    """Returns the sizes between images and channels, one for each axis of parameters.

    Raises:
        PlanError: What is read has more or fewer axes.
    """
    sizes = shape[1:-1]
    if not 1 <= len(sizes) <= 3 or any(len(axes) != len(sizes) for axes in of_axes):
        raise misfit(operation, "Parameters must be for the axes of the input.", shape)
    return sizes


def channels(operation: Operation, shape: Shape, wanted: int) -> None:
    """Checks the channels of what is read.

    Raises:
        PlanError: There are more or fewer.
    """
    if shape[-1] is not None and shape[-1] != wanted:
        raise misfit(
            operation, f"Its weights are for {wanted} channels of the input.", shape
        )


def vector(operation: Operation, shape: Shape, weight: Sizes) -> int:
    """Returns the length of a weight that has a number for each channel.

    Raises:
        PlanError: It has not.
    """
    if len(weight) != 1:
        raise misfit(operation, "The weight must have one axis.", weight)
    channels(operation, shape, weight[0])
    return weight[0]


def windows(size: Size, extent: int, stride: int, pads: Pair) -> Size:
    """Returns how many windows there are along an axis; none: 0 or less."""
    if size is None:
        return None
    return (size + sum(pads) - extent) // stride + 1


def positive(operation: Operation, shapes: object, result: Shape) -> Shape:
    """Returns a shape whose sizes are all at least 1, and no huge ones.

    Raises:
        PlanError: They are not.
    """
    if any(size is not None and not 0 < size <= LARGEST for size in result[1:]):
        raise misfit(
            operation, "What it yields must have sizes from 1 to 2^31 − 1.", shapes
        )
    return result
