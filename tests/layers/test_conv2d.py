"""CodedConv2D against Conv2D: same outputs, gradients, types and configuration."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from fcdcc_keras.execution.executors.local import LOST

EPS = {"float32": np.finfo(np.float32).eps, "float64": np.finfo(np.float64).eps}

LAYERS = [
    {"kernel_size": 3},
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": (5, 2), "padding": "same", "strides": (2, 3)},
    {"kernel_size": (1, 4), "strides": (3, 1)},
    {"kernel_size": 3, "dilation_rate": (2, 3), "padding": "same"},
    {"kernel_size": 3, "dilation_rate": 2},
    {"kernel_size": 1, "strides": 2, "use_bias": False},
    {"kernel_size": 7, "strides": 2, "padding": "same", "activation": "relu"},
]


def models(executor, options, *, dtype="float32", filters=10, **distribute):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((17, 14, 3), dtype=dtype.removeprefix("mixed_"))
    layer = keras.layers.Conv2D(
        filters, bias_initializer="normal", dtype=dtype, **options
    )
    plain = keras.Model(inputs, layer(inputs))
    distribute = {"stragglers": 2, "fallback": "raise", **distribute}
    return plain, fk.distribute(plain, executor, **distribute)


def images(batch=2, dtype="float32"):
    return np.random.default_rng(0).normal(size=(batch, 17, 14, 3)).astype(dtype)


@pytest.mark.parametrize("options", LAYERS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_conv2d_for_every_survivor_set(options, dtype, survivor_sets):
    executor = fk.LocalExecutor(6)
    plain, coded = models(executor, options, dtype=dtype)
    x = images(dtype=dtype)
    exact = models(executor, options, dtype="float64")[0]
    exact.set_weights(plain.get_weights())
    expected = exact(x.astype("float64")).numpy()
    code = coded.layers[-1].coded.plan.code
    for survivors in survivor_sets(6, 4):
        executor.faults = {w: LOST for w in range(6) if w not in survivors}
        with fk.trace(coded) as trace:
            y = coded(x).numpy()
        assert y.dtype == dtype
        alpha = code.decoder(survivors[: code.recovery_threshold]).amplification
        # Each output sums at most 105 products; α grows what that rounds away.
        bound = 8 * alpha * np.sqrt(105) * EPS[dtype] * abs(expected).max()
        assert abs(y - expected).max() <= bound
        outcomes = [task.outcome for task in trace.records[0].subtasks]
        assert outcomes.count("used") == code.recovery_threshold
        assert trace.local_convolutions == 0


@pytest.mark.parametrize("batch", [1, 3, 33])
def test_predict_evaluate_and_call_agree(batch):
    plain, coded = models(fk.LocalExecutor(5), LAYERS[1], stragglers=1)
    x, y = images(batch), np.zeros((batch, 17, 14, 10), "float32")
    for model in (plain, coded):
        model.compile(loss="mse")
    with fk.trace(coded) as trace:
        outputs = [
            coded.predict(x, verbose=0),
            coded.predict_on_batch(x),
            coded(x).numpy(),
            tf.function(coded)(x).numpy(),
        ]
        loss = coded.evaluate(x, y, verbose=0)
    batches = -(-batch // 32)
    assert trace.distributed_convolutions == 3 + 2 * batches
    assert trace.local_convolutions == 0
    for output in outputs:
        np.testing.assert_allclose(output, plain.predict(x, verbose=0), atol=2e-5)
    assert loss == pytest.approx(plain.evaluate(x, y, verbose=0), rel=1e-5)


def test_fit_is_followed_by_new_kernels():
    plain, coded = models(fk.LocalExecutor(4), LAYERS[0], stragglers=1)
    x, y = images(8), np.ones((8, 15, 12, 10), "float32")
    for model in (plain, coded):
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
        model.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(plain.get_weights(), coded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(coded(x), plain(x), atol=2e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16"])
def test_narrow_types_are_coded_in_float32(dtype):
    plain, coded = models(fk.LocalExecutor(4), LAYERS[1], dtype=dtype, stragglers=1)
    x = images()
    y = coded(x)
    assert y.dtype == plain(x).dtype
    sent = coded.layers[-1].session.executor.placements[0].held[0].arrays[0]
    assert sent.dtype == np.float32
    reference = keras.layers.Conv2D(10, dtype="float64", **LAYERS[1])
    reference.build((None, 17, 14, 3))
    kernel, bias = (np.asarray(w, "float64") for w in plain.get_weights())
    narrow = "bfloat16" if dtype == "bfloat16" else "float16"
    kernel = tf.cast(tf.cast(kernel, narrow), "float64")
    reference.set_weights([kernel, bias])
    expected = reference(tf.cast(tf.cast(x, narrow), "float64")).numpy()
    eps = 2**-8 if dtype == "bfloat16" else 2**-11
    # One rounding of the convolution, one of the bias, one of their sum.
    assert (
        abs(np.asarray(y, "float64") - expected).max() <= 3 * eps * abs(expected).max()
    )


def test_configuration_is_that_of_conv2d():
    plain, coded = models(fk.LocalExecutor(3), LAYERS[2], stragglers=1)
    layer, original = coded.layers[-1], plain.layers[-1]
    assert isinstance(layer, keras.layers.Conv2D)
    assert layer.get_config() == original.get_config()
    again = fk.CodedConv2D.from_config(layer.get_config())
    assert again.strides == (2, 3)
    assert [w.path for w in layer.weights] == [w.path for w in original.weights]
    assert not layer.supports_jit


def test_unattached_layer_is_a_conv2d():
    keras.utils.set_random_seed(0)
    layer = fk.CodedConv2D(4, 3, padding="same")
    plain = keras.layers.Conv2D(4, 3, padding="same")
    x = images()
    layer(x), plain(x)
    plain.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x), plain(x))


def test_symbolic_shape_and_static_shape_are_known():
    _, coded = models(fk.LocalExecutor(4), LAYERS[2], stragglers=1)
    shapes = []

    @tf.function(input_signature=[tf.TensorSpec((None, 17, 14, 3))])
    def call(x):
        y = coded(x)
        shapes.append(y.shape)
        return y

    call(images())
    assert shapes[-1][1:] == coded.output_shape[1:]
    assert None not in shapes[-1][1:]


def test_given_code_with_its_split_is_used():
    executor = fk.LocalExecutor(6)
    for k_a, k_b, q in [(4, 4, 7), (1, 8, 6), (8, 1, 7), (2, 8, 6)]:
        code = fk.codes.get("crme")(k_a, k_b, 6, q)
        _, coded = models(executor, LAYERS[1], code=code)
        plan = coded.layers[-1].coded.plan
        assert plan.code == code


def test_independent_branches_run_at_the_same_time():
    class Meeting(fk.LocalExecutor):
        """Every layer waits until another one is under way too."""

        def run(self, job):
            both.wait()
            return super().run(job)

    both = threading.Barrier(2, timeout=20)
    inputs = keras.Input((8, 8, 3))
    branches = [keras.layers.Conv2D(4, 3, name=f"branch_{i}")(inputs) for i in range(2)]
    plain = keras.Model(inputs, keras.layers.Add()(branches))
    coded = fk.distribute(plain, Meeting(4), fallback="raise")
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    y = coded.predict(x, verbose=0)
    np.testing.assert_allclose(y, plain.predict(x, verbose=0), atol=1e-5)
