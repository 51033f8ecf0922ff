"""Every kind of coded layer against the Keras layer, in float64."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from distributed import Client

import fcdcc_keras as fk
from fcdcc_keras.codes import Code
from fcdcc_keras.execution.executors.local import LOST
from tests.layers.kinds import CASES, WORKERS, codes_for, models

EPS = np.finfo("float64").eps


def _rotating(call: int, worker: int) -> object:
    return LOST if worker == call % WORKERS else None


@pytest.mark.parametrize(("name", "shape", "options"), CASES, ids=str)
def test_equals_the_keras_layer(
    name: str, shape: tuple[int, ...], options: dict[str, object]
) -> None:
    for code in codes_for(name, options):
        _check_equals_the_keras_layer(name, shape, options, code)


def _check_equals_the_keras_layer(
    name: str, shape: tuple[int, ...], options: dict[str, object], code: Code
) -> None:
    executor = fk.LocalExecutor(WORKERS, _rotating)
    plain, coded = models(executor, name, shape, code, dtype="float64", **options)
    layer = coded.layers[-1]
    assert type(layer) is getattr(fk, f"Coded{name}")
    assert layer.get_config() == plain.layers[-1].get_config()
    geometry = layer.coded.plan.geometry
    rng = np.random.default_rng(0)
    kernel = layer.kernel_array()
    assert kernel.size == geometry.kernel_floats
    # Batches of one are cut along a length, of thirteen along the batch.
    for batch in (1, 2, 13):
        x = rng.normal(size=(batch, *shape))
        expected = plain(x).numpy()
        assert expected.shape[1:-1] == tuple(geometry.output_size) or name == "Dense"
        alpha = max(
            code.decoder([w for w in range(WORKERS) if w != lost]).amplification
            for lost in range(WORKERS)
        )
        bound = 8 * alpha * geometry.terms * EPS * abs(expected).max()
        for _ in range(WORKERS if batch == 1 else 1):
            with fk.trace(coded) as trace:
                y = coded(x).numpy()
            assert y.shape == expected.shape
            assert abs(y - expected).max() <= bound
            assert trace.distributed_convolutions == 1
            assert trace.local_convolutions == 0


def test_output_padding_is_kept_where_configurations_leave_it_out(monkeypatch):
    """As Keras's do before 3.13."""
    kind = keras.layers.Conv1DTranspose
    whole = kind.get_config

    def get_config(layer):
        return {k: v for k, v in whole(layer).items() if k != "output_padding"}

    monkeypatch.setattr(kind, "get_config", get_config)
    options = {"filters": 4, "kernel_size": 3, "strides": 3, "output_padding": 1}
    executor = fk.LocalExecutor(WORKERS)
    plain, coded = models(executor, "Conv1DTranspose", (9, 3), **options)
    x = np.random.default_rng(0).normal(size=(2, 9, 3)).astype("float32")
    assert plain(x).shape == (2, 28, 4)
    np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)


# No width of an output is its number of filters: Keras adds the bias along it then.
FIRST = [
    ("Conv1D", (4, 17), {"filters": 6, "kernel_size": 3, "groups": 2}),
    ("Conv2D", (4, 9, 8), {"filters": 6, "kernel_size": 3, "strides": 2}),
    ("Conv3D", (2, 5, 6, 7), {"filters": 3, "kernel_size": 2}),
    ("DepthwiseConv1D", (4, 17), {"kernel_size": 3}),
    ("DepthwiseConv2D", (4, 9, 8), {"kernel_size": 3}),
    ("SeparableConv2D", (4, 9, 8), {"filters": 5, "kernel_size": 3}),
    ("Conv2DTranspose", (4, 9, 8), {"filters": 6, "kernel_size": 3, "strides": 2}),
]


@pytest.mark.parametrize(("name", "shape", "options"), FIRST, ids=str)
def test_channels_first_is_channels_last_transposed(
    name: str, shape: tuple[int, ...], options: dict[str, object]
) -> None:
    executor = fk.LocalExecutor(WORKERS, _rotating)
    _, coded = models(
        executor, name, shape, data_format="channels_first", dtype="float64", **options
    )
    x = np.random.default_rng(0).normal(size=(2, *shape))
    reference = getattr(keras.layers, name)(dtype="float64", **options)
    last = x.transpose(0, *range(2, x.ndim), 1)
    reference.build(last.shape)
    reference.set_weights(coded.get_weights())
    expected = np.moveaxis(reference(last).numpy(), -1, 1)
    with fk.trace(coded) as trace:
        y = tf.function(coded)(x)
    assert trace.distributed_convolutions == 1
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, atol=1e-12)


STRIDED = {"filters": 10, "kernel_size": (5, 2), "padding": "same", "strides": (2, 3)}
ONE_OF_EACH = list({case[0]: case for case in reversed(CASES)}.values())


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [*ONE_OF_EACH, ("Conv2D", (17, 14, 3), STRIDED)],
    ids=str,
)
def test_gradients_are_those_of_the_keras_layer(
    name: str, shape: tuple[int, ...], options: dict[str, object]
) -> None:
    plain, coded = models(
        fk.LocalExecutor(WORKERS, _rotating), name, shape, dtype="float64", **options
    )
    x = tf.constant(np.random.default_rng(0).normal(size=(2, *shape)))

    @tf.function
    def gradients(model: keras.Model, x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean(model(x) ** 3)
        return tape.gradient(loss, [x, *model.trainable_variables])

    with fk.trace(coded) as trace:
        found = gradients(coded, x)
    assert trace.distributed_convolutions == 1
    for g, expected in zip(found, gradients(plain, x), strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-9, atol=1e-12)


TYPES = [(name, "bfloat16") for name in sorted({case[0] for case in CASES})]
TYPES += [(name, "float16") for name in ("Conv2D", "Conv2DTranspose", "Dense")]
TYPES += [(name, "mixed_bfloat16") for name in ("Conv1D", "DepthwiseConv2D")]


@pytest.mark.parametrize(("name", "dtype"), TYPES)
def test_results_come_in_the_type_of_the_layer(name: str, dtype: str) -> None:
    shape, options = next(case[1:] for case in CASES if case[0] == name)
    executor = fk.LocalExecutor(WORKERS, _rotating)
    keras.utils.set_random_seed(1)
    layer = getattr(keras.layers, name)(dtype=dtype, **options)
    inputs = keras.Input(shape, dtype=layer.compute_dtype)
    plain = keras.Model(inputs, layer(inputs))
    coded = fk.distribute(plain, executor, fallback="raise", dense=True)
    held = executor.placements[0].held[0].arrays[0]
    assert held.dtype == np.float32
    x = np.random.default_rng(0).normal(size=(2, *shape))
    y = coded(x)
    assert y.dtype == layer.compute_dtype
    exact = getattr(keras.layers, name)(dtype="float64", **options)
    narrow = layer.compute_dtype
    exact.build((None, *shape))
    exact.set_weights([tf.cast(tf.cast(w, narrow), "float64") for w in plain.weights])
    expected = exact(tf.cast(tf.cast(x, narrow), "float64")).numpy()
    eps = 2**-8 if "bfloat16" in dtype else 2**-11
    # One rounding of the convolution; the bias is zero.
    error = abs(np.asarray(y, "float64") - expected).max()
    assert error <= 1.01 * eps * abs(expected).max()


@pytest.mark.parametrize("transport", ["direct", "tasks"])
def test_every_kind_on_a_cluster(client: Client, transport: str) -> None:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((12, 11, 4))
    x = keras.layers.SeparableConv2D(6, 3, padding="same", name="separable")(inputs)
    x = keras.layers.Conv2D(6, 3, groups=2, name="grouped")(x)
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = keras.layers.Conv2DTranspose(4, 3, strides=2, name="transposed")(x)
    x = keras.layers.Reshape((17, 15, 1, 4))(x)
    x = keras.layers.Conv3D(3, (3, 2, 1), name="deep")(x)
    x = keras.layers.Reshape((15 * 14, 3))(x)
    x = keras.layers.Conv1D(3, 3, padding="causal", name="causal")(x)
    plain = keras.Model(inputs, keras.layers.Dense(5, name="dense")(x))
    plan = fk.plan(plain, workers=WORKERS, dense=True, code="crme")
    assert fk.Plan.from_json(plan.to_json()) == plan
    assert len(plan.layers) == 7
    x = np.random.default_rng(0).normal(size=(5, 12, 11, 4)).astype("float32")
    expected = plain(x).numpy()
    options = {"plan": plan, "transport": transport, "fallback": "raise"}
    with fk.closing(fk.distribute(plain, client, **options)) as coded:
        for batch in (1, 5):
            with fk.trace(coded) as trace:
                y = coded(x[:batch]).numpy()
            assert trace.distributed_convolutions == 7
            assert abs(y - expected[:batch]).max() <= 1e-5 * abs(expected).max()


def test_a_separable_kernel_is_followed() -> None:
    executor = fk.LocalExecutor(WORKERS)
    options = {"filters": 5, "kernel_size": 3}
    plain, coded = models(executor, "SeparableConv2D", (8, 8, 3), **options)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    coded(x)
    for model in (plain, coded):
        pointwise = model.layers[-1].pointwise_kernel
        pointwise.assign(pointwise * 2)
    np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
    assert len(executor.placements) == 1


def test_dense_is_coded_on_request_and_for_memory() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.Dense(24, name="places")(x)
    x = keras.layers.Dense(10, name="head")(keras.layers.Flatten()(x))
    model = keras.Model(inputs, x)
    plan = fk.plan(model, workers=4)
    assert [layer.path for layer in plan.layers] == ["conv"]
    assert plan.not_coded == ()
    plan = fk.plan(model, workers=4, layers=["head"])
    assert [layer.path for layer in plan.layers] == ["head"]
    plan = fk.plan(model, workers=4, dense=True)
    conv, places, head = plan.layers
    assert conv.path == "conv"
    for layer, kernel in ((places, 4 * 24), (head, 864 * 10)):
        assert layer.code.k_a == 1
        assert layer.geometry.kernel_floats == kernel
        assert layer.code.recovery_threshold == 3
        # A third of the kernel, and what does not divide.
        assert kernel <= layer.cost.storage * 3 <= 1.2 * kernel
    coded = fk.distribute(model, fk.LocalExecutor(4), layers=["head"])
    report = fk.report(coded)
    assert report.converted == ("head",)
    assert "on request" in report.not_converted["places"]
    assert "not chosen" in report.not_converted["conv"]


def test_every_code_allows_one_sided_splits_of_ones() -> None:
    for name in fk.codes.names():
        stragglers = 0 if name == "uncoded" else 1
        designs = [
            design
            for threshold in range(WORKERS - stragglers, 0, -1)
            for design in fk.codes.get(name).designs(WORKERS, threshold)
        ]
        assert any(design.k_b == 1 for design in designs), name
        # An uncoded kernel is sent as it is.
        for design in designs:
            if design.k_b == 1:
                assert (design.kernel_matrix == 1).all()
                assert design.ell_b == 1
