"""Programs of every operation, drawn at random, for cutting into tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fcdcc_keras import programs as p
from fcdcc_keras.errors import PlanError
from fcdcc_keras.programs import Operation, Program
from fcdcc_keras.worker.engines.numpy import NumPyEngine

Sizes = tuple[int, ...]
_LARGEST = 6000
"""Numbers in a value, at most."""


@dataclass
class Drawn:
    """A program with random weights and inputs, all in float64."""

    program: Program
    inputs: list[np.ndarray]
    weights: list[np.ndarray]

    @cached_property
    def whole(self) -> np.ndarray:
        """Its output."""
        return self.run(self.program, self.inputs)

    @property
    def shapes(self) -> list[Sizes]:
        """Of its inputs."""
        return [x.shape for x in self.inputs]

    def run(self, program: Program, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Returns what a program with the same weights yields."""
        return NumPyEngine().prepare(program, self.weights)(inputs)


def with_numbers(
    shapes: Sequence[Sizes], operations: Sequence[Operation], weights: Sequence[Sizes]
) -> Drawn:
    """Returns a program for inputs of some shapes, with numbers that are not 0."""
    rng = np.random.default_rng(3)
    rank = len(shapes[0]) - 2
    return Drawn(
        Program(
            tuple(shape[-1] for shape in shapes),
            rank,
            tuple(operations),
            tuple(weights),
            "float64",
        ),
        [rng.uniform(-1, 1, shape) for shape in shapes],
        [rng.uniform(0.5, 1, shape) for shape in weights],
    )


class _Drawing:
    """A program while operations are drawn."""

    def __init__(self, draw: Any, shape: Sizes) -> None:
        self.draw = draw
        self.rank = len(shape) - 2
        self.shapes = [shape]
        self.operations: list[Operation] = []
        self.weights: list[Sizes] = []

    def add(self, kind: str, value: int) -> None:
        """Adds an operation that reads a value, if it can be applied to that."""
        make = getattr(self, f"_{kind}", self._of_channels)
        read = self.shapes[value]
        operation, weights = make(p.KINDS[kind], (value,), read)
        try:
            given = [self.shapes[number] for number in operation.reads]
            shape: Any = operation.infer(given, weights)
        except PlanError:
            return
        if len(shape) == self.rank + 2 and math.prod(shape) <= _LARGEST:
            self.shapes.append(shape)
            self.operations.append(operation)
            self.weights += weights

    def _each(self, least: int, most: int) -> Sizes:
        return tuple(self.draw(st.integers(least, most)) for _ in range(self.rank))

    def _pairs(self, least: int, most: int) -> tuple[p.Pair, ...]:
        return tuple(zip(self._each(0, most), self._each(least, most), strict=True))

    def _next(self, *shapes: Sizes) -> tuple[tuple[int, ...], list[Sizes]]:
        first = len(self.weights)
        return tuple(range(first, first + len(shapes))), list(shapes)

    def _conv(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        groups = self.draw(st.sampled_from([1, read[-1]]))
        filters = groups * self.draw(st.integers(1, 2))
        kernel = (*self._each(1, 4), read[-1] // groups, filters)
        own, weights = self._next(kernel, (filters,))
        steps = self._each(1, 3), self._each(1, 3), self._pairs(0, 4)
        return of(reads, own, *steps), weights

    def _depthwise(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        own, weights = self._next((*self._each(1, 3), read[-1], 2))
        steps = self._each(1, 3), self._each(1, 2), self._pairs(0, 2)
        return of(reads, own, *steps), weights

    def _separable(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        size, channels = self._each(1, 3), read[-1]
        own, weights = self._next((channels * math.prod(size) + channels * 2,))
        steps = self._each(1, 2), self._each(1, 2), self._pairs(0, 2)
        return of(reads, own, *steps, size), weights

    def _transposed(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        own, weights = self._next((*self._each(1, 4), 2, read[-1]), (2,))
        ones = (1,) * self.rank
        either = (self._each(1, 4), ones), (ones, self._each(1, 3))
        strides, gaps = self.draw(st.sampled_from(either))
        return of(reads, own, strides, gaps, self._pairs(-4, 3)), weights

    def _dense(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        own, weights = self._next((read[-1], 2), (2,))
        return of(reads, own), weights

    def _max_pool(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        size = self._each(1, 3)
        pads = tuple(
            (min(a, n - 1), min(b, n - 1))
            for (a, b), n in zip(self._pairs(0, 2), size, strict=True)
        )
        return of(reads, (), size, self._each(1, 4), pads), []

    _average_pool = _max_pool

    def _global_max_pool(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        return of(reads, (), True), []

    _global_average_pool = _global_max_pool

    def _zero_pad(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        return of(reads, (), self._pairs(0, 4)), []

    def _crop(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        return of(reads, (), self._pairs(0, 3)), []

    def _upsample(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        ways = ["nearest", "bilinear"][: 2 if self.rank == 2 else 1]
        return of(reads, (), self._each(1, 3), self.draw(st.sampled_from(ways))), []

    def _reshape(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        return of(reads, (), (*read[-2:0:-1], read[-1])), []

    def _activation(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        functions = ["relu", "tanh", "softmax"]
        return of(reads, (), self.draw(st.sampled_from(functions))), []

    def _rescaling(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        return of(reads, (), 2.0, -0.5), []

    def _merge(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        other = self.draw(st.integers(0, len(self.shapes) - 1))
        function = self.draw(st.sampled_from(p.MERGES))
        return of((*reads, other), (), function), []

    def _concatenate(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        other = self.draw(st.integers(0, len(self.shapes) - 1))
        axis = self.draw(st.sampled_from([-1, 1, self.rank + 1]))
        return of((*reads, other), (), axis), []

    def _of_channels(self, of: Any, reads: Sizes, read: Sizes) -> Any:
        own, weights = self._next(*[(read[-1],)] * of.weighs[0])
        return of(reads, own), weights


@st.composite
def programs(draw: st.DrawFn, kind: str | None = None) -> Drawn:
    """Draws programs of up to eight operations, or of some of one kind.

    Args:
        draw: Given by Hypothesis.
        kind: That of all operations; default: of any.
    """
    rank = draw(st.integers(1, 3))
    most = {1: 24, 2: 11, 3: 6}[rank]
    sizes = [draw(st.integers(1, most)) for _ in range(rank)]
    drawing = _Drawing(draw, (draw(st.integers(1, 3)), *sizes, 2))
    for _ in range(draw(st.integers(1, 2 if kind else 8))):
        one = kind or draw(st.sampled_from(sorted(p.KINDS)))
        # The last value, mostly: a program of which most is not needed shows little.
        back = draw(st.sampled_from([0, 0, 0, 1, 2]))
        drawing.add(one, max(0, len(drawing.shapes) - 1 - back))
    if not drawing.operations:
        drawing.add("activation", 0)
    return with_numbers(drawing.shapes[:1], drawing.operations, drawing.weights)
