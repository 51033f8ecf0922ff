"""A program: what a worker computes, as plain data that checks itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcdcc_keras.errors import PlanError
from fcdcc_keras.programs.operation import (
    LARGEST,
    Operation,
    Reach,
    Shape,
    brief,
    is_integer,
)

VERSION = 1
"""Of programs as they are written here; those of later ones are refused."""
DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Program:
    """Operations, each of which reads inputs or what earlier ones yield.

    What the last one yields is the output.
    """

    channels: tuple[int, ...]
    """Of each input."""
    rank: int
    """Dimensions of all inputs between images and channels: 2 for ``(B, H, W, C)``."""
    operations: tuple[Operation, ...]
    weights: tuple[tuple[int, ...], ...] = ()
    """Shape of each weight. The arrays themselves go beside a program."""
    dtype: str = "float32"
    """float32 or float64: of inputs, weights, output and all between."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise _broken("be of dtype float32 or float64", dtype=self.dtype)
        if not is_integer(self.rank, 0) or self.rank > 3:
            raise _broken("have inputs of 0 to 3 dimensions", rank=self.rank)
        if not self.channels or not all(is_integer(c, 1) for c in self.channels):
            raise _broken("have inputs with channels", channels=self.channels)
        for shape in self.weights:
            if len(shape) > 5 or not all(is_integer(size, 1) for size in shape):
                raise _broken("have weights of up to 5 axes of 1 or more", weight=shape)
        if not self.operations:
            raise _broken("have an operation", operations=self.operations)
        for number, operation in enumerate(self.operations):
            if any(read >= len(self.channels) + number for read in operation.reads):
                raise _broken(
                    "read no value before it is there",
                    operation=number,
                    reads=operation.reads,
                )
            if any(weight >= len(self.weights) for weight in operation.weights):
                raise _broken(
                    f"name weights that it has: {len(self.weights)}",
                    operation=number,
                    weights=operation.weights,
                )
        _ = self.known_shapes  # each operation fits what it reads

    @property
    def known_shapes(self) -> list[Shape]:
        """What is known of the shapes of all values, whatever the inputs' sizes."""
        return self._infer([(None,) * (self.rank + 1) + (c,) for c in self.channels])

    def weights_of(self, operation: Operation) -> list[tuple[int, ...]]:
        """Returns the shapes of an operation's weights."""
        return [self.weights[number] for number in operation.weights]

    def shapes(self, inputs: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
        """Returns the shapes of all values, the inputs first, the output last.

        Args:
            inputs: Shape of each input, ``(B, H, W, C)``.

        Raises:
            PlanError: It is no program for these.
        """
        given = [tuple(shape) for shape in inputs]
        fitting = len(given) == len(self.channels) and all(
            len(shape) == self.rank + 2
            and shape[-1] == wanted
            and all(0 < size <= LARGEST for size in shape)
            for shape, wanted in zip(given, self.channels, strict=False)
        )
        if not fitting:
            raise PlanError(
                f"The inputs must have {self.rank} dimensions between images and "
                f"channels, and {brief(self.channels)} channels. Received: "
                f"{brief(given)}. Give such inputs."
            )
        known: Any = self._infer(given)
        return list(known)

    def reach(self, operation: Operation, rank: int) -> tuple[Reach, ...] | None:
        """Returns how far an operation of this program reaches along each axis."""
        return operation.reach(rank, self.weights_of(operation))

    def multiply_adds(self, inputs: Sequence[Sequence[int]]) -> int:
        """Returns the multiply-adds of all convolutions and products.

        Args:
            inputs: Shape of each input, ``(B, H, W, C)``.

        Raises:
            PlanError: It is no program for these.
        """
        shapes = self.shapes(inputs)
        return sum(
            operation.multiply_adds(
                shapes[operation.reads[0]], yields, self.weights_of(operation)
            )
            for operation, yields in zip(
                self.operations, shapes[len(inputs) :], strict=True
            )
        )

    @property
    def weight_bytes(self) -> int:
        """Of all weights."""
        return sum(map(math.prod, self.weights)) * np.dtype(self.dtype).itemsize

    def check_weights(self, arrays: Sequence[np.ndarray]) -> None:
        """Checks that arrays are this program's weights.

        Raises:
            PlanError: One is missing, or has another shape or type.
        """
        found = [(array.shape, array.dtype.name) for array in arrays]
        if found != [(shape, self.dtype) for shape in self.weights]:
            raise PlanError(
                f"The weights of a program must be {len(self.weights)} arrays of "
                f"{self.dtype}, of shapes {brief(self.weights)}. Received: "
                f"{brief(found)}. Give those that it was made with."
            )

    def _infer(self, inputs: Sequence[Shape]) -> list[Shape]:
        values = list(inputs)
        for number, operation in enumerate(self.operations):
            read = [values[index] for index in operation.reads]
            try:
                values.append(operation.infer(read, self.weights_of(operation)))
            except PlanError as error:
                raise PlanError(f"Operation {number}: {error}") from None
        return values


def _broken(rule: str, **received: object) -> PlanError:
    values = ", ".join(f"{name}={brief(value)}" for name, value in received.items())
    return PlanError(f"A program must {rule}. Received: {values}. Correct the program.")
