"""Stretches of a model's graph as programs, for given sizes of their inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fcdcc_keras import programs as p
from fcdcc_keras.errors import PlanError, UnsupportedLayerError
from fcdcc_keras.layers.chained import GraphStep
from fcdcc_keras.layers.kinds import coded_class, known_class, plain_class
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import kernel_shape, operation_of
from fcdcc_keras.programs import Operation, Program
from fcdcc_keras.rewriting.eligibility import misplaced
from fcdcc_keras.rewriting.keras_internals import (
    arguments,
    example_layer,
    origin,
    uses,
)
from fcdcc_keras.rewriting.walk import is_graph, runs_as_kerass

Sizes = tuple[int, ...]


def program_of(
    inputs: Sequence[Any], output: Any, sizes: Sequence[Sizes], dtype: str = "float32"
) -> tuple[Program, list[np.ndarray]]:
    """Returns a stretch of a graph as a program, and its weights as they are now.

    What ``padding="same"`` adds depends on the sizes: for others the program may be
    another.

    Args:
        inputs: Symbolic tensors that the stretch reads, all of as many dimensions.
        output: The symbolic tensor that it computes.
        sizes: Of each input, (H, W).
        dtype: float32 or float64.

    Raises:
        UnsupportedLayerError: A layer of it is none of what programs have.
    """
    shapes = [
        (1, *size, tensor.shape[-1]) for tensor, size in zip(inputs, sizes, strict=True)
    ]
    writer = Writer(shapes, dtype)
    numbers = {id(tensor): number for number, tensor in enumerate(inputs)}
    writer.graph(numbers, [output])
    writer.end(numbers[id(output)])
    return writer.program(), writer.arrays()


def program_of_model(
    model: keras.Model, sizes: Sequence[Sizes], dtype: str = "float32"
) -> tuple[Program, list[np.ndarray]]:
    """Returns a model of one output as a program; see ``program_of``."""
    (output,) = model.outputs
    return program_of(model.inputs, output, sizes, dtype)


class Writer:
    """A program while layer after layer is added."""

    def __init__(self, inputs: Sequence[Sizes], dtype: str) -> None:
        self._inputs = tuple(inputs)
        self.dtype = dtype
        self.shapes: list[Sizes] = list(inputs)
        """Of all values."""
        self.operations: list[Operation] = []
        self.weights: list[Any] = []
        """Variables, tensors and arrays; they are read by ``arrays`` only."""
        self.layers: list[Any] = []
        """All that compute or do nothing, in order; one again for each use."""
        self.steps: list[tuple[Any, int]] = []
        """Layers, models and operators of one output, with its number, in order."""

    def program(self) -> Program:
        """Returns the program."""
        return Program(
            tuple(shape[-1] for shape in self._inputs),
            len(self._inputs[0]) - 2,
            tuple(self.operations),
            tuple(tuple(weight.shape) for weight in self.weights),
            self.dtype,
        )

    def arrays(self) -> list[np.ndarray]:
        """Returns the weights as they are now."""
        return [np.asarray(weight, self.dtype) for weight in self.weights]

    def end(self, last: int) -> None:
        """Has a value be the output, by an operation that yields it, if need be."""
        if not self.operations or last != len(self.shapes) - 1:
            # Of layers that do nothing at inference, or do so at the end.
            self.add(p.Activation((last,)))

    def graph(self, numbers: dict[int, int], outputs: Sequence[Any]) -> None:
        """Adds what tensors of a graph depend on.

        Args:
            numbers: Number of the value that each tensor is, by ``id``: at first of
                those that the graph reads, at the end of all that it computes.
            outputs: The tensors.
        """
        waiting = list(outputs)
        while waiting:  # a graph may be deeper than Python's stack
            tensor = waiting[-1]
            if id(tensor) in numbers:
                waiting.pop()
                continue
            layer = origin(tensor)
            read, given = use(layer, tensor)
            missing = [one for one in read if id(one) not in numbers]
            if missing:
                waiting += missing
                continue
            if not read:
                raise _unsupported(layer, "it reads what the stretch does not")
            reads = [numbers[id(one)] for one in read]
            results = self.use(layer, arguments(layer, tensor), reads)
            numbers.update(zip(map(id, given), results, strict=True))

    def step(self, step: GraphStep, numbers: dict[int, int]) -> None:
        """Adds a step of a graph; see ``graph``."""
        called = [*step.args, *step.kwargs.values()]
        reads = [numbers[id(one)] for one in step.reads]
        results = self.use(step.operation, called, reads)
        numbers.update(zip(map(id, step.yields), results, strict=True))

    def use(self, layer: Any, called: list[Any], reads: list[int]) -> list[int]:
        """Adds a use of a layer or an operator, and returns the numbers of its outputs.

        Args:
            layer: The layer, or the operator.
            called: What it is called with.
            reads: Numbers of the tensors among that.
        """
        if not isinstance(layer, keras.layers.Layer):
            results = [self.arithmetic(layer, called, reads)]
        elif is_given_more(called):
            raise _unsupported(layer, "it is called with more than tensors")
        else:
            results = self.layer(layer, reads)
        if len(results) == 1:
            self.steps.append((layer, *results))
        return results

    def layer(self, layer: Any, reads: list[int]) -> list[int]:
        """Adds a layer and returns the numbers of its outputs."""
        if isinstance(layer, keras.Model):
            if not is_graph(layer) or not runs_as_kerass(layer):
                raise _unsupported(layer, "a model of a class of its own")
            inner: Any = layer
            if any(tensor.dtype != self.dtype for tensor in inner.inputs):
                raise _unsupported(layer, f"it is not given {self.dtype}")
            numbers = dict(zip(map(id, inner.inputs), reads, strict=True))
            self.graph(numbers, inner.outputs)
            return [numbers[id(output)] for output in inner.outputs]
        kind = plain_class(type(layer))
        if kind not in _WRITERS:
            # A class derived from one of Keras's that changes nothing of it.
            kind = (known_class(kind) if coded_class(kind) else None) or kind
        write = _WRITERS.get(kind) or _EXAMPLES.get(example_layer(kind))
        if write is None or not runs_as_kerass(layer):
            raise _unsupported(layer, f"{type(layer).__name__} is no operation of one")
        if layer.compute_dtype != self.dtype:
            raise _unsupported(layer, f"it computes in {layer.compute_dtype}")
        if not layer.built:  # as the layer that is another's activation
            raise _unsupported(layer, "it has no weights yet")
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            raise _unsupported(layer, "its channels are not last")
        if getattr(layer, "quantization_mode", None):
            raise _unsupported(layer, "it is quantized")
        self.layers.append(layer)
        try:
            return [write(self, layer, reads)]
        except PlanError as error:
            raise _unsupported(layer, str(error)) from error

    def arithmetic(self, operation: Any, given: list[Any], reads: list[int]) -> int:
        """Adds what an operator of Python's became in a graph."""
        name = type(operation).__name__.removeprefix("True")
        ours = type(operation).__module__.startswith("keras.")
        if ours and name == "Cast" and operation.dtype == self.dtype:
            return reads[0]  # as older versions of Keras have it before a layer
        if not ours or name not in _ARITHMETIC or len(given) != 2:
            raise _unsupported(operation, f"{name} is no operation of one")
        if len(reads) == 2 and name != "Divide":
            return self.add(p.Merge(tuple(reads), (), name.lower()))
        first, second = (isinstance(one, int | float) for one in given)
        if first == second or (first and name == "Divide"):
            raise _unsupported(operation, f"{name} of these is no operation of one")
        number = float(given[0] if first else given[1])
        scale, offset = {
            "Add": (1.0, number),
            "Multiply": (number, 0.0),
            "Subtract": (-1.0, number) if first else (1.0, -number),
            "Divide": (1 / (number or np.nan), 0.0),
        }[name]
        return self.add(p.Rescaling(tuple(reads), (), scale, offset))

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

    def activated(self, activation: Any, layer: Any, read: int) -> int:
        """Adds an activation function, or a layer in place of one."""
        if isinstance(activation, keras.layers.Layer):
            return self.layer(activation, [read])[0]
        name = getattr(activation, "__name__", "")
        if getattr(keras.activations, name, None) is not activation:
            raise _unsupported(layer, f"its activation is {activation!r}")
        if name == "linear":
            return read
        return self.add(p.Activation((read,), (), name))


def use(layer: Any, tensor: Any) -> tuple[list[Any], list[Any]]:
    """Returns what a layer read and yielded where it yielded a tensor."""
    for read, given in uses(layer):
        if any(one is tensor for one in given):
            return read, given
    raise _unsupported(layer, "its output is of no use of it")


def is_given_more(called: Any) -> bool:
    """Returns whether a layer is called with more than tensors, as training=True."""
    return any(
        not (one is None or one is False or isinstance(one, keras.KerasTensor))
        for one in keras.tree.flatten(called)
    )


def _unsupported(layer: Any, why: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"A program must have only layers that are operations of programs. Received: "
        f"{layer.name}: {why}. Let this layer be computed where the model is."
    )


@dataclass(frozen=True)
class _Kernel:
    """A kernel that is put together when it is read."""

    layer: Any
    shape: Sizes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        kind: Any = coded_class(type(self.layer))
        return np.asarray(kind.coding_kernel(self.layer), dtype)


def _linear(writer: Writer, layer: Any, reads: list[int]) -> int:
    (read,) = reads
    if why := misplaced(layer):
        raise _unsupported(layer, why)
    kind: Any = coded_class(type(layer))
    geometry = kind.geometry_of(layer, writer.shapes[read])
    weights: list[Any] = [_Kernel(layer, kernel_shape(geometry))]
    if layer.use_bias:
        weights.append(layer.bias)
    operation = operation_of(geometry, read, writer.next(len(weights)))
    return writer.activated(layer.activation, layer, writer.add(operation, *weights))


def _batch_normalization(writer: Writer, layer: Any, reads: list[int]) -> int:
    shape = writer.shapes[reads[0]]
    if layer.axis % len(shape) != len(shape) - 1:
        raise _unsupported(layer, "it does not normalize channels")
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


def _normalization(writer: Writer, layer: Any, reads: list[int]) -> int:
    if layer.invert:
        raise _unsupported(layer, "it is the inverse")
    weights = [
        _of_channels(writer, layer, w, reads) for w in (layer.mean, layer.variance)
    ]
    epsilon = keras.backend.epsilon()
    operation = p.Normalization(tuple(reads), writer.next(2), epsilon)
    return writer.add(operation, *weights)


def _rescaling(writer: Writer, layer: Any, reads: list[int]) -> int:
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
    writer: Writer, layer: Any, values: Any, reads: list[int]
) -> np.ndarray:
    """Returns a number for each channel."""
    array, channels = np.asarray(values), writer.shapes[reads[0]][-1]
    if array.size not in (1, channels) or (
        array.size > 1 and array.shape[-1] != channels
    ):
        raise _unsupported(layer, "it has other numbers than one for each channel")
    return np.broadcast_to(array.reshape(-1), (channels,))


def _prelu(writer: Writer, layer: Any, reads: list[int]) -> int:
    alpha = _of_channels(writer, layer, layer.alpha, reads)
    return writer.add(p.PReLU(tuple(reads), writer.next(1)), alpha)


def _pool(kind: Callable[..., Operation]) -> Any:
    def write(writer: Writer, layer: Any, reads: list[int]) -> int:
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
    def write(writer: Writer, layer: Any, reads: list[int]) -> int:
        rank = len(writer.shapes[reads[0]]) - 2
        pairs = _pairs(getattr(layer, attribute), rank)
        return writer.add(kind(tuple(reads), (), pairs))

    return write


def _upsampling(writer: Writer, layer: Any, reads: list[int]) -> int:
    size = _each(layer.size, len(writer.shapes[reads[0]]) - 2)
    interpolation = getattr(layer, "interpolation", "nearest")
    return writer.add(p.Upsample(tuple(reads), (), size, interpolation))


def _global(kind: Callable[..., Operation]) -> Any:
    def write(writer: Writer, layer: Any, reads: list[int]) -> int:
        return writer.add(kind(tuple(reads), (), layer.keepdims))

    return write


def _flatten(writer: Writer, layer: Any, reads: list[int]) -> int:
    return writer.add(p.Reshape(tuple(reads), (), (0,)))


def _reshape(writer: Writer, layer: Any, reads: list[int]) -> int:
    target = tuple(max(0, size) for size in layer.target_shape)
    return writer.add(p.Reshape(tuple(reads), (), target))


def _activation(writer: Writer, layer: Any, reads: list[int]) -> int:
    return writer.activated(layer.activation, layer, reads[0])


def _function(name: str, *settings: str) -> Any:
    """Returns what writes a layer that is an activation with settings."""

    def write(writer: Writer, layer: Any, reads: list[int]) -> int:
        given = ((key, getattr(layer, key)) for key in settings)
        named = tuple(
            (key, None if value is None else float(value)) for key, value in given
        )
        return writer.add(p.Activation(tuple(reads), (), name, named))

    return write


def _softmax(writer: Writer, layer: Any, reads: list[int]) -> int:
    shape = writer.shapes[reads[0]]
    if not isinstance(layer.axis, int) or layer.axis % len(shape) != len(shape) - 1:
        raise _unsupported(layer, "it is a softmax of other axes than the channels")
    return writer.add(p.Activation(tuple(reads), (), "softmax"))


def _merge(function: str) -> Any:
    def write(writer: Writer, layer: Any, reads: list[int]) -> int:
        return writer.add(p.Merge(tuple(reads), (), function))

    return write


def _concatenate(writer: Writer, layer: Any, reads: list[int]) -> int:
    axes = len(writer.shapes[reads[0]])
    axis = layer.axis % axes
    return writer.add(p.Concatenate(tuple(reads), (), -1 if axis == axes - 1 else axis))


def _nothing(writer: Writer, layer: Any, reads: list[int]) -> int:
    """Of a layer that does nothing at inference."""
    return reads[0]


def _scaled_sum(writer: Writer, layer: Any, reads: list[int]) -> int:
    first, second = reads
    scaled = writer.add(p.Rescaling((second,), (), float(layer.scale), 0.0))
    return writer.add(p.Merge((first, scaled), (), "add"))


def _scale(writer: Writer, layer: Any, reads: list[int]) -> int:
    return writer.add(p.Scale(tuple(reads), writer.next(1)), layer.gamma)


_ARITHMETIC = ("Add", "Multiply", "Subtract", "Divide")
_of: Any = keras.layers
_RANKS = ("1D", "2D", "3D")
_WRITERS: dict[type, Callable[[Writer, Any, list[int]], int]] = {
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
_EXAMPLES: dict[str, Callable[[Writer, Any, list[int]], int]] = {
    "CustomScaleLayer": _scaled_sum,
    "LayerScale": _scale,
    "StochasticDepth": _nothing,
}
"""What writes the layers that Keras's example networks have of their own."""
