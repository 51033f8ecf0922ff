"""Convolutions and products as operations of LiteRT models."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcdcc_keras import programs as p
from fcdcc_keras.worker.engines.litert import Model, Value

Sizes = tuple[int, ...]
_VALID = 1
_LINE = 16
"""Numbers of float32 in a cache line."""


class WeightedStep:
    """An operation with a kernel, and perhaps a bias, that becomes some of a model."""

    def __init__(
        self, model: Model, x: Value, weights: list[np.ndarray], shape: Sizes
    ) -> None:
        self._model = model
        self._x = x
        self._weights = weights
        self._shape = shape
        """Of the output."""

    def of(self, operation: p.Convolution | p.Dense) -> Value:
        """Adds an operation and returns its output."""
        match operation:
            case p.Dense():
                return self._product()
            case p.Transposed():
                return self._transposed(operation)
            case p.Depthwise():
                return self._depthwise(operation, self._weights[0])
        return self._convolved(operation)

    def _product(self) -> Value:
        kernel = self._weights[0]
        turned = self._model.turned(kernel, _turned(kernel))
        return self._model.add(
            "FULLY_CONNECTED",
            [self._x, turned, self._bias(kernel.shape[-1])],
            self._shape,
            "FullyConnectedOptions",
            keepNumDims=True,
        )

    def _bias(self, filters: int) -> Value:
        given = self._weights[1:] or [np.zeros(filters, np.float32)]
        return self._model.constant(given[0])

    def _convolved(self, operation: p.Convolution) -> Value:
        model, kernel = self._model, self._weights[0]
        within, filters = kernel.shape[-2:]
        groups = self._x.shape[-1] // within
        if len(self._x.shape) == 5:
            return self._of_volume(operation, kernel, groups)
        if groups > 1 and within == 1:
            shape = (*kernel.shape[:-2], groups, filters // groups)
            return self._depthwise(operation, kernel.reshape(shape))
        ohwi = _turned(kernel.reshape(-1, filters)).reshape(-1, *kernel.shape[:-1])
        return model.add(
            "CONV_2D",
            [
                self._model.padded(self._x, operation.pads),
                model.turned(kernel, ohwi),
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
        x = self._model.padded(self._x, operation.pads)
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
                self._model.padded(self._x, operation.pads),
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
        model, x, kernel = self._model, self._x, self._weights[0]
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
        outputs = self._model.cropped(self._model.padded(outputs, more), crops)
        return outputs + self._bias(0) if len(self._weights) > 1 else outputs


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
