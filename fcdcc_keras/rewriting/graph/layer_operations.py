"""Keras's layers as operations of programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fcdcc_keras import programs as p
from fcdcc_keras.errors import UnsupportedLayerError
from fcdcc_keras.layers.kinds import coded_class
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import kernel_shape, operation_of
from fcdcc_keras.programs import Operation
from fcdcc_keras.rewriting.eligibility import misplaced

Sizes = tuple[int, ...]


def unsupported(layer: Any, why: str) -> UnsupportedLayerError:
    """Returns the error that says why a layer is no operation of a program."""
    return UnsupportedLayerError(
        f"A program must have only layers that are operations of programs. Received: "
        f"{layer.name}: {why}. Let this layer be computed where the model is."
    )


class OperationWriter(ABC):
    """A program while operation after operation is added."""

    def __init__(self, inputs: Sequence[Sizes], dtype: str) -> None:
        self.dtype = dtype
        self.shapes: list[Sizes] = list(inputs)
        """Of all values."""
        self.operations: list[Operation] = []
        self.weights: list[Any] = []
        """Variables, tensors and arrays; none of them is read yet."""

    def add(self, operation: Operation, *weights: Any) -> int:
        """Adds an operation and its weights; returns the number of what it yields."""
        self.weights += weights
        read = [self.shapes[number] for number in operation.reads]
        own = [tuple(self.weights[number].shape) for number in operation.weights]
        shape: Any = operation.infer(read, own)
        self.operations.append(operation)
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def next(self, many: int) -> tuple[int, ...]:
        """Returns the numbers of the weights that are added next."""
        return tuple(range(len(self.weights), len(self.weights) + many))

    @abstractmethod
    def activated(self, activation: Any, layer: Any, read: int) -> int:
        """Adds an activation function, or a layer in place of one."""


@dataclass(frozen=True)
class _Kernel:
    """A kernel that is put together when it is read."""

    layer: Any
    shape: Sizes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        kind: Any = coded_class(type(self.layer))
        return np.asarray(kind.coding_kernel(self.layer), dtype)


def _linear(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    (read,) = reads
    if why := misplaced(layer):
        raise unsupported(layer, why)
    kind: Any = coded_class(type(layer))
    geometry = kind.geometry_of(layer, writer.shapes[read])
    weights: list[Any] = [_Kernel(layer, kernel_shape(geometry))]
    if layer.use_bias:
        weights.append(layer.bias)
    operation = operation_of(geometry, read, writer.next(len(weights)))
    return writer.activated(layer.activation, layer, writer.add(operation, *weights))


def _batch_normalization(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    shape = writer.shapes[reads[0]]
    if layer.axis % len(shape) != len(shape) - 1:
        raise unsupported(layer, "it does not normalize channels")
    ones = np.ones(shape[-1])
    weights = (
        layer.gamma if layer.scale else ones,
        layer.beta if layer.center else 0 * ones,
        layer.moving_mean,
        layer.moving_variance,
    )
    epsilon = float(layer.epsilon)
    operation = p.BatchNormalization(tuple(reads), writer.next(4), epsilon)
    return writer.add(operation, *weights)


def _normalization(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    if layer.invert:
        raise unsupported(layer, "it is the inverse")
    weights = [
        _of_channels(writer, layer, w, reads) for w in (layer.mean, layer.variance)
    ]
    epsilon = keras.backend.epsilon()
    operation = p.Normalization(tuple(reads), writer.next(2), epsilon)
    return writer.add(operation, *weights)


def _rescaling(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    scale, offset = layer.scale, layer.offset
    if np.ndim(scale) == np.ndim(offset) == 0:
        operation = p.Rescaling(tuple(reads), (), float(scale), float(offset))
        return writer.add(operation)
    scaled = writer.add(
        p.Scale(tuple(reads), writer.next(1)),
        _of_channels(writer, layer, scale, reads),
    )
    return writer.add(
        p.Bias((scaled,), writer.next(1)), _of_channels(writer, layer, offset, reads)
    )


def _of_channels(
    writer: OperationWriter, layer: Any, values: Any, reads: list[int]
) -> np.ndarray:
    """Returns a number for each channel."""
    array, channels = np.asarray(values), writer.shapes[reads[0]][-1]
    if array.size not in (1, channels) or (
        array.size > 1 and array.shape[-1] != channels
    ):
        raise unsupported(layer, "it has other numbers than one for each channel")
    return np.broadcast_to(array.reshape(-1), (channels,))


def _prelu(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    alpha = _of_channels(writer, layer, layer.alpha, reads)
    return writer.add(p.PReLU(tuple(reads), writer.next(1)), alpha)


def _pool(kind: Callable[..., Operation]) -> Any:
    def write(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
        shape = writer.shapes[reads[0]]
        rank = len(shape) - 2
        pool, strides = _each(layer.pool_size, rank), _each(layer.strides, rank)
        # What "same" adds is what it adds for a convolution.
        window = ConvGeometry(
            shape[1:-1], 1, 1, pool, strides, padding=layer.padding.lower()
        )
        return writer.add(kind(tuple(reads), (), pool, strides, window.pads))

    return write


def _each(value: Any, rank: int) -> Sizes:
    """Returns a size for each axis."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _pairs(value: Any, rank: int) -> tuple[p.Pair, ...]:
    """Returns a pair for each axis; of one axis Keras keeps the pair alone."""
    return (tuple(value),) if rank == 1 else tuple(map(tuple, value))


def _around(kind: Callable[..., Operation], attribute: str) -> Any:
    def write(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
        rank = len(writer.shapes[reads[0]]) - 2
        pairs = _pairs(getattr(layer, attribute), rank)
        return writer.add(kind(tuple(reads), (), pairs))

    return write


def _upsampling(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    size = _each(layer.size, len(writer.shapes[reads[0]]) - 2)
    interpolation = getattr(layer, "interpolation", "nearest")
    return writer.add(p.Upsample(tuple(reads), (), size, interpolation))


def _global(kind: Callable[..., Operation]) -> Any:
    def write(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
        return writer.add(kind(tuple(reads), (), layer.keepdims))

    return write


def _flatten(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    return writer.add(p.Reshape(tuple(reads), (), (0,)))


def _reshape(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    target = tuple(max(0, size) for size in layer.target_shape)
    return writer.add(p.Reshape(tuple(reads), (), target))


def _activation(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    return writer.activated(layer.activation, layer, reads[0])


def _function(name: str, *settings: str) -> Any:
    """Returns what writes a layer that is an activation with settings."""

    def write(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
        given = ((key, getattr(layer, key)) for key in settings)
        named = tuple(
            (key, None if value is None else float(value)) for key, value in given
        )
        return writer.add(p.Activation(tuple(reads), (), name, named))

    return write


def _softmax(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    shape = writer.shapes[reads[0]]
    if not isinstance(layer.axis, int) or layer.axis % len(shape) != len(shape) - 1:
        raise unsupported(layer, "it is a softmax of other axes than the channels")
    return writer.add(p.Activation(tuple(reads), (), "softmax"))


def _merge(function: str) -> Any:
    def write(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
        return writer.add(p.Merge(tuple(reads), (), function))

    return write


def _concatenate(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    axes = len(writer.shapes[reads[0]])
    axis = layer.axis % axes
    return writer.add(p.Concatenate(tuple(reads), (), -1 if axis == axes - 1 else axis))


def _nothing(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    """Of a layer that does nothing at inference."""
    return reads[0]


def _scaled_sum(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    first, second = reads
    scaled = writer.add(p.Rescaling((second,), (), float(layer.scale), 0.0))
    return writer.add(p.Merge((first, scaled), (), "add"))


def _scale(writer: OperationWriter, layer: Any, reads: list[int]) -> int:
    return writer.add(p.Scale(tuple(reads), writer.next(1)), layer.gamma)


_of: Any = keras.layers
_RANKS = ("1D", "2D", "3D")
WRITERS: dict[type, Callable[[OperationWriter, Any, list[int]], int]] = {
    **{
        getattr(_of, f"{name}{rank}"): write
        for name, write in (
            ("MaxPooling", _pool(p.MaxPool)),
            ("AveragePooling", _pool(p.AveragePool)),
            ("GlobalMaxPooling", _global(p.GlobalMaxPool)),
            ("GlobalAveragePooling", _global(p.GlobalAveragePool)),
            ("ZeroPadding", _around(p.ZeroPad, "padding")),
            ("Cropping", _around(p.Crop, "cropping")),
            ("UpSampling", _upsampling),
            ("SpatialDropout", _nothing),
        )
        for rank in _RANKS
    },
    **{getattr(_of, f"Conv{rank}"): _linear for rank in _RANKS},
    **{getattr(_of, f"Conv{rank}Transpose"): _linear for rank in _RANKS},
    **{getattr(_of, f"DepthwiseConv{rank}"): _linear for rank in _RANKS[:2]},
    **{getattr(_of, f"SeparableConv{rank}"): _linear for rank in _RANKS[:2]},
    _of.Dense: _linear,
    _of.BatchNormalization: _batch_normalization,
    _of.Normalization: _normalization,
    _of.Rescaling: _rescaling,
    _of.Activation: _activation,
    _of.ReLU: _function("relu", "negative_slope", "max_value", "threshold"),
    _of.LeakyReLU: _function("leaky_relu", "negative_slope"),
    _of.ELU: _function("elu", "alpha"),
    _of.PReLU: _prelu,
    _of.Softmax: _softmax,
    _of.Add: _merge("add"),
    _of.Subtract: _merge("subtract"),
    _of.Multiply: _merge("multiply"),
    _of.Maximum: _merge("maximum"),
    _of.Minimum: _merge("minimum"),
    _of.Average: _merge("average"),
    _of.Concatenate: _concatenate,
    _of.Flatten: _flatten,
    _of.Reshape: _reshape,
    **{
        getattr(_of, name): _nothing
        for name in (
            "ActivityRegularization",
            "AlphaDropout",
            "Dropout",
            "GaussianDropout",
            "GaussianNoise",
            "Identity",
        )
    },
}
"""What writes each of Keras's layers that programs have."""
EXAMPLES: dict[str, Callable[[OperationWriter, Any, list[int]], int]] = {
    "CustomScaleLayer": _scaled_sum,
    "LayerScale": _scale,
    "StochasticDepth": _nothing,
}
"""What writes the layers that Keras's example networks have of their own."""
