"""What a client computes of a model itself, beside what the workers convolve."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import keras

from fcdcc_keras.planning import ClientWork
from fcdcc_keras.planning.prediction import convolution_work
from fcdcc_keras.rewriting.eligibility import Eligibility
from fcdcc_keras.rewriting.keras_internals import uses

_ITEMSIZE = 4
_PASSED_ON = 4
"""Times that a coded layer's kernel is read or written: it is copied out of the graph,
and compared with the one that the workers hold."""


def client_work(examined: Sequence[Eligibility], coded: Collection[str]) -> ClientWork:
    """Returns the client's own work for one image.

    Layers whose sizes are not known count as operations only.

    Args:
        examined: The model's layers.
        coded: Paths of those that the workers convolve.
    """
    operations, moved, kernels, work = 0, 0, 0, 0.0
    for one in examined:
        if isinstance(one.layer, keras.layers.InputLayer):
            continue
        operations += 1
        read, written = _floats(one.layer)
        if one.path in coded:
            # What the workers returned is read by bias and activation, each in turn.
            steps = _steps(one.layer)
            moved += 2 * steps * written
            operations += steps
        else:
            moved += read + written
        if one.geometry is not None:
            alone = convolution_work(one.geometry)
            kernels += alone.kernels * (_PASSED_ON if one.path in coded else 1)
            work += alone.work if one.sized and one.path not in coded else 0.0
    return ClientWork(operations, moved * _ITEMSIZE, kernels, work)


def _steps(layer: Any) -> int:
    bias = bool(getattr(layer, "use_bias", False))
    activation = getattr(layer, "activation", None)
    return bias + (activation not in (None, keras.activations.linear))


def _floats(layer: keras.layers.Layer) -> tuple[int, int]:
    """Returns the numbers of one image that a layer reads and writes in all uses."""
    every = uses(layer)
    read = sum(_size(tensor.shape) for inputs, _ in every for tensor in inputs)
    return read, sum(_size(tensor.shape) for _, out in every for tensor in out)


def _size(shape: Sequence[int | None]) -> int:
    sizes = shape[1:]
    return 0 if None in sizes else math.prod(n for n in sizes if n is not None)
