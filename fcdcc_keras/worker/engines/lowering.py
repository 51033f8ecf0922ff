"""Programs in fewer kinds of operations, which all engines have.

One dimension becomes two, of which the second is 1; a separable convolution becomes
two, and one transposed with gaps in its kernel a plain one; normalizations become
biases and scales.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fcdcc_keras import programs as p
from fcdcc_keras.programs import Operation, Program

_ONES = {
    "strides": 1,
    "dilation_rate": 1,
    "pads": (0, 0),
    "kernel_size": 1,
    "pool_size": 1,
    "crops": (0, 0),
    "size": 1,
}
"""What parameters are along an axis of length 1."""


def lower(
    program: Program, weights: Sequence[np.ndarray]
) -> tuple[Program, list[np.ndarray], list[int]]:
    """Returns a program that computes the same, its weights, and where values are.

    Its values are as those of the program, or, where these have one dimension, with a
    second of length 1 before the channels; the third of what is returned has the number
    of each in the lowered program.
    """
    lowering = _Lowering(program)
    for operation in program.operations:
        lowering.take(operation, [weights[number] for number in operation.weights])
    return lowering.program(), lowering.arrays, lowering.places


class _Lowering:
    """A program while it is being lowered."""

    def __init__(self, program: Program) -> None:
        self._dtype = np.dtype(program.dtype)
        self._channels = program.channels
        self._rank = 2 if program.rank == 1 else program.rank
        self._shapes = program.known_shapes
        self._operations: list[Operation] = []
        self.places = list(range(len(program.channels)))
        """Number of each value of the program in the lowered one."""
        self.arrays: list[np.ndarray] = []

    def program(self) -> Program:
        """Returns what it has become."""
        return Program(
            self._channels,
            self._rank,
            tuple(self._operations),
            tuple(array.shape for array in self.arrays),
            self._dtype.name,
        )

    def take(self, operation: Operation, weights: list[np.ndarray]) -> None:
        """Adds what an operation becomes."""
        shape = self._shapes[operation.reads[0]]
        reads = tuple(self.places[number] for number in operation.reads)
        operation = replace(operation, reads=reads)
        if isinstance(operation, p.Concatenate) and operation.axis == len(shape) - 1:
            operation = replace(operation, axis=-1)
        if len(shape) == 3:
            operation, weights = _two_dimensional(operation, weights)
        if isinstance(operation, p.Reshape) and len(operation.target) == 2:
            first, channels = operation.target
            operation = replace(operation, target=(first, 1, channels))
        if isinstance(operation, p.Separable):
            assert shape[-1] is not None
            self._separable(operation, shape[-1], *weights)
        elif isinstance(operation, p.Transposed) and max(operation.dilation_rate) > 1:
            self._turned(operation, *weights)
        elif isinstance(operation, p.BatchNormalization):
            gamma, beta, mean, variance = (w.astype(np.float64) for w in weights)
            scale = gamma / np.sqrt(variance + operation.epsilon)
            self._add(p.Scale(reads, (0,)), scale)
            self._add(p.Bias((self._last,), (0,)), beta - mean * scale)
        elif isinstance(operation, p.Normalization):
            mean, variance = (w.astype(np.float64) for w in weights)
            divisor = np.maximum(np.sqrt(variance), operation.epsilon)
            self._add(p.Bias(reads, (0,)), -mean)
            self._add(p.Scale((self._last,), (0,)), 1 / divisor)
        else:
            self._add(operation, *weights)
        self.places.append(self._last)

    @property
    def _last(self) -> int:
        return len(self._channels) + len(self._operations) - 1

    def _add(self, operation: Operation, *weights: np.ndarray) -> None:
        first = len(self.arrays)
        numbers = tuple(range(first, first + len(weights)))
        self.arrays += [w.astype(self._dtype, copy=False) for w in weights]
        self._operations.append(replace(operation, weights=numbers))

    def _separable(
        self,
        operation: p.Separable,
        channels: int,
        kernel: np.ndarray,
        *bias: np.ndarray,
    ) -> None:
        window, multiplier = operation.kernel_size, operation.depth_multiplier
        many = math.prod(window) * channels * multiplier
        steps = operation.strides, operation.dilation_rate, operation.pads
        shape = (*window, channels, multiplier)
        self._add(
            p.Depthwise(operation.reads, (0,), *steps), kernel[:many].reshape(shape)
        )
        ones = (1,) * len(window)
        self._add(
            p.Convolution((self._last,), (0,), ones, ones, ((0, 0),) * len(window)),
            kernel[many:].reshape(*ones, channels * multiplier, -1),
            *bias,
        )

    def _turned(
        self, operation: p.Transposed, kernel: np.ndarray, *bias: np.ndarray
    ) -> None:
        """Adds a transposed convolution of stride 1 as a convolution."""
        axes = tuple(range(kernel.ndim - 2))
        around = tuple((n - 1, n - 1) for n in operation.extents([kernel.shape]))
        steps = operation.strides, operation.dilation_rate, around
        turned = np.ascontiguousarray(np.flip(kernel, axes).swapaxes(-1, -2))
        self._add(p.Convolution(operation.reads, (0,), *steps), turned)
        crops = tuple((before, max(0, after)) for before, after in operation.pads)
        more = tuple((0, max(0, -after)) for _, after in operation.pads)
        if any(map(any, more)):
            self._add(p.ZeroPad((self._last,), pads=more))
        if any(map(any, crops)):
            self._add(p.Crop((self._last,), crops=crops))
        if bias:
            self._add(p.Bias((self._last,), (0,)), *bias)


def _two_dimensional(
    operation: Operation, weights: list[np.ndarray]
) -> tuple[Operation, list[np.ndarray]]:
    """Returns an operation of one dimension with a second one, of length 1."""
    more: dict[str, Any] = {
        name: (*getattr(operation, name), one)
        for name, one in _ONES.items()
        if hasattr(operation, name)
    }
    if isinstance(operation, p.Convolution):
        if not isinstance(operation, p.Transposed):
            # Equal ones are the fast ones, and those that all engines have.
            more["strides"] = more["strides"][:1] * 2
        if not isinstance(operation, p.Separable):
            weights = [weights[0][:, None], *weights[1:]]
    return replace(operation, **more), weights
