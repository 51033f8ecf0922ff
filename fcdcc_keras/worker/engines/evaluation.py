"""Running lowered programs operation by operation, and what that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from fcdcc_keras.programs import MaxPool, Operation, Program

Apply = Callable[[Operation, Sequence[Any], Sequence[Any]], Any]


def last_readers(program: Program) -> list[int]:
    """Returns, of each value, the last operation that reads it; -1: none does."""
    last = [-1] * (len(program.channels) + len(program.operations))
    for number, operation in enumerate(program.operations):
        for read in operation.reads:
            last[read] = number
    return last


def evaluate(
    program: Program, weights: Sequence[Any], inputs: Sequence[Any], apply: Apply
) -> Any:
    """Returns the output of a program; a value goes when nothing reads it any more.

    Args:
        program: The program.
        weights: Its weights.
        inputs: Its inputs.
        apply: Computes one operation from what it reads and its weights.
    """
    last = last_readers(program)
    values: list[Any] = [*inputs]
    for number, operation in enumerate(program.operations):
        read = [values[index] for index in operation.reads]
        own = [weights[index] for index in operation.weights]
        values.append(apply(operation, read, own))
        for index in operation.reads:
            if last[index] == number:
                values[index] = None
    return values[-1]


def shares(
    operation: MaxPool, shape: Sequence[int], dtype: np.dtype[Any]
) -> np.ndarray:
    """Returns by what means over windows of zeros, too, are to be multiplied.

    Shape ``(H', W', 1)``: a window's size over how much of it is no padding.
    """
    factors = []
    axes = zip(
        shape[1:-1],
        operation.pool_size,
        operation.strides,
        operation.pads,
        strict=True,
    )
    for size, pool, stride, (before, after) in axes:
        start = np.arange(0, size + before + after - pool + 1, stride) - before
        inside = np.minimum(start + pool, size) - np.maximum(start, 0)
        factors.append(pool / inside)
    factor = reduce(np.multiply.outer, factors)
    return np.asarray(factor[..., None], dtype)


def tent(
    size: int, factor: int, axis: int, ndim: int, dtype: np.dtype[Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns between which two each pixel lies along an axis, and how far.

    Each pixel becomes ``factor`` ones; those beyond the centres of the first and the
    last are as these.
    """
    at = np.clip((np.arange(size * factor) + 0.5) / factor - 0.5, 0, size - 1)
    first = np.floor(at).astype(np.int64)
    weight = (at - first).reshape([-1 if index == axis else 1 for index in range(ndim)])
    return first, np.minimum(first + 1, size - 1), weight.astype(dtype)
