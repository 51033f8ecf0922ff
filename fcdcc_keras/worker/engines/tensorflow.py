"""Programs by TensorFlow: everything, of every type, on whatever device it has.

Importable without TensorFlow, which is loaded, without Keras, when a program is
prepared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fcdcc_keras import programs as p
from fcdcc_keras.programs import Operation, Pair, Program
from fcdcc_keras.worker.engines.activations import activate
from fcdcc_keras.worker.engines.base import Engine, Prepared, PreparedWhole
from fcdcc_keras.worker.engines.evaluation import evaluate, shares, tent
from fcdcc_keras.worker.loading import prepare_tensorflow
from fcdcc_keras.worker.tensors import as_array, as_tensor

if TYPE_CHECKING:
    import tensorflow as tf

Tensors = Sequence["tf.Tensor"]


class TensorFlowEngine(Engine):
    """Computes everything, eagerly.

    Its threads are those of its worker; TensorFlow sets them once for a process.
    """

    name: ClassVar[str] = "tensorflow"

    def lacks(self, program: Program) -> list[str]:
        """Returns nothing: it has all."""
        return []

    def prepare(
        self,
        program: Program,
        weights: Sequence[np.ndarray],
        threads: int = 1,
        sibling: Prepared | None = None,
    ) -> Prepared:
        """Returns a program ready to run; see ``Engine.prepare``."""
        prepare_tensorflow()
        return _Prepared(program, weights)


class _Prepared(PreparedWhole):
    def __init__(self, program: Program, weights: Sequence[np.ndarray]) -> None:
        super().__init__(program, weights)
        self._tensors = list(map(as_tensor, self._weights))
        self._weights = []  # the tensors may have copies

    def _evaluate(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        inputs = list(map(as_tensor, arrays))
        return as_array(evaluate(self._lowered, self._tensors, inputs, _apply))


def _apply(operation: Operation, values: Tensors, weights: Tensors) -> tf.Tensor:
    import tensorflow as tf

    x = values[0]
    match operation:
        case p.Transposed():
            return _biased(_transposed(operation, x, weights[0]), weights)
        case p.Depthwise():
            return _biased(_depthwise(operation, x, weights[0]), weights)
        case p.Convolution():
            return _biased(_convolved(operation, x, weights[0]), weights)
        case p.Dense():
            # Without the reshape each image would be a matrix product of its own.
            flat = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), weights[0])
            return _biased(tf.reshape(flat, (*x.shape[:-1], -1)), weights)
        case p.Bias():
            return x + weights[0]
        case p.Scale():
            return x * weights[0]
        case p.PReLU():
            return tf.maximum(x, 0) + tf.minimum(x, 0) * weights[0]
        case p.Rescaling():
            return x * operation.scale + operation.offset
        case p.Activation():
            return activate(operation, x, _FUNCTIONS)
        case p.GlobalAveragePool() | p.GlobalMaxPool():
            average = isinstance(operation, p.GlobalAveragePool)
            reduce = tf.reduce_mean if average else tf.reduce_max
            return reduce(x, list(range(1, x.ndim - 1)), operation.keepdims)
        case p.MaxPool():
            return _pooled(operation, x)
        case p.ZeroPad():
            return _padded(x, operation.pads)
        case p.Crop():
            return _cropped(x, operation.crops)
        case p.Upsample():
            for axis, factor in enumerate(operation.size, 1):
                x = _sampled(x, axis, factor, operation.interpolation)
            return x
        case p.Reshape():
            target = [size or -1 for size in operation.target]
            return tf.reshape(x, (x.shape[0], *target))
        case p.Merge():
            return _merged(operation.function, values)
        case p.Concatenate():
            return tf.concat(values, operation.axis)
    raise AssertionError(operation.kind)


def _biased(outputs: tf.Tensor, weights: Tensors) -> tf.Tensor:
    return outputs + weights[1] if len(weights) > 1 else outputs


def _padded(x: tf.Tensor, pads: Sequence[Pair], value: float = 0.0) -> tf.Tensor:
    import tensorflow as tf

    if not any(map(any, pads)):
        return x
    return tf.pad(x, _of_all(pads), constant_values=value)


def _of_all(pads: Sequence[Pair]) -> list[list[int]]:
    """Returns the padding of all axes."""
    return [[0, 0], *map(list, pads), [0, 0]]


def _cropped(x: tf.Tensor, crops: Sequence[Pair]) -> tf.Tensor:
    steps = zip(x.shape[1:-1], crops, strict=True)
    index = (slice(None), *(slice(above, n - below) for n, (above, below) in steps))
    return x[index]


def _convolved(operation: p.Convolution, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    within, filters = kernel.shape[-2:]
    groups = x.shape[-1] // within
    if x.ndim == 4:
        if groups > 1 and within == 1:
            shape = (*kernel.shape[:-2], groups, filters // groups)
            return _depthwise(operation, x, tf.reshape(kernel, shape))
        return tf.nn.conv2d(
            x,
            kernel,
            strides=list(operation.strides),
            padding=_of_all(operation.pads),
            dilations=list(operation.dilation_rate),
        )
    strides, dilation = operation.strides, operation.dilation_rate
    whole = max(strides) > 1 and max(dilation) > 1  # nor these together
    outputs = [
        tf.nn.convolution(part, own, 1 if whole else strides, "VALID", None, dilation)
        for part, own in zip(
            # TensorFlow has no groups in three dimensions on a CPU.
            tf.split(_padded(x, operation.pads), groups, -1),
            tf.split(kernel, groups, -1),
            strict=True,
        )
    ]
    joined = outputs[0] if groups == 1 else tf.concat(outputs, -1)
    if not whole:
        return joined
    index = (slice(None), *(slice(None, None, s) for s in strides))
    return joined[index]


def _depthwise(operation: p.Convolution, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    if x.ndim == 5:
        channels, multiplier = kernel.shape[-2:]
        shape = (*kernel.shape[:-2], 1, channels * multiplier)
        return _convolved(operation, x, tf.reshape(kernel, shape))
    strides, dilation = operation.strides, operation.dilation_rate
    # TensorFlow has neither unequal strides nor strides with gaps in the kernel.
    whole = len(set(strides)) > 1 or (max(strides) > 1 and max(dilation) > 1)
    outputs = tf.nn.depthwise_conv2d(
        x,
        kernel,
        (1, 1, 1, 1) if whole else (1, *strides, 1),
        _of_all(operation.pads),
        dilations=dilation,
    )
    return outputs[:, :: strides[0], :: strides[1]] if whole else outputs


def _transposed(operation: p.Transposed, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    steps = zip(x.shape[1:-1], kernel.shape, operation.strides, strict=False)
    whole = [(n - 1) * s + k for n, k, s in steps]
    outputs = tf.nn.conv_transpose(
        x,
        kernel,
        (x.shape[0], *whole, kernel.shape[-2]),
        list(operation.strides),
        "VALID",
    )
    more = [(0, max(0, -after)) for _, after in operation.pads]
    crops = [(before, max(0, after)) for before, after in operation.pads]
    return _cropped(_padded(outputs, more), crops)


def _pooled(operation: p.MaxPool, x: tf.Tensor) -> tf.Tensor:
    average = isinstance(operation, p.AveragePool)
    pooled = _padded(x, operation.pads, 0.0 if average else float("-inf"))
    for axes in _in_two(x.ndim - 2):
        pooled = _pooled_along(axes, operation, pooled)
    if not average or not any(map(any, operation.pads)):
        return pooled
    return pooled * shares(operation, x.shape, x.dtype.as_numpy_dtype)


def _in_two(rank: int) -> list[slice]:
    """Returns along which axes to pool, one after the other, at most two at once.

    TensorFlow pools no volumes of float64 on a CPU.
    """
    return [slice(0, 2)] if rank == 2 else [slice(1, 3), slice(0, 1)]


def _pooled_along(axes: slice, operation: p.MaxPool, x: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    pool, strides = operation.pool_size[axes], operation.strides[axes]
    average = isinstance(operation, p.AveragePool)
    by = tf.nn.avg_pool2d if average else tf.nn.max_pool2d
    if len(pool) == 2:
        *others, height, width, channels = x.shape
        outputs = by(
            tf.reshape(x, (-1, height, width, channels)), pool, strides, "VALID"
        )
        return tf.reshape(outputs, (*others, *outputs.shape[1:]))
    images, depth, *plane, channels = x.shape
    flat = tf.reshape(x, (images, depth, -1, channels))
    outputs = by(flat, (*pool, 1), (*strides, 1), "VALID")
    return tf.reshape(outputs, (images, -1, *plane, channels))


def _sampled(x: tf.Tensor, axis: int, factor: int, interpolation: str) -> tf.Tensor:
    import tensorflow as tf

    if interpolation == "nearest":
        return tf.repeat(x, factor, axis)
    first, second, weight = tent(
        x.shape[axis], factor, axis, x.ndim, x.dtype.as_numpy_dtype
    )
    one, other = tf.gather(x, first, axis=axis), tf.gather(x, second, axis=axis)
    return one + (other - one) * weight


def _merged(function: str, values: Tensors) -> tf.Tensor:
    import tensorflow as tf

    total = values[0]
    for value in values[1:]:
        match function:
            case "add" | "average":
                total += value
            case "subtract":
                total -= value
            case "multiply":
                total *= value
            case "maximum":
                total = tf.maximum(total, value)
            case _:
                total = tf.minimum(total, value)
    return total / len(values) if function == "average" else total


class _Functions:
    """What ``activate`` needs, of TensorFlow."""

    def __getattr__(self, name: str) -> Any:
        import tensorflow as tf

        return {
            "absolute": tf.abs,
            "square_root": tf.sqrt,
            "expm1": tf.math.expm1,
            "log1p": tf.math.log1p,
            "log_softmax": tf.nn.log_softmax,
            "softmax": tf.nn.softmax,
        }.get(name) or getattr(tf, name)

    def greater(self, x: tf.Tensor, limit: float, yes: Any, no: Any) -> tf.Tensor:
        import tensorflow as tf

        return tf.where(x > limit, tf.cast(yes, x.dtype), tf.cast(no, x.dtype))

    def gelu(self, x: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        # TensorFlow's own has a constant of float32.
        return x * tf.math.erfc(x * -math.sqrt(0.5)) * 0.5


_FUNCTIONS: Any = _Functions()
