"""Scales and biases that follow a convolution, in its weights: no pass of their own.

By one rounding of each weight the numbers are others than one after another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fcdcc_keras import programs as p
from fcdcc_keras.programs import Operation, Program


def fold(
    program: Program, weights: Sequence[np.ndarray], outputs: Sequence[int] = ()
) -> tuple[Program, list[np.ndarray], list[int]]:
    """Returns a lowered program without scales and biases that can be folded.

    Args:
        program: The program.
        weights: Its weights.
        outputs: Values that are wanted, besides that of the last operation.

    Returns:
        The program, its weights, and where its outputs are.
    """
    first = len(program.channels)
    readers = Counter(read for one in program.operations for read in one.reads)
    readers.update(outputs)
    places = list(range(first))
    kept: list[tuple[Operation, list[np.ndarray]]] = []
    last = len(program.operations) - 1
    for number, operation in enumerate(program.operations):
        own = [weights[index] for index in operation.weights]
        place = places[operation.reads[0]]
        alone = readers[operation.reads[0]] == 1 and place >= first
        # The output is what the last operation yields.
        alone = alone and (number < last or place == first + len(kept) - 1)
        if alone and isinstance(operation, p.Scale | p.Bias):
            before, folded = kept[place - first]
            if isinstance(before, p.Convolution | p.Dense):
                kept[place - first] = before, _folded(before, folded, operation, own[0])
                places.append(place)
                continue
        reads = tuple(places[read] for read in operation.reads)
        kept.append((replace(operation, reads=reads), own))
        places.append(first + len(kept) - 1)
    return *_joined(program, kept), [places[output] for output in outputs]


def _folded(
    before: Operation, weights: list[np.ndarray], operation: Operation, own: np.ndarray
) -> list[np.ndarray]:
    """Returns the weights with which an operation does the next one's work, too."""
    kernel, *bias = weights
    if isinstance(operation, p.Bias):
        return [kernel, bias[0] + own if bias else own]
    if isinstance(before, p.Transposed):
        scaled = kernel * own[:, None]
    elif isinstance(before, p.Depthwise):
        scaled = kernel * own.reshape(kernel.shape[-2:])
    else:
        scaled = kernel * own
    return [scaled, *(one * own for one in bias)]


def _joined(
    program: Program, kept: Sequence[tuple[Operation, list[np.ndarray]]]
) -> tuple[Program, list[np.ndarray]]:
    arrays: list[np.ndarray] = []
    operations = []
    for operation, own in kept:
        numbers = tuple(range(len(arrays), len(arrays) + len(own)))
        arrays += own
        operations.append(replace(operation, weights=numbers))
    shapes = tuple(array.shape for array in arrays)
    return replace(program, operations=tuple(operations), weights=shapes), arrays
