"""Models, and stretches of them, as programs: the same numbers on every engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras import programs as p
from fcdcc_keras.programs import Program
from fcdcc_keras.rewriting.graph.programs import program_of, program_of_model
from tests.worker.engines import ENGINES

_L: Any = keras.layers


@contextmanager
def _float64() -> Iterator[None]:
    """Has layers compute in float64."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _randomized(model: keras.Model) -> keras.Model:
    """Gives a model's normalizations and biases numbers that count."""
    rng = np.random.default_rng(3)
    for layer in model._flatten_layers():
        own = layer.get_weights() if not list(layer._flatten_layers())[1:] else []
        if own and isinstance(
            layer, _L.BatchNormalization | _L.Normalization | _L.PReLU
        ):
            layer.set_weights([abs(rng.normal(1, 0.2, w.shape)) for w in own])
    return model


def _check(
    program: Program,
    weights: Sequence[np.ndarray],
    inputs: Sequence[np.ndarray],
    expected: np.ndarray,
    exactness: float,
) -> None:
    """Checks that all engines compute what Keras does.

    In float32, LiteRT may be four times as far from it as TensorFlow.
    """
    largest = abs(expected).max()
    errors = {}
    for engine in ENGINES:
        for dtype in ("float64", "float32"):
            own = replace(program, dtype=dtype)
            if engine.lacks(own):
                continue
            run = engine.prepare(own, [w.astype(dtype) for w in weights])
            found = run([x.astype(dtype) for x in inputs])
            errors[engine.name, dtype] = abs(found - expected).max() / largest
    assert errors["numpy", "float64"] < exactness
    assert errors["tensorflow", "float64"] < exactness
    assert errors["tensorflow", "float32"] < 2e-5
    assert errors["light", "float32"] < 4 * max(2e-7, errors["tensorflow", "float32"])


@pytest.mark.parametrize(
    ("name", "options", "exactness"),
    [
        ("MobileNetV2", {"alpha": 0.35}, 1e-13),
        # Rescaling has its factors in float32 even here.
        ("MobileNetV3Small", {"alpha": 1.0}, 1e-6),
    ],
)
def test_networks(name: str, options: dict[str, Any], exactness: float) -> None:
    keras.utils.set_random_seed(2)
    with _float64():
        model = getattr(keras.applications, name)(
            weights=None, input_shape=(64, 48, 3), include_top=False, **options
        )
    _randomized(model)
    program, weights = program_of_model(model, [(64, 48)], "float64")
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 48, 3)).astype("float64")
    expected = model.predict(images, verbose=0)
    _check(program, weights, [images], expected, exactness)


def _two_dimensional(x: Any) -> Any:
    x = _L.ZeroPadding2D(((1, 0), (2, 1)))(x)
    first = _L.Conv2D(8, 3, strides=2, padding="same", groups=2, activation="relu")(x)
    second = _L.SeparableConv2D(8, 3, 2, padding="same", activation="silu")(x)
    x = _L.Add()([first, _L.Dropout(0.3)(second)])
    x = _L.Concatenate()([x, _L.AveragePooling2D(3, 1, "same")(x)])
    x = _L.MaxPooling2D(3, 2, "same")(_L.PReLU(shared_axes=[1, 2])(x))
    gate = _L.GlobalAveragePooling2D(keepdims=True)(x)
    x = _L.Multiply()([x, _L.Dense(16, activation="hard_sigmoid")(gate)])
    x = _L.Conv2DTranspose(6, 3, 2, padding="same", activation=_L.LeakyReLU(0.25))(x)
    x = _L.Cropping2D(1)(_L.UpSampling2D(2)(x))
    x = _L.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=2)(x)
    x = _L.BatchNormalization(scale=False, axis=3)(x)
    x = _L.ReLU(max_value=2.0, negative_slope=0.25, threshold=0.5)(x)
    x = _L.Dense(5, activation="softmax")(_L.Flatten()(x))
    return (1.0 - x * 3.0) / 2.0 + x * x - 0.25


def _one_dimensional(x: Any) -> Any:
    for rate in (1, 2, 4):
        gate = _L.Conv1D(6, 2, padding="causal", dilation_rate=rate)(x)
        new = _L.Multiply()(
            [_L.Activation("tanh")(gate), _L.Activation("sigmoid")(gate)]
        )
        x = _L.Add()([_L.Dense(4)(new), x])
    x = _L.Conv1DTranspose(4, 3, 2, output_padding=1)(
        _L.MaxPooling1D(2, padding="same")(x)
    )
    x = _L.Concatenate(axis=1)([x, _L.UpSampling1D(2)(_L.AveragePooling1D(2)(x))])
    x = _L.Softmax()(_L.Reshape((-1, 2))(_L.SpatialDropout1D(0.5)(x)))
    return _L.Subtract()([_L.GlobalMaxPooling1D()(x), _L.GlobalAveragePooling1D()(x)])


def _three_dimensional(x: Any) -> Any:
    x = _L.Conv3D(4, (2, 3, 3), padding="same", activation="elu")(x)
    x = _L.Conv3DTranspose(3, 2, 2)(_L.BatchNormalization()(x))
    x = _L.UpSampling3D((1, 2, 1))(_L.Cropping3D((1, 1, 2))(_L.ZeroPadding3D(1)(x)))
    return _L.GlobalMaxPooling3D(keepdims=True)(x)


@pytest.mark.parametrize(
    ("graph", "size"),
    [
        (_two_dimensional, (17, 22, 4)),
        (_one_dimensional, (21, 4)),
        (_three_dimensional, (5, 8, 7, 4)),
    ],
)
def test_layers_of_every_kind(graph: Any, size: tuple[int, ...]) -> None:
    keras.utils.set_random_seed(2)
    with _float64():
        x = keras.Input(size)
        model = _randomized(keras.Model(x, graph(x)))
        # Keras hands models float32.
        drawn = np.random.default_rng(1).standard_normal((2, *size))
        inputs = drawn.astype("float32").astype("float64")
        program, weights = program_of_model(model, [size[:-1]], "float64")
        _check(program, weights, [inputs], model.predict(inputs, verbose=0), 1e-13)


def test_a_stretch_between_two_tensors() -> None:
    x = keras.Input((9, 8, 3))
    inside = _L.Conv2D(4, 3, padding="same")(x)
    inner = keras.Sequential([_L.ReLU(), _L.Conv2D(3, 1)], name="inner")
    output = _L.Add()([inner(inside), x])
    model = keras.Model(x, _L.Conv2D(1, 1)(output))
    program, weights = program_of([x, inside], output, [(9, 8), (9, 8)])
    assert program.channels == (3, 4)
    assert [type(o) for o in program.operations] == [
        p.Activation,
        p.Convolution,
        p.Merge,
    ]
    rng = np.random.default_rng(1)
    first, second = (
        rng.standard_normal((2, 9, 8, c)).astype("float32") for c in (3, 4)
    )
    part = keras.Model([model.inputs[0], inside], output)
    found = ENGINES[0].prepare(program, weights)([first, second])
    np.testing.assert_allclose(
        found, part.predict([first, second], verbose=0), atol=1e-5
    )


def test_what_same_adds_depends_on_the_size() -> None:
    x = keras.Input((None, None, 3))
    model = keras.Model(x, _L.Conv2D(4, 3, strides=2, padding="same")(x))
    for size, pads in (((8, 9), ((0, 1), (1, 1))), ((9, 8), ((1, 1), (0, 1)))):
        program, _ = program_of_model(model, [size])
        (operation,) = program.operations
        assert isinstance(operation, p.Convolution)
        assert operation.pads == pads


def test_what_does_nothing_is_a_program_too() -> None:
    x = keras.Input((4, 4, 3))
    program, weights = program_of_model(keras.Model(x, _L.Dropout(0.5)(x)), [(4, 4)])
    given = np.ones((1, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(ENGINES[1].prepare(program, weights)([given]), given)


def _own(x: Any) -> Any:
    return x * 2


@keras.saving.register_keras_serializable("test_programs")
class _Doubled(keras.layers.Conv2D):
    def call(self, inputs: Any) -> Any:
        return 2 * super().call(inputs)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (_L.LayerNormalization(), "LayerNormalization is no operation"),
        (_L.Conv2D(2, 3, activation=_own), "its activation is <function _own"),
        (_Doubled(2, 3), "_Doubled is no operation"),
        (_L.Softmax(axis=1), "softmax of other axes"),
        (_L.BatchNormalization(axis=1), "does not normalize channels"),
        (_L.UpSampling2D(2, interpolation="bicubic"), "`interpolation`"),
        (_L.PReLU(), "other numbers than one for each channel"),
        (_L.Lambda(_own), "Lambda is no operation"),
    ],
)
def test_other_layers_are_refused(layer: Any, said: str) -> None:
    x = keras.Input((6, 6, 3), name="given")
    model = keras.Model(x, layer(x))
    with pytest.raises(fk.UnsupportedLayerError, match=said) as caught:
        program_of_model(model, [(6, 6)])
    assert f"Received: {layer.name}: " in str(caught.value)


def test_a_layer_of_other_numbers_is_refused() -> None:
    # Of their own type, or Keras 3.7 would have a layer before it that casts.
    x = keras.Input((6, 6, 3), dtype="float16")
    model = keras.Model(x, _L.Conv2D(2, 3, dtype="float16")(x))
    with pytest.raises(fk.UnsupportedLayerError, match="computes in float16"):
        program_of_model(model, [(6, 6)])


def test_a_layer_of_which_tensorflow_has_another_result_is_refused() -> None:
    x = keras.Input((6, 6, 6, 2))
    layer = _L.Conv3D(2, 1, strides=(1, 3, 1), padding="same")
    with pytest.raises(
        fk.UnsupportedLayerError, match="is not the one that is defined"
    ):
        program_of_model(keras.Model(x, layer(x)), [(6, 6, 6)])


def test_layers_of_example_networks() -> None:
    from keras.src.applications.convnext import LayerScale, StochasticDepth
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    with _float64():
        x = keras.Input((4, 5, 3))
        y = StochasticDepth(0.5)(LayerScale(0.3, 3)(x))
        model = keras.Model(x, CustomScaleLayer(0.17)([x, y]))
        given = np.random.default_rng(1).random((2, 4, 5, 3), np.float32)
        program, weights = program_of_model(model, [(4, 5)], "float64")
        expected = model.predict(given, verbose=0)
        _check(program, weights, [given.astype("float64")], expected, 1e-13)


def test_what_a_stretch_does_not_read() -> None:
    x, other = keras.Input((6, 6, 3)), keras.Input((6, 6, 3), name="other")
    output = _L.Add()([x, other])
    with pytest.raises(fk.UnsupportedLayerError, match="other: it reads what"):
        program_of([x], output, [(6, 6)])
