"""Programs by NumPy alone: float64, and float32, where nothing else is installed.

Its BLAS has as many threads as the process gives it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np

from fcdcc_keras import programs as p
from fcdcc_keras.programs import Operation, Program
from fcdcc_keras.worker.engines.activations import activate
from fcdcc_keras.worker.engines.base import Engine, Prepared, PreparedWhole
from fcdcc_keras.worker.engines.evaluation import evaluate, shares, tent

Arrays = Sequence[np.ndarray]
_BLOCK = 2**22
"""Numbers of windows laid out for one matrix product, about."""


class NumPyEngine(Engine):
    """Computes everything, on CPUs, by matrix products."""

    name: ClassVar[str] = "numpy"

    def lacks(self, program: Program) -> list[str]:
        """Returns nothing: it has all."""
        return []

    def prepare(
        self,
        program: Program,
        weights: Arrays,
        threads: int = 1,
        sibling: Prepared | None = None,
    ) -> Prepared:
        """Returns a program ready to run; see ``Engine.prepare``."""
        return _Prepared(program, weights)


class _Prepared(PreparedWhole):
    def _evaluate(self, arrays: Arrays) -> np.ndarray:
        with np.errstate(all="ignore"):  # as the others: results tell
            output: np.ndarray = evaluate(self._lowered, self._weights, arrays, _apply)
        return output


def _apply(operation: Operation, values: Arrays, weights: Arrays) -> np.ndarray:
    x = values[0]
    match operation:
        case p.Transposed():
            return _transposed(operation, x, *weights)
        case p.Depthwise():
            return _biased(_depthwise(operation, x, weights[0]), weights)
        case p.Convolution():
            return _biased(_convolved(operation, x, weights[0]), weights)
        case p.Dense():
            flat = x.reshape(-1, x.shape[-1]) @ weights[0]
            return _biased(flat.reshape(*x.shape[:-1], -1), weights)
        case p.Bias():
            return np.add(x, weights[0])
        case p.Scale():
            return np.multiply(x, weights[0])
        case p.PReLU():
            return np.asarray(np.maximum(x, 0) + np.minimum(x, 0) * weights[0])
        case p.Rescaling():
            return np.asarray(x * operation.scale + operation.offset)
        case p.Activation():
            return np.asarray(activate(operation, x, _FUNCTIONS))
        case p.GlobalAveragePool() | p.GlobalMaxPool():
            axes = tuple(range(1, x.ndim - 1))
            average = isinstance(operation, p.GlobalAveragePool)
            reduce = np.mean if average else np.max
            return np.asarray(reduce(x, axis=axes, keepdims=operation.keepdims))
        case p.MaxPool():
            return _pooled(operation, x)
        case p.ZeroPad():
            return _padded(x, operation.pads)
        case p.Crop():
            return x[within(x.shape, operation.crops)]
        case p.Upsample():
            for axis, factor in enumerate(operation.size, 1):
                x = _sampled(x, axis, factor, operation.interpolation)
            return x
        case p.Reshape():
            return x.reshape(len(x), *(size or -1 for size in operation.target))
        case p.Merge():
            return _merged(operation.function, values)
        case p.Concatenate():
            return np.concatenate(values, operation.axis)
    raise AssertionError(operation.kind)


def _biased(outputs: np.ndarray, weights: Arrays) -> np.ndarray:
    if len(weights) > 1:
        outputs += weights[1]
    return outputs


def _padded(x: np.ndarray, pads: Sequence[p.Pair], value: float = 0.0) -> np.ndarray:
    if not any(map(any, pads)):
        return x
    return np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)


def within(shape: Sequence[int], crops: Sequence[p.Pair]) -> tuple[slice, ...]:
    """Returns the part of an array that is left without its borders."""
    steps = zip(shape[1:-1], crops, strict=True)
    return (slice(None), *(slice(above, n - below) for n, (above, below) in steps))


def _windows(
    x: np.ndarray, window: Sequence[int], strides: Sequence[int], rates: Sequence[int]
) -> np.ndarray:
    """Returns all windows as a view, ``(B, H', W', K_H, K_W, C)``."""
    axes = tuple(range(1, x.ndim - 1))
    extents = tuple((k - 1) * d + 1 for k, d in zip(window, rates, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(x, extents, axes)
    steps = tuple(slice(None, None, s) for s in strides)
    gaps = tuple(slice(None, None, d) for d in rates)
    index = (slice(None), *steps, slice(None), *gaps)
    return np.moveaxis(view[index], len(axes) + 1, -1)


def _convolved(
    operation: p.Convolution, x: np.ndarray, kernel: np.ndarray
) -> np.ndarray:
    """Returns the convolution, a matrix product of windows and kernel."""
    *window, within_group, filters = kernel.shape
    views = _windows(
        _padded(x, operation.pads), window, operation.strides, operation.dilation_rate
    )
    places = views.shape[: x.ndim - 1]
    groups = x.shape[-1] // within_group
    outputs = np.empty((*places, filters), x.dtype)
    each = filters // groups
    matrix = kernel.reshape(-1, filters)
    rows = max(1, _BLOCK // (math.prod(places[2:]) * math.prod(kernel.shape[:-1])))
    for image, start, group in product(
        range(places[0]), range(0, places[1], rows), range(groups)
    ):
        of = slice(group * within_group, (group + 1) * within_group)
        part = views[image, start : start + rows, ..., of]
        laid_out = part.reshape(-1, len(matrix))
        columns = slice(group * each, (group + 1) * each)
        result = laid_out @ matrix[:, columns]
        target = outputs[image, start : start + rows, ..., columns]
        target[...] = result.reshape(target.shape)
    return outputs


def _depthwise(operation: p.Depthwise, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    *window, channels, multiplier = kernel.shape
    x = _padded(x, operation.pads)
    views = _windows(x, window, operation.strides, operation.dilation_rate)
    outputs = np.zeros((*views.shape[: x.ndim - 1], channels, multiplier), x.dtype)
    for at in product(*map(range, window)):
        index: Any = (..., *at, slice(None))
        outputs += views[index][..., None] * kernel[at]
    return outputs.reshape(*outputs.shape[:-2], -1)


def _transposed(
    operation: p.Transposed, x: np.ndarray, kernel: np.ndarray, *bias: np.ndarray
) -> np.ndarray:
    *window, filters, _ = kernel.shape
    sizes, strides = x.shape[1:-1], operation.strides
    whole = [(n - 1) * s + k for n, s, k in zip(sizes, strides, window, strict=True)]
    more = [max(0, -after) for _, after in operation.pads]
    full = np.zeros(
        (len(x), *(n + m for n, m in zip(whole, more, strict=True)), filters), x.dtype
    )
    flat = x.reshape(-1, x.shape[-1])
    for at in product(*map(range, window)):
        steps = zip(at, sizes, strides, strict=True)
        rows = (slice(k, k + (n - 1) * s + 1, s) for k, n, s in steps)
        places = (slice(None), *rows)
        part = flat @ kernel[at].T
        full[places] += part.reshape(len(x), *sizes, filters)
    crops = [(before, max(0, after)) for before, after in operation.pads]
    outputs = full[within(full.shape, crops)]
    return np.add(outputs, bias[0]) if bias else outputs


def _pooled(operation: p.MaxPool, x: np.ndarray) -> np.ndarray:
    average = isinstance(operation, p.AveragePool)
    padded = _padded(x, operation.pads, 0.0 if average else -np.inf)
    ones = (1,) * len(operation.pool_size)
    views = _windows(padded, operation.pool_size, operation.strides, ones)
    axes = tuple(range(-len(ones) - 1, -1))
    if not average:
        return np.asarray(views.max(axes))
    return np.asarray(views.mean(axes) * shares(operation, x.shape, x.dtype))


def _sampled(x: np.ndarray, axis: int, factor: int, interpolation: str) -> np.ndarray:
    if interpolation == "nearest":
        return np.repeat(x, factor, axis)
    first, second, weight = tent(x.shape[axis], factor, axis, x.ndim, x.dtype)
    one, other = np.take(x, first, axis), np.take(x, second, axis)
    return np.asarray(one + (other - one) * weight)


def _merged(function: str, values: Arrays) -> np.ndarray:
    total = values[0]
    for value in values[1:]:
        match function:
            case "add" | "average":
                total = total + value
            case "subtract":
                total = total - value
            case "multiply":
                total = total * value
            case "maximum":
                total = np.maximum(total, value)
            case _:
                total = np.minimum(total, value)
    return total / len(values) if function == "average" else total


class _Functions:
    """What ``activate`` needs, of NumPy."""

    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)
    absolute = staticmethod(np.abs)
    square_root = staticmethod(np.sqrt)
    exp = staticmethod(np.exp)
    expm1 = staticmethod(np.expm1)
    log1p = staticmethod(np.log1p)
    tanh = staticmethod(np.tanh)

    @staticmethod
    def greater(x: np.ndarray, limit: float, yes: Any, no: Any) -> np.ndarray:
        return np.asarray(np.where(x > limit, yes, no), x.dtype)

    @staticmethod
    def sigmoid(x: np.ndarray) -> np.ndarray:
        small = np.exp(-np.abs(x))
        return np.asarray(np.where(x > 0, 1, small) / (1 + small), x.dtype)

    @staticmethod
    def gelu(x: np.ndarray) -> np.ndarray:
        # NumPy has no error function; Python's is exact, if slow.
        twice = np.frompyfunc(math.erfc, 1, 1)(x * -math.sqrt(0.5))
        return np.asarray(x * np.asarray(twice, x.dtype) / 2)

    @staticmethod
    def softmax(x: np.ndarray) -> np.ndarray:
        exps = np.exp(x - x.max(-1, keepdims=True))
        return np.asarray(exps / exps.sum(-1, keepdims=True))

    @staticmethod
    def log_softmax(x: np.ndarray) -> np.ndarray:
        x = x - x.max(-1, keepdims=True)
        return np.asarray(x - np.log(np.exp(x).sum(-1, keepdims=True)))


_FUNCTIONS: Any = _Functions
