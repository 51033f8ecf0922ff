"""What each operation of a program costs an engine, whole or in a tile. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fcdcc_keras.partition.boxes import Box
from fcdcc_keras.planning.cost import narrowness
from fcdcc_keras.programs import (
    Activation,
    BatchNormalization,
    Bias,
    Convolution,
    Dense,
    Depthwise,
    Operation,
    Program,
    Scale,
    Separable,
    Transposed,
)

_DEPTHWISE = 0.3
"""Of its best rate, what a light engine reaches where each channel is by itself."""


@dataclass(frozen=True)
class EngineRates:
    """What an engine on some machine can do."""

    rate: float = math.inf
    """Multiply-adds per second in wide layers."""
    kernel_rate: float = math.inf
    """Bytes of weights per second that it puts in order, or reads, at every call."""
    memory_rate: float = math.inf
    """Bytes per second that operations beside convolutions read and write."""
    operation: float = 0.0
    """Seconds for each operation, however small."""
    light: bool = True
    """Whether it was made for programs: it folds scales and normalizations into the
    weights of the convolution before them, and is good at depthwise ones."""


class OperationCosts:
    """Of each operation of a program, what an engine spends on it."""

    def __init__(self, program: Program, shapes: Sequence[Sequence[int]]) -> None:
        """Takes a program of one input, and the shapes of all its values."""
        self.program = program
        self._channels = [shape[-1] for shape in shapes]
        self._itemsize = np.dtype(program.dtype).itemsize
        self._narrow = {
            light: [
                _part_of_best(program, one, shapes, light=light)
                for one in program.operations
            ]
            for light in (False, True)
        }
        self._kernels = [
            self._itemsize * sum(map(math.prod, program.weights_of(one)))
            for one in program.operations
        ]
        self._follows = {light: _followers(program, light) for light in (False, True)}

    def seconds(
        self, needed: Sequence[Box | None], work: Sequence[int], engine: EngineRates
    ) -> list[float]:
        """Returns the seconds of each operation.

        Args:
            needed: Of each value, as ``SizedProgram.needed`` has it.
            work: As ``SizedProgram.work`` has it.
            engine: What computes it.
        """
        sizes = [
            0 if box is None else math.prod(map(len, box)) * channels * self._itemsize
            for box, channels in zip(needed, self._channels, strict=True)
        ]
        first = len(self.program.channels)
        found = []
        for number, one in enumerate(self.program.operations):
            yields = sizes[first + number]
            if yields == 0 or number in self._follows[engine.light]:
                found.append(0.0)
                continue
            moved = yields + sum(sizes[read] for read in one.reads)
            found.append(
                engine.operation
                + moved / engine.memory_rate
                + self._kernels[number] / engine.kernel_rate
                + work[number] / self._narrow[engine.light][number] / engine.rate
            )
        return found


def _part_of_best(
    program: Program, one: Operation, shapes: Sequence[Sequence[int]], *, light: bool
) -> float:
    """Returns which part of an engine's best rate an operation reaches."""
    if isinstance(one, Dense) and math.prod(shapes[one.reads[0]][:-1]) == 1:
        return math.inf  # a product of one row takes as long as reading the matrix
    if isinstance(one, Depthwise) and light:
        return _DEPTHWISE
    if not isinstance(one, Convolution | Dense):
        return 1.0
    (kernel, *_), read = program.weights_of(one), shapes[one.reads[0]][-1]
    if isinstance(one, Separable):
        filters = kernel[0] // read
    elif isinstance(one, Transposed):
        filters = kernel[-2]
    elif isinstance(one, Convolution):
        groups = read // kernel[-2]
        filters = kernel[-1] // (1 if isinstance(one, Depthwise) else groups)
    else:
        filters = kernel[-1]
    return narrowness(max(1, filters))


def _followers(program: Program, light: bool) -> set[int]:
    """Returns the operations that an engine computes within those before them."""
    readers = [0] * (len(program.operations) + len(program.channels))
    for one in program.operations:
        for read in one.reads:
            readers[read] += 1
    first, leads, found = len(program.channels), set[int](), set[int]()
    kinds: tuple[type[Operation], ...] = (Activation, Bias)
    if light:
        kinds = (Activation, Bias, Scale, BatchNormalization)
    for number, one in enumerate(program.operations):
        read = one.reads[0]
        if isinstance(one, Convolution | Dense):
            leads.add(first + number)
        elif isinstance(one, kinds) and readers[read] == 1 and read in leads:
            found.add(number)
            if not isinstance(one, Activation):
                leads.add(first + number)
    return found
