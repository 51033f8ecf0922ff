"""Lowered programs as LiteRT models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from fcdcc_keras import programs as p
from fcdcc_keras.programs import Operation, Program
from fcdcc_keras.worker.engines.evaluation import shares
from fcdcc_keras.worker.engines.light_activations import activated
from fcdcc_keras.worker.engines.light_convolutions import WeightedStep
from fcdcc_keras.worker.engines.litert import Model, Value

Sizes = tuple[int, ...]
_VALID = 1
_LOWEST = float(np.finfo(np.float32).min)


def depends_on_sizes(program: Program) -> bool:
    """Returns whether a program's model is for one shape of the inputs alone."""
    return any(
        isinstance(operation, p.Transposed | p.Upsample | p.Reshape)
        or (
            isinstance(operation, p.MaxPool)
            and (program.rank == 3 or any(map(any, operation.pads)))
        )
        for operation in program.operations
    )


def model_of(
    program: Program,
    weights: Sequence[np.ndarray],
    inputs: Sequence[Sizes],
    outputs: Sequence[int],
) -> tuple[bytes, list[tuple[np.ndarray, np.ndarray]]]:
    """Returns a lowered program as a model, and which weights are in its memory.

    Args:
        program: The program.
        weights: Its weights.
        inputs: Shape of each input.
        outputs: Values that are wanted.

    Returns:
        The model, and pairs of a weight and a view of the model with the same numbers.
    """
    model, shapes = Model(), program.shapes(inputs)
    values = [model.input(shape) for shape in shapes[: len(inputs)]]
    given = list(values)
    for number, operation in enumerate(program.operations):
        step = _Step(
            model,
            [values[index] for index in operation.reads],
            [weights[index] for index in operation.weights],
            shapes[len(inputs) + number],
        )
        values.append(step.of(operation))
    made = model.packed(given, [values[output] for output in outputs])
    return made, model.taken(made)


class _Step:
    """One operation that becomes some of a model."""

    def __init__(
        self,
        model: Model,
        values: list[Value],
        weights: list[np.ndarray],
        shape: Sizes,
    ) -> None:
        self._model = model
        self._values = values
        self._weights = weights
        self._shape = shape
        """Of the output."""

    def of(self, operation: Operation) -> Value:
        """Adds an operation and returns its output."""
        model, x = self._model, self._values[0]
        match operation:
            case p.Convolution() | p.Dense():
                step = WeightedStep(model, x, self._weights, self._shape)
                return step.of(operation)
            case p.Bias():
                return x + model.constant(self._weights[0])
            case p.Scale():
                return x * model.constant(self._weights[0])
            case p.PReLU():
                alpha = self._weights[0].reshape((1,) * (len(x.shape) - 2) + (-1,))
                return model.add("PRELU", [x, model.constant(alpha)], self._shape)
            case p.Rescaling():
                return x * operation.scale + operation.offset
            case p.Activation():
                return activated(model, operation, x)
            case p.GlobalAveragePool() | p.GlobalMaxPool():
                average = isinstance(operation, p.GlobalAveragePool)
                return model.add(
                    "MEAN" if average else "REDUCE_MAX",
                    [x, model.integers(*range(1, len(x.shape) - 1))],
                    self._shape,
                    "ReducerOptions",
                    keepDims=operation.keepdims,
                )
            case p.MaxPool():
                return self._pooled(operation)
            case p.ZeroPad():
                return model.padded(x, operation.pads)
            case p.Crop():
                return model.cropped(x, operation.crops)
            case p.Upsample():
                return self._upsampled(operation)
            case p.Reshape():
                return model.reshaped(x, self._shape)
            case p.Merge():
                return self._merged(operation.function)
            case p.Concatenate():
                return model.add(
                    "CONCATENATION",
                    self._values,
                    self._shape,
                    "ConcatenationOptions",
                    axis=operation.axis % len(self._shape),
                )
        raise AssertionError(operation.kind)

    def _pooled(self, operation: p.MaxPool) -> Value:
        model, x = self._model, self._values[0]
        average = isinstance(operation, p.AveragePool)
        operator = "AVERAGE_POOL_2D" if average else "MAX_POOL_2D"
        window = list(zip(operation.pool_size, operation.strides, strict=True))

        def along(plane: Value, shape: Sizes, *axes: tuple[int, int]) -> Value:
            (height, down), (width, across) = axes
            return model.add(
                operator,
                [plane],
                shape,
                "Pool2DOptions",
                padding=_VALID,
                strideH=down,
                strideW=across,
                filterHeight=height,
                filterWidth=width,
            )

        padded = model.padded(x, operation.pads, 0.0 if average else _LOWEST)
        if len(window) == 2:
            pooled = along(padded, self._shape, *window)
        else:
            pooled = self._in_two(
                padded,
                lambda plane, shape: along(plane, shape, *window[1:]),
                lambda plane, shape: along(plane, shape, window[0], (1, 1)),
            )
        if not average or not any(map(any, operation.pads)):
            return pooled
        factor = shares(operation, x.shape, np.dtype(np.float32))
        return pooled * model.constant(factor)

    def _in_two(
        self,
        x: Value,
        of_planes: Callable[[Value, Sizes], Value],
        of_depth: Callable[[Value, Sizes], Value],
    ) -> Value:
        """Returns what becomes of a volume, plane by plane, then along its depth."""
        images, depth, *plane, channels = x.shape
        new_depth, *new_plane = self._shape[1:-1]
        many, each = images * depth, math.prod(new_plane)
        planes = of_planes(
            self._model.reshaped(x, (many, *plane, channels)),
            (many, *new_plane, channels),
        )
        deep = of_depth(
            self._model.reshaped(planes, (images, depth, each, channels)),
            (images, new_depth, each, channels),
        )
        return self._model.reshaped(deep, self._shape)

    def _upsampled(self, operation: p.Upsample) -> Value:
        model, bilinear = self._model, operation.interpolation == "bilinear"

        def sampled(plane: Value, shape: Sizes) -> Value:
            return model.add(
                "RESIZE_BILINEAR" if bilinear else "RESIZE_NEAREST_NEIGHBOR",
                [plane, model.integers(*shape[1:-1])],
                shape,
                "ResizeBilinearOptions" if bilinear else "ResizeNearestNeighborOptions",
                halfPixelCenters=bilinear,
            )

        if len(operation.size) == 2:
            return sampled(self._values[0], self._shape)
        return self._in_two(self._values[0], sampled, sampled)

    def _merged(self, function: str) -> Value:
        operator = {
            "add": "ADD",
            "average": "ADD",
            "subtract": "SUB",
            "multiply": "MUL",
        }.get(function, function.upper())
        total = self._values[0]
        for value in self._values[1:]:
            total = self._model.joined(operator, total, value)
        return total / len(self._values) if function == "average" else total
