"""Stretches of a model's graph as programs, for given sizes of their inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from fcdcc_keras import programs as p
from fcdcc_keras.errors import PlanError
from fcdcc_keras.layers.chained import GraphStep
from fcdcc_keras.layers.kinds import coded_class, known_class, plain_class
from fcdcc_keras.programs import Program
from fcdcc_keras.rewriting.graph.layer_operations import (
    EXAMPLES,
    WRITERS,
    OperationWriter,
    Sizes,
    unsupported,
)
from fcdcc_keras.rewriting.keras_internals import (
    arguments,
    example_layer,
    origin,
    uses,
)
from fcdcc_keras.rewriting.walk import is_graph, runs_as_kerass

_ARITHMETIC = ("Add", "Multiply", "Subtract", "Divide")


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


class Writer(OperationWriter):
    """A program while layer after layer is added."""

    def __init__(self, inputs: Sequence[Sizes], dtype: str) -> None:
        super().__init__(inputs, dtype)
        self._inputs = tuple(inputs)
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
                raise unsupported(layer, "it reads what the stretch does not")
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
            raise unsupported(layer, "it is called with more than tensors")
        else:
            results = self.layer(layer, reads)
        if len(results) == 1:
            self.steps.append((layer, *results))
        return results

    def layer(self, layer: Any, reads: list[int]) -> list[int]:
        """Adds a layer and returns the numbers of its outputs."""
        if isinstance(layer, keras.Model):
            if not is_graph(layer) or not runs_as_kerass(layer):
                raise unsupported(layer, "a model of a class of its own")
            inner: Any = layer
            if any(tensor.dtype != self.dtype for tensor in inner.inputs):
                raise unsupported(layer, f"it is not given {self.dtype}")
            numbers = dict(zip(map(id, inner.inputs), reads, strict=True))
            self.graph(numbers, inner.outputs)
            return [numbers[id(output)] for output in inner.outputs]
        kind = plain_class(type(layer))
        if kind not in WRITERS:
            # A class derived from one of Keras's that changes nothing of it.
            kind = (known_class(kind) if coded_class(kind) else None) or kind
        write = WRITERS.get(kind) or EXAMPLES.get(example_layer(kind))
        if write is None or not runs_as_kerass(layer):
            raise unsupported(layer, f"{type(layer).__name__} is no operation of one")
        if layer.compute_dtype != self.dtype:
            raise unsupported(layer, f"it computes in {layer.compute_dtype}")
        if not layer.built:  # as the layer that is another's activation
            raise unsupported(layer, "it has no weights yet")
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            raise unsupported(layer, "its channels are not last")
        if getattr(layer, "quantization_mode", None):
            raise unsupported(layer, "it is quantized")
        self.layers.append(layer)
        try:
            return [write(self, layer, reads)]
        except PlanError as error:
            raise unsupported(layer, str(error)) from error

    def arithmetic(self, operation: Any, given: list[Any], reads: list[int]) -> int:
        """Adds what an operator of Python's became in a graph."""
        name = type(operation).__name__.removeprefix("True")
        ours = type(operation).__module__.startswith("keras.")
        if ours and name == "Cast" and operation.dtype == self.dtype:
            return reads[0]  # as older versions of Keras have it before a layer
        if not ours or name not in _ARITHMETIC or len(given) != 2:
            raise unsupported(operation, f"{name} is no operation of one")
        if len(reads) == 2 and name != "Divide":
            return self.add(p.Merge(tuple(reads), (), name.lower()))
        first, second = (isinstance(one, int | float) for one in given)
        if first == second or (first and name == "Divide"):
            raise unsupported(operation, f"{name} of these is no operation of one")
        number = float(given[0] if first else given[1])
        scale, offset = {
            "Add": (1.0, number),
            "Multiply": (number, 0.0),
            "Subtract": (-1.0, number) if first else (1.0, -number),
            "Divide": (1 / (number or np.nan), 0.0),
        }[name]
        return self.add(p.Rescaling(tuple(reads), (), scale, offset))

    def activated(self, activation: Any, layer: Any, read: int) -> int:
        """Adds an activation function, or a layer in place of one."""
        if isinstance(activation, keras.layers.Layer):
            return self.layer(activation, [read])[0]
        name = getattr(activation, "__name__", "")
        if getattr(keras.activations, name, None) is not activation:
            raise unsupported(layer, f"its activation is {activation!r}")
        if name == "linear":
            return read
        return self.add(p.Activation((read,), (), name))


def use(layer: Any, tensor: Any) -> tuple[list[Any], list[Any]]:
    """Returns what a layer read and yielded where it yielded a tensor."""
    for read, given in uses(layer):
        if any(one is tensor for one in given):
            return read, given
    raise unsupported(layer, "its output is of no use of it")


def is_given_more(called: Any) -> bool:
    """Returns whether a layer is called with more than tensors, as training=True."""
    return any(
        not (one is None or one is False or isinstance(one, keras.KerasTensor))
        for one in keras.tree.flatten(called)
    )
