"""Activations as operations of LiteRT models."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcdcc_keras.programs import Activation
from fcdcc_keras.worker.engines.activations import activate
from fcdcc_keras.worker.engines.litert import Model, Value

_NATIVE = {
    "relu": "RELU",
    "relu6": "RELU6",
    "elu": "ELU",
    "sigmoid": "LOGISTIC",
    "tanh": "TANH",
    "hard_silu": "HARD_SWISH",
}
"""Activations that LiteRT has as they are where nothing is set."""


def activated(model: Model, operation: Activation, x: Value) -> Value:
    """Adds an activation to a model and returns its output."""
    native = _NATIVE.get(operation.function)
    if native and not operation.parameters:
        return model.add(native, [x], x.shape)
    if operation.function == "leaky_relu":
        slope = operation.settings["negative_slope"]
        return model.add("LEAKY_RELU", [x], x.shape, "LeakyReluOptions", alpha=slope)
    result: Value = activate(operation, x, _Functions(model))
    return result


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
        # LiteRT's makes a number of what is none.
        is_number = self._model.add("EQUAL", [x, x], x.shape, dtype="bool")
        return self._select(is_number, self._model.add("EXP", [x], x.shape), x)

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
