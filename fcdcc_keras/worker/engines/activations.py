"""The activation functions of Keras, by what all engines have.

They are written with the operators of arrays, so that each works on the arrays of
NumPy, on TensorFlow's tensors, and on the values of a model that is being made.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

from fcdcc_keras.programs import Activation


class Functions(Protocol):
    """What an engine has beside the operators +, −, · and /."""

    def maximum(self, x: Any, least: float) -> Any:
        """Returns x, or a number where that is larger."""

    def minimum(self, x: Any, most: float) -> Any:
        """Returns x, or a number where that is smaller."""

    def greater(self, x: Any, limit: float, yes: Any, no: Any) -> Any:
        """Returns yes where x > limit, no elsewhere; both may be numbers."""

    def absolute(self, x: Any) -> Any:
        """Returns |x|."""

    def square_root(self, x: Any) -> Any:
        """Returns √x."""

    def exp(self, x: Any) -> Any:
        """Returns eˣ."""

    def expm1(self, x: Any) -> Any:
        """Returns eˣ − 1, of x ≤ 0."""

    def log1p(self, x: Any) -> Any:
        """Returns log(1 + x), of 0 ≤ x ≤ 1."""

    def tanh(self, x: Any) -> Any:
        """Returns the hyperbolic tangent."""

    def sigmoid(self, x: Any) -> Any:
        """Returns 1 / (1 + e⁻ˣ)."""

    def gelu(self, x: Any) -> Any:
        """Returns x · Φ(x), Φ the normal distribution's function."""

    def softmax(self, x: Any) -> Any:
        """Returns the softmax of the channels."""

    def log_softmax(self, x: Any) -> Any:
        """Returns its logarithm."""


def activate(activation: Activation, x: Any, f: Functions) -> Any:
    """Returns an activation of x, as Keras defines it.

    Args:
        activation: Which one.
        x: Arrays of some engine.
        f: What that has.
    """
    of: Any = activation.settings
    match activation.function:
        case "linear":
            return x
        case "relu":
            return _relu(x, f, **of)
        case "relu6":
            return _between(x, 0.0, 6.0, f)
        case "leaky_relu":
            return f.maximum(x, 0.0) + f.minimum(x, 0.0) * of["negative_slope"]
        case "elu":
            return _elu(x, of["alpha"], f)
        case "selu":
            # Klambauer et al., arXiv:1706.02515, equation 14.
            return _elu(x, 1.6732632423543772, f) * 1.0507009873554805
        case "celu":
            alpha = of["alpha"]
            return f.maximum(x, 0.0) + f.expm1(f.minimum(x, 0.0) / alpha) * alpha
        case "gelu" if not of["approximate"]:
            return f.gelu(x)
        case "gelu":
            inside = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
            return x * 0.5 * (f.tanh(inside) + 1.0)
        case "silu":
            return x * f.sigmoid(x)
        case "sigmoid":
            return f.sigmoid(x)
        case "hard_sigmoid":
            return _hard_sigmoid(x, f)
        case "hard_silu":
            return x * _hard_sigmoid(x, f)
        case "tanh":
            return f.tanh(x)
        case "tanh_shrink":
            return x - f.tanh(x)
        case "softplus":
            return _softplus(x, f)
        case "log_sigmoid":
            return -_softplus(-x, f)
        case "mish":
            return x * f.tanh(_softplus(x, f))
        case "softsign":
            return x / (f.absolute(x) + 1.0)
        case "soft_shrink":
            t = of["threshold"]
            return f.greater(x, t, x - t, f.greater(-x, t, x + t, 0.0))
        case "hard_shrink":
            return f.greater(f.absolute(x), of["threshold"], x, 0.0)
        case "hard_tanh":
            return _between(x, -1.0, 1.0, f)
        case "sparse_plus":
            inside = _between(x, -1.0, 1.0, f) + 1.0
            return inside * inside * 0.25 + f.maximum(x - 1.0, 0.0)
        case "sparse_sigmoid":
            return _between(x + 1.0, 0.0, 2.0, f) * 0.5
        case "squareplus":
            return (x + f.square_root(x * x + of["b"])) * 0.5
        case "exponential":
            return f.exp(x)
        case "threshold":
            return f.greater(x, of["threshold"], x, of["default_value"])
        case "softmax":
            return f.softmax(x)
        case "log_softmax":
            return f.log_softmax(x)
    raise AssertionError(activation.function)


def _relu(
    x: Any,
    f: Functions,
    negative_slope: float,
    max_value: float | None,
    threshold: float,
) -> Any:
    above = f.greater(x, threshold, x, 0.0) if threshold else f.maximum(x, 0.0)
    if max_value is not None:
        # Above a negative threshold there are negative numbers.
        above = _between(above, 0.0, max_value, f)
    if not negative_slope:
        return above
    return above + f.minimum(x - threshold, 0.0) * negative_slope


def _elu(x: Any, alpha: float, f: Functions) -> Any:
    return f.maximum(x, 0.0) + f.expm1(f.minimum(x, 0.0)) * alpha


def _between(x: Any, least: float, most: float, f: Functions) -> Any:
    return f.minimum(f.maximum(x, least), most)


def _hard_sigmoid(x: Any, f: Functions) -> Any:
    return _between(x + 3.0, 0.0, 6.0, f) / 6.0


def _softplus(x: Any, f: Functions) -> Any:
    return f.maximum(x, 0.0) + f.log1p(f.exp(-f.absolute(x)))
