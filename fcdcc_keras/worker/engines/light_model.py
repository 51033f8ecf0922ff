"""Lowered programs as LiteRT models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fcdcc_keras import programs as p
from fcdcc_keras.programs import Operation, Pair, Program
from fcdcc_keras.worker.engines.activations import activate
from fcdcc_keras.worker.engines.evaluation import shares
from fcdcc_keras.worker.engines.litert import Model, Value

Sizes = tuple[int, ...]
_VALID = 1
_LINE = 16
"""Numbers of float32 in a cache line."""
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
    program: Program, weights: Sequence[np.ndarray], inputs: Sequence[Sizes]
) -> bytes:
    """Returns a lowered program as a model.

    Args:
        program: The program.
        weights: Its weights.
        inputs: Shape of each input.
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
    return model.bytes(given, values[-1])


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
            case p.Transposed():
                return self._transposed(operation)
            case p.Depthwise():
                return self._depthwise(operation, self._weights[0])
            case p.Convolution():
                return self._convolved(operation)
            case p.Dense():
                kernel = _turned(self._weights[0])
                return model.add(
                    "FULLY_CONNECTED",
                    [x, model.constant(kernel), self._bias(len(kernel))],
                    self._shape,
                    "FullyConnectedOptions",
                    keepNumDims=True,
                )
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
                return self._activated(operation, x)
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
                return self._padded(x, operation.pads)
            case p.Crop():
                return self._cropped(x, operation.crops)
            case p.Upsample():
                return self._upsampled(operation)
            case p.Reshape():
                return self._reshape(x, self._shape)
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

    def _bias(self, filters: int) -> Value:
        given = self._weights[1:] or [np.zeros(filters, np.float32)]
        return self._model.constant(given[0])

    def _reshape(self, x: Value, shape: Sizes) -> Value:
        sizes = self._model.integers(*shape)
        return self._model.add("RESHAPE", [x, sizes], shape)

    def _cropped(self, x: Value, crops: Sequence[Pair]) -> Value:
        if not any(map(any, crops)):
            return x
        model, all_axes = self._model, ((0, 0), *crops, (0, 0))
        sizes = zip(x.shape[1:-1], crops, strict=True)
        return model.add(
            "STRIDED_SLICE",
            [
                x,
                model.integers(*(above for above, _ in all_axes)),
                model.integers(*(-below for _, below in all_axes)),
                model.integers(*(1 for _ in all_axes)),
            ],
            (x.shape[0], *(n - sum(around) for n, around in sizes), x.shape[-1]),
            "StridedSliceOptions",
            # Axes of which nothing is cut off at the end.
            endMask=sum(1 << axis for axis, (_, n) in enumerate(all_axes) if not n),
        )

    def _padded(self, x: Value, pads: Sequence[Pair], value: float = 0.0) -> Value:
        if not any(map(any, pads)):
            return x
        model = self._model
        sizes = zip(x.shape[1:-1], pads, strict=True)
        shape = (x.shape[0], *(n + sum(around) for n, around in sizes), x.shape[-1])
        around = model.constant(np.array([(0, 0), *pads, (0, 0)], np.int32))
        if value == 0:
            return model.add("PAD", [x, around], shape)
        number = model.constant(np.array(value, np.float32))
        return model.add("PADV2", [x, around, number], shape)

    def _convolved(self, operation: p.Convolution) -> Value:
        model, kernel = self._model, self._weights[0]
        within, filters = kernel.shape[-2:]
        x = self._values[0]
        groups = x.shape[-1] // within
        if len(x.shape) == 5:
            return self._of_volume(operation, kernel, groups)
        if groups > 1 and within == 1:
            shape = (*kernel.shape[:-2], groups, filters // groups)
            return self._depthwise(operation, kernel.reshape(shape))
        ohwi = _turned(kernel.reshape(-1, filters)).reshape(-1, *kernel.shape[:-1])
        return model.add(
            "CONV_2D",
            [
                self._padded(x, operation.pads),
                model.constant(ohwi),
                self._bias(filters),
            ],
            self._shape,
            "Conv2DOptions",
            padding=_VALID,
            **_steps(operation),
        )

    def _of_volume(
        self, operation: p.Convolution, kernel: np.ndarray, groups: int
    ) -> Value:
        model = self._model
        x = self._padded(self._values[0], operation.pads)
        parts = [x]
        if groups > 1:
            part = (*x.shape[:-1], x.shape[-1] // groups)
            axis = model.constant(np.array(len(x.shape) - 1, np.int32))
            parts = model.add_all(
                "SPLIT", [axis, x], [part] * groups, "SplitOptions", numSplits=groups
            )
        each = kernel.shape[-1] // groups
        outputs = [
            model.add(
                "CONV_3D",
                [part, model.constant(np.ascontiguousarray(own))],
                (*self._shape[:-1], each),
                "Conv3DOptions",
                padding=_VALID,
                strideD=operation.strides[0],
                strideH=operation.strides[1],
                strideW=operation.strides[2],
                dilationDFactor=operation.dilation_rate[0],
                dilationHFactor=operation.dilation_rate[1],
                dilationWFactor=operation.dilation_rate[2],
            )
            for part, own in zip(parts, np.split(kernel, groups, -1), strict=True)
        ]
        joined = outputs[0]
        if groups > 1:
            joined = model.add(
                "CONCATENATION", outputs, self._shape, "ConcatenationOptions", axis=4
            )
        return joined + self._bias(0) if len(self._weights) > 1 else joined

    def _depthwise(self, operation: p.Convolution, kernel: np.ndarray) -> Value:
        model, multiplier = self._model, kernel.shape[-1]
        if kernel.ndim == 5:
            flat = kernel.reshape(*kernel.shape[:3], 1, -1)
            return self._of_volume(operation, flat, kernel.shape[-2])
        flat = np.ascontiguousarray(kernel.reshape(1, *kernel.shape[:2], -1))
        return model.add(
            "DEPTHWISE_CONV_2D",
            [
                self._padded(self._values[0], operation.pads),
                model.constant(flat),
                self._bias(flat.shape[-1]),
            ],
            self._shape,
            "DepthwiseConv2DOptions",
            padding=_VALID,
            depthMultiplier=multiplier,
            **_steps(operation),
        )

    def _transposed(self, operation: p.Transposed) -> Value:
        model, x, kernel = self._model, self._values[0], self._weights[0]
        filters = kernel.shape[-2]
        steps = zip(x.shape[1:-1], kernel.shape, operation.strides, strict=False)
        whole = (x.shape[0], *((n - 1) * s + k for n, k, s in steps), filters)
        if kernel.ndim == 4:
            outputs = model.add(
                "TRANSPOSE_CONV",
                [
                    model.integers(*whole),
                    model.constant(np.ascontiguousarray(kernel.transpose(2, 0, 1, 3))),
                    x,
                ],
                whole,
                "TransposeConvOptions",
                padding=_VALID,
                strideH=operation.strides[0],
                strideW=operation.strides[1],
            )
        else:
            outputs = model.add(
                "CONV_3D_TRANSPOSE",
                [model.integers(*whole), model.constant(kernel), x],
                whole,
                "Conv3DOptions",
                padding=_VALID,
                strideD=operation.strides[0],
                strideH=operation.strides[1],
                strideW=operation.strides[2],
                dilationDFactor=1,
                dilationHFactor=1,
                dilationWFactor=1,
            )
        more = [(0, max(0, -after)) for _, after in operation.pads]
        crops = [(before, max(0, after)) for before, after in operation.pads]
        outputs = self._cropped(self._padded(outputs, more), crops)
        return outputs + self._bias(0) if len(self._weights) > 1 else outputs

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

        padded = self._padded(x, operation.pads, 0.0 if average else _LOWEST)
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
            self._reshape(x, (many, *plane, channels)), (many, *new_plane, channels)
        )
        deep = of_depth(
            self._reshape(planes, (images, depth, each, channels)),
            (images, new_depth, each, channels),
        )
        return self._reshape(deep, self._shape)

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

    def _activated(self, operation: p.Activation, x: Value) -> Value:
        native = _NATIVE.get(operation.function)
        if native and not operation.parameters:
            return self._model.add(native, [x], x.shape)
        if operation.function == "leaky_relu":
            slope = operation.settings["negative_slope"]
            return self._model.add(
                "LEAKY_RELU", [x], x.shape, "LeakyReluOptions", alpha=slope
            )
        result: Value = activate(operation, x, _Functions(self._model))
        return result


_NATIVE = {
    "relu": "RELU",
    "relu6": "RELU6",
    "elu": "ELU",
    "sigmoid": "LOGISTIC",
    "tanh": "TANH",
    "hard_silu": "HARD_SWISH",
}
"""Activations that LiteRT has as they are where nothing is set."""


def _turned(matrix: np.ndarray) -> np.ndarray:
    """Returns the transpose; by a cache line at a time it takes a third of the time."""
    turned = np.empty(matrix.shape[::-1], matrix.dtype)
    for row in range(0, len(matrix), _LINE):
        turned[:, row : row + _LINE] = matrix[row : row + _LINE].T
    return turned


def _steps(operation: p.Convolution) -> dict[str, Any]:
    (height, width), (down, across) = operation.strides, operation.dilation_rate
    return {
        "strideH": height,
        "strideW": width,
        "dilationHFactor": down,
        "dilationWFactor": across,
    }


class _Functions:
    """What ``activate`` needs, of LiteRT."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def maximum(self, x: Value, least: float) -> Value:
        if least == 0:
            return self._model.add("RELU", [x], x.shape)
        return self._model.joined("MAXIMUM", x, least)

    def minimum(self, x: Value, most: float) -> Value:
        return self._model.joined("MINIMUM", x, most)

    def greater(self, x: Value, limit: float, yes: Any, no: Any) -> Value:
        where = self._compare("GREATER", x, limit)
        return self._select(where, yes, no)

    def absolute(self, x: Value) -> Value:
        return self._model.add("ABS", [x], x.shape)

    def square_root(self, x: Value) -> Value:
        return self._model.add("SQRT", [x], x.shape)

    def exp(self, x: Value) -> Value:
        return self._model.add("EXP", [x], x.shape)

    def expm1(self, x: Value) -> Value:
        return self._model.add("ELU", [x], x.shape)

    def log1p(self, x: Value) -> Value:
        # Kahan's: what 1 + x loses of x, the quotient gives back.
        whole = x + 1.0
        small = self._compare("EQUAL", whole, 1.0)
        log = self._model.add("LOG", [whole], x.shape)
        below = self._select(small, 1.0, whole - 1.0)
        return self._select(small, x, log * x / below)

    def tanh(self, x: Value) -> Value:
        return self._model.add("TANH", [x], x.shape)

    def sigmoid(self, x: Value) -> Value:
        return self._model.add("LOGISTIC", [x], x.shape)

    def gelu(self, x: Value) -> Value:
        return self._model.add("GELU", [x], x.shape, "GeluOptions", approximate=False)

    def softmax(self, x: Value) -> Value:
        return self._model.add("SOFTMAX", [x], x.shape, "SoftmaxOptions", beta=1.0)

    def log_softmax(self, x: Value) -> Value:
        return self._model.add("LOG_SOFTMAX", [x], x.shape, "LogSoftmaxOptions")

    def _compare(self, operator: str, x: Value, limit: float) -> Value:
        number = self._model.constant(np.array(limit, np.float32))
        return self._model.add(operator, [x, number], x.shape, dtype="bool")

    def _select(self, where: Value, yes: Any, no: Any) -> Value:
        either = [
            one
            if isinstance(one, Value)
            else self._model.constant(np.array(one, np.float32))
            for one in (yes, no)
        ]
        return self._model.add("SELECT_V2", [where, *either], where.shape)
