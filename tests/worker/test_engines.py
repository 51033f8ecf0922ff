"""Every operation on every engine, in both types, against Keras in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras import programs as p
from fcdcc_keras.partition import ConvGeometry
from tests.worker.engines import check, numbers, of

_few = settings(deadline=None, max_examples=25)
_CHANNELS = 4


def _each(rank: int, least: int, most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(least, most)] * rank)


@st.composite
def _windows(draw: Any, ranks: tuple[int, ...] = (1, 2, 3)) -> dict[str, Any]:
    """Draws sizes of an input, a window, its strides, gaps and padding."""
    rank = draw(st.sampled_from(ranks))
    window = draw(_each(rank, 1, 3))
    pads = draw(st.tuples(*[_each(2, 0, 2)] * rank))
    return {
        "size": draw(_each(rank, 5, 8)),
        "window": window,
        "strides": draw(_each(rank, 1, 3)),
        "dilation": draw(_each(rank, 1, 2)),
        "pads": pads,
        "images": draw(st.integers(1, 2)),
        "bias": draw(st.booleans()),
        "rng": np.random.default_rng(draw(st.integers(0, 99))),
    }


def _padded(x: np.ndarray, pads: Any, value: float = 0.0) -> np.ndarray:
    return np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)


def _every(outputs: Any, strides: Sequence[int]) -> np.ndarray:
    """Returns of an output of strides 1 what others give."""
    index = (slice(None), *(slice(None, None, s) for s in strides))
    return np.asarray(outputs)[index]


@_few
@given(_windows(), st.sampled_from([1, 2, 4]))
def test_convolution(w: dict[str, Any], groups: int) -> None:
    # Keras has no strides with gaps in the kernel, and no groups of volumes on a CPU.
    rng, filters = w["rng"], 2 * groups
    x = numbers(rng, w["images"], *w["size"], _CHANNELS)
    kernel = numbers(rng, *w["window"], _CHANNELS // groups, filters)
    bias = [numbers(rng, filters)] if w["bias"] else []
    parts = [
        keras.ops.conv(part, own, 1, "valid", dilation_rate=w["dilation"])
        for part, own in zip(
            np.split(_padded(x, w["pads"]), groups, -1),
            np.split(kernel, groups, -1),
            strict=True,
        )
    ]
    expected = _every(np.concatenate(parts, -1), w["strides"]) + sum(bias)
    weights = [kernel, *bias]
    operation = p.Convolution(
        (0,), tuple(range(len(weights))), w["strides"], w["dilation"], w["pads"]
    )
    check(
        of(operation, [x], weights),
        weights,
        [x],
        expected,
        math.prod(kernel.shape[:-1]),
        steps=2,
    )


@_few
@given(_windows((1, 2)), st.integers(1, 3))
def test_depthwise(w: dict[str, Any], multiplier: int) -> None:
    rng = w["rng"]
    x = numbers(rng, w["images"], *w["size"], _CHANNELS)
    kernel = numbers(rng, *w["window"], _CHANNELS, multiplier)
    bias = [numbers(rng, _CHANNELS * multiplier)] if w["bias"] else []
    whole = keras.ops.depthwise_conv(
        _padded(x, w["pads"]), kernel, 1, "valid", dilation_rate=w["dilation"]
    )
    weights = [kernel, *bias]
    operation = p.Depthwise(
        (0,), tuple(range(len(weights))), w["strides"], w["dilation"], w["pads"]
    )
    expected = _every(whole, w["strides"]) + sum(bias)
    terms = math.prod(w["window"])
    check(of(operation, [x], weights), weights, [x], expected, terms, steps=2)


def test_depthwise_of_volumes() -> None:
    # Keras has none; a convolution with a group for each channel is the same.
    rng = np.random.default_rng(3)
    x, kernel = numbers(rng, 1, 5, 6, 4, 3), numbers(rng, 2, 3, 1, 3, 2)
    parts = [
        keras.ops.conv(x[..., c : c + 1], kernel[..., c : c + 1, :], 1, "valid")
        for c in range(3)
    ]
    ones = (1,) * 3
    operation = p.Depthwise((0,), (0,), (2, 1, 1), ones, ((0, 0),) * 3)
    expected = _every(np.concatenate(parts, -1), (2, 1, 1))
    check(of(operation, [x], [kernel]), [kernel], [x], expected, 6)


@_few
@given(_windows((1, 2)), st.integers(1, 3))
def test_separable(w: dict[str, Any], multiplier: int) -> None:
    rng, between = w["rng"], _CHANNELS * multiplier
    x = numbers(rng, w["images"], *w["size"], _CHANNELS)
    first = numbers(rng, *w["window"], _CHANNELS, multiplier)
    second = numbers(rng, *(1,) * len(w["window"]), between, 5)
    middle = keras.ops.depthwise_conv(
        _padded(x, w["pads"]), first, 1, "valid", dilation_rate=w["dilation"]
    )
    expected = keras.ops.conv(_every(middle, w["strides"]), second, 1, "valid")
    bias = [numbers(rng, 5)] if w["bias"] else []
    weights = [np.concatenate([first.ravel(), second.ravel()]), *bias]
    operation = p.Separable(
        (0,),
        tuple(range(len(weights))),
        w["strides"],
        w["dilation"],
        w["pads"],
        w["window"],
        multiplier,
    )
    terms = between * math.prod(w["window"])
    check(
        of(operation, [x], weights), weights, [x], expected + sum(bias), terms, steps=3
    )


@_few
@given(_windows(), st.sampled_from(["valid", "same"]), st.booleans())
def test_transposed(w: dict[str, Any], padding: str, more: bool) -> None:
    rng, rank = w["rng"], len(w["size"])
    strides = w["strides"]
    gaps = w["dilation"] if max(strides) == 1 else (1,) * rank
    # What Keras appends must be less than a step.
    appended = (1,) * rank if more and min(strides) > 1 else None
    geometry = ConvGeometry(
        input_size=w["size"],
        channels=_CHANNELS,
        filters=3,
        kernel_size=w["window"],
        strides=strides,
        dilation_rate=gaps,
        padding=padding,
        kind="transposed",
        output_padding=appended,
    )
    x = numbers(rng, w["images"], *w["size"], _CHANNELS)
    kernel = numbers(rng, *w["window"], 3, _CHANNELS)
    # Keras has no gaps in a kernel here: they are zeros in a larger one.
    larger = np.zeros((*geometry.dilated_kernel, 3, _CHANNELS))
    larger[tuple(slice(None, None, d) for d in gaps)] = kernel
    expected = keras.ops.conv_transpose(x, larger, strides, padding, appended)
    bias = [numbers(rng, 3)] if w["bias"] else []
    weights = [kernel, *bias]
    operation = p.Transposed(
        (0,), tuple(range(len(weights))), strides, gaps, geometry.pads
    )
    terms = _CHANNELS * math.prod(w["window"])
    expected = expected + sum(bias)
    check(of(operation, [x], weights), weights, [x], expected, terms, steps=2)


@pytest.mark.parametrize("size", [(), (5,), (5, 3), (2, 3, 4)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_dense(size: tuple[int, ...], with_bias: bool) -> None:
    rng = np.random.default_rng(1)
    x, kernel = numbers(rng, 2, *size, 7), numbers(rng, 7, 5)
    bias = [numbers(rng, 5)] if with_bias else []
    weights = [kernel, *bias]
    operation = p.Dense((0,), tuple(range(len(weights))))
    expected = np.asarray(keras.ops.matmul(x, kernel)) + sum(bias)
    check(of(operation, [x], weights), weights, [x], expected, 7, steps=2)


_ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in p.ACTIVATIONS if name not in ("threshold",)),
    ("celu", {"alpha": 0.7}),
    ("elu", {"alpha": 1.7}),
    ("gelu", {"approximate": True}),
    ("hard_shrink", {"threshold": 0.2}),
    ("leaky_relu", {"negative_slope": 1.5}),
    ("leaky_relu", {"negative_slope": 0.0078125}),
    ("relu", {"max_value": 1.0}),
    ("relu", {"max_value": 6.0}),
    ("relu", {"threshold": 0.5}),
    ("relu", {"negative_slope": 0.375}),
    ("relu", {"negative_slope": 0.375, "max_value": 1.0, "threshold": 0.25}),
    ("relu", {"negative_slope": 0.375, "max_value": 1.0, "threshold": -0.5}),
    ("soft_shrink", {"threshold": 0.2}),
    ("squareplus", {"b": 0.5}),
    ("threshold", {"threshold": 0.25, "default_value": -3.0}),
]


_AFTER_3_7 = ("sparse_plus", "sparse_sigmoid", "threshold")
"""Activations that the lowest version of Keras has not."""


@pytest.mark.parametrize(("name", "settings"), _ACTIVATIONS)
def test_activation(name: str, settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(4)
    x = np.concatenate([numbers(rng, 2, 5, 4), 8 * numbers(rng, 2, 5, 4)])
    x[0, 0] = 0.0, 0.5, -0.5, 1.0  # where pieces meet
    if name in _AFTER_3_7 and not hasattr(keras.activations, name):
        pytest.skip(f"Keras {keras.__version__} has no such activation")
    of_keras = getattr(keras.activations, name)
    given = {"approximate": False, **settings} if name == "gelu" else settings
    expected = np.asarray(of_keras(keras.ops.convert_to_tensor(x), **given))
    operation = p.Activation((0,), (), name, tuple(settings.items()))
    # TensorFlow's gelu has constants of float32, as its slopes are: of Keras' 0.2.
    inexact = name == "gelu" or (name == "leaky_relu" and not settings)
    check(of(operation, [x]), [], [x], expected, steps=2, of_keras=1e-8 * inexact)


@_few
@given(_windows(), st.booleans())
def test_pooling(w: dict[str, Any], average: bool) -> None:
    window = w["window"]
    pads = tuple(
        (min(n - 1, a), min(n - 1, b))
        for n, (a, b) in zip(window, w["pads"], strict=True)
    )
    x = numbers(w["rng"], w["images"], *w["size"], _CHANNELS)
    views = np.lib.stride_tricks.sliding_window_view
    axes = tuple(range(1, x.ndim - 1))
    inside = tuple(range(-len(axes), 0))
    if average:
        counted = views(_padded(np.ones_like(x), pads), window, axes).sum(inside)
        expected = views(_padded(x, pads), window, axes).sum(inside) / counted
    else:
        expected = views(_padded(x, pads, -np.inf), window, axes).max(inside)
    kind = p.AveragePool if average else p.MaxPool
    operation = kind((0,), (), window, w["strides"], pads)
    check(of(operation, [x]), [], [x], _every(expected, w["strides"]), 27)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size", [(9,), (9, 8)])
def test_pooling_is_that_of_keras(size: tuple[int, ...], padding: str) -> None:
    # The padding that ``same`` is, by the rule for convolutions.
    rank = len(size)
    x = numbers(np.random.default_rng(7), 2, *size, 3)
    geometry = ConvGeometry(size, 3, 3, (3,) * rank, (2,) * rank, padding=padding)
    for kind, by in (
        (p.MaxPool, keras.ops.max_pool),
        (p.AveragePool, keras.ops.average_pool),
    ):
        operation = kind((0,), (), (3,) * rank, (2,) * rank, geometry.pads)
        check(of(operation, [x]), [], [x], by(x, 3, 2, padding), 9)


_LAYERS = {
    1: (
        (keras.layers.ZeroPadding1D((2, 1)), p.ZeroPad((0,), (), ((2, 1),))),
        (keras.layers.Cropping1D((2, 1)), p.Crop((0,), (), ((2, 1),))),
        (keras.layers.UpSampling1D(3), p.Upsample((0,), (), (3,))),
        (keras.layers.GlobalMaxPooling1D(), p.GlobalMaxPool((0,))),
        (
            keras.layers.GlobalAveragePooling1D(keepdims=True),
            p.GlobalAveragePool((0,), (), True),
        ),
        (keras.layers.Flatten(), p.Reshape((0,), (), (0,))),
        (keras.layers.Reshape((-1, 2)), p.Reshape((0,), (), (0, 2))),
    ),
    2: (
        (
            keras.layers.ZeroPadding2D(((1, 0), (0, 2))),
            p.ZeroPad((0,), (), ((1, 0), (0, 2))),
        ),
        (
            keras.layers.Cropping2D(((1, 0), (0, 2))),
            p.Crop((0,), (), ((1, 0), (0, 2))),
        ),
        (keras.layers.UpSampling2D((2, 3)), p.Upsample((0,), (), (2, 3))),
        (
            keras.layers.GlobalMaxPooling2D(keepdims=True),
            p.GlobalMaxPool((0,), (), True),
        ),
        (keras.layers.GlobalAveragePooling2D(), p.GlobalAveragePool((0,))),
        (keras.layers.Flatten(), p.Reshape((0,), (), (0,))),
        (
            keras.layers.Rescaling(0.0078125, -1),
            p.Rescaling((0,), (), 0.0078125, -1),
        ),
    ),
    3: (
        (
            keras.layers.ZeroPadding3D(((1, 0), (0, 2), (1, 1))),
            p.ZeroPad((0,), (), ((1, 0), (0, 2), (1, 1))),
        ),
        (
            keras.layers.Cropping3D(((1, 0), (0, 2), (1, 1))),
            p.Crop((0,), (), ((1, 0), (0, 2), (1, 1))),
        ),
        (keras.layers.UpSampling3D((2, 3, 1)), p.Upsample((0,), (), (2, 3, 1))),
        (keras.layers.GlobalMaxPooling3D(), p.GlobalMaxPool((0,))),
        (
            keras.layers.GlobalAveragePooling3D(keepdims=True),
            p.GlobalAveragePool((0,), (), True),
        ),
        (keras.layers.Reshape((4, -1)), p.Reshape((0,), (), (4, 0))),
    ),
}


@pytest.mark.parametrize(
    ("rank", "number"),
    [(rank, n) for rank in _LAYERS for n in range(len(_LAYERS[rank]))],
)
def test_layer_without_weights(rank: int, number: int) -> None:
    layer, operation = _LAYERS[rank][number]
    x = numbers(np.random.default_rng(9), 2, *(6, 5, 4)[:rank], 4)
    expected = layer.from_config({**layer.get_config(), "dtype": "float64"})(x)
    # Of 120 numbers that nearly cancel.
    check(of(operation, [x]), [], [x], expected, 120, steps=2)


@pytest.mark.parametrize("factors", [(2, 2), (3, 2), (1, 5)])
def test_bilinear_upsampling(factors: tuple[int, int]) -> None:
    # Of one axis, then the other; Keras computes it in float32.
    x = numbers(np.random.default_rng(9), 2, 5, 4, 3)
    expected = x
    for axis, factor in enumerate(factors, 1):
        size = x.shape[axis]
        at = np.clip((np.arange(size * factor) + 0.5) / factor - 0.5, 0, size - 1)
        expected = np.apply_along_axis(
            lambda row, at=at: np.interp(at, np.arange(len(row)), row), axis, expected
        )
    layer = keras.layers.UpSampling2D(factors, interpolation="bilinear")
    np.testing.assert_allclose(layer(x.astype("float32")), expected, atol=3e-6)
    operation = p.Upsample((0,), (), factors, "bilinear")
    # LiteRT multiplies places, of which the largest is 15, by an inexact quotient.
    check(of(operation, [x]), [], [x], expected, steps=15)


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_layers_of_channels(rank: int) -> None:
    rng = np.random.default_rng(2)
    x = numbers(rng, 2, *(6, 5, 4)[:rank], 4)
    mean, beta = numbers(rng, 4), numbers(rng, 4)
    variance, gamma = numbers(rng, 4, positive=True), numbers(rng, 4)

    layer = keras.layers.BatchNormalization(dtype="float64", epsilon=1e-2)
    layer.build(x.shape)
    layer.set_weights([gamma, beta, mean, variance])
    weights = [gamma, beta, mean, variance]
    operation = p.BatchNormalization((0,), (0, 1, 2, 3), 1e-2)
    # Two large numbers may have a small difference.
    check(of(operation, [x], weights), weights, [x], layer(x), steps=2)

    layer = keras.layers.Normalization(mean=mean, variance=variance, dtype="float64")
    operation = p.Normalization((0,), (0, 1))
    check(of(operation, [x], [mean, variance]), [mean, variance], [x], layer(x))

    expected = np.where(x > 0, x, x * gamma)
    check(of(p.PReLU((0,), (0,)), [x], [gamma]), [gamma], [x], expected)
    check(of(p.Bias((0,), (0,)), [x], [gamma]), [gamma], [x], x + gamma)
    check(of(p.Scale((0,), (0,)), [x], [gamma]), [gamma], [x], x * gamma)


_MERGES = {
    "add": keras.layers.Add,
    "subtract": keras.layers.Subtract,
    "multiply": keras.layers.Multiply,
    "maximum": keras.layers.Maximum,
    "minimum": keras.layers.Minimum,
    "average": keras.layers.Average,
}


@pytest.mark.parametrize("function", p.MERGES)
@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_merge(function: str, rank: int) -> None:
    rng = np.random.default_rng(6)
    many = 2 if function == "subtract" else 3
    inputs = [numbers(rng, 2, *(4, 3, 2)[:rank], 5) for _ in range(many)]
    inputs[-1] = inputs[-1][(slice(None), *(slice(1),) * rank)]  # of axes of length 1
    operation = p.Merge(tuple(range(many)), (), function)
    expected = _MERGES[function](dtype="float64")(inputs)
    check(of(operation, inputs), [], inputs, expected)


@pytest.mark.parametrize(
    ("rank", "axis"),
    [(0, -1), (0, 1), (1, -1), (1, 1), (1, 2), (2, -1), (2, 2), (2, 3), (3, 1), (3, 4)],
)
def test_concatenate(rank: int, axis: int) -> None:
    rng = np.random.default_rng(6)
    shape = [2, *(4, 3, 2)[:rank], 5]
    other = list(shape)
    other[axis] = 2
    inputs = [numbers(rng, *shape), numbers(rng, *other)]
    operation = p.Concatenate((0, 1), (), axis)
    check(of(operation, inputs), [], inputs, np.concatenate(inputs, axis))
