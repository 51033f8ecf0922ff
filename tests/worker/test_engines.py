"""Operations without windows on every engine, in both types, against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from fcdcc_keras import programs as p
from tests.worker.engines import check, numbers, of


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
