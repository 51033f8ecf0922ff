"""Models whose graphs are computed as chains are the models that they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from fcdcc_keras.rewriting.chains import chained_graphs
from fcdcc_keras.rewriting.graph.stretches import sites
from fcdcc_keras.rewriting.walk import walk
from tests.rewriting.chained_models import (
    MODELS,
    SHAPE,
    WORKERS,
    chained,
    chained_plan,
    conv,
    holding,
    inputs_of,
    made,
    nested,
    on_workers,
    residual,
    sequential,
    traced_runs,
)
from tests.rewriting.copied_models import assert_same

# Keras, as it saves, makes arrays of TensorFlow's variables, which do not know `copy`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")

_L: Any = keras.layers


@pytest.mark.parametrize("make", MODELS)
def test_outputs_and_structure_are_those_of_the_model(
    make: Callable[[], keras.Model],
) -> None:
    plain = made(make)
    inputs = inputs_of(plain)
    model = chained(plain)
    assert type(model) is type(plain)
    ways: tuple[Callable[[keras.Model], Any], ...] = (
        lambda one: one.predict(inputs, verbose=0),
        lambda one: one(inputs),
        lambda one: one(inputs, training=False),
        lambda one: tf.function(one)(inputs),
        lambda one: one.stateless_call(
            [2 * v for v in one.trainable_variables],
            [v.value for v in one.non_trainable_variables],
            inputs,
        )[0],
    )
    for way in ways:
        assert_same(way(model), way(plain))
    assert on_workers(model) == len(sites(plain))
    assert [v.name for v in model.weights] == [v.name for v in plain.weights]
    assert_same(model.get_weights(), plain.get_weights())
    lines: list[list[str]] = [[], []]
    for one, said in zip((model, plain), lines, strict=True):
        one.summary(print_fn=lambda text, said=said: said.append(text))
    assert lines[0] == lines[1]
    for (path, mine), (same, layer) in zip(walk(model), walk(plain), strict=True):
        assert (path, type(mine).__name__) == (same, type(layer).__name__)
    for layer in plain.layers:
        assert model.get_layer(layer.name).name == layer.name


@pytest.mark.parametrize("make", [residual, nested, holding])
def test_training_is_that_of_the_layers(make: Callable[[], keras.Model]) -> None:
    def trained(model: keras.Model) -> Any:
        inputs, target = inputs_of(model, 6), np.ones(model(inputs_of(model, 6)).shape)
        model.compile(keras.optimizers.SGD(0.05), "mse", run_eagerly=False)
        first = model.fit(
            inputs, target, epochs=2, batch_size=3, shuffle=False, verbose=0
        )
        middle = model.predict(inputs, verbose=0)
        for layer in model.layers[: len(model.layers) // 2]:
            layer.trainable = False
        model.compile(keras.optimizers.SGD(0.05), "mse")
        second = model.train_on_batch(inputs, target)
        found = model.evaluate(inputs, target, verbose=0)
        return first.history["loss"], middle, second, found, model.get_weights()

    plain = made(make)
    model = chained(plain)
    before = model.get_weights()
    assert_same(trained(model), trained(plain), 1e-4)
    assert not np.array_equal(before[0], model.get_weights()[0])


@pytest.mark.parametrize("traced", [False, True])
def test_gradients_at_inference_are_those_of_the_layers(traced: bool) -> None:
    def gradients(model: keras.Model) -> Any:
        def of(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(model(x) ** 2)
            variables = [v.value for v in model.trainable_variables]
            return tape.gradient(loss, [x, *variables])

        x = tf.constant(inputs_of(model))
        return (tf.function(of) if traced else of)(x)

    plain = made(residual)
    model = chained(plain)
    assert_same(gradients(model), gradients(plain), 1e-4)


def test_changed_weights_are_noticed(tmp_path: Any) -> None:
    plain = made(residual)
    model = chained(plain)
    inputs = inputs_of(plain)
    eager, graph = model, tf.function(lambda x: model(x))

    def check() -> None:
        expected = plain.predict(inputs, verbose=0)
        for found in (eager(inputs), graph(inputs), model.predict(inputs, verbose=0)):
            assert_same(found, expected)

    check()
    for scale, change in (
        (1.5, lambda m, w: m.set_weights(w)),
        (0.5, lambda m, w: [v.assign(x) for v, x in zip(m.weights, w, strict=True)]),
        (2.0, lambda m, w: m.load_weights(tmp_path / "w.weights.h5")),
    ):
        weights = [w * scale for w in plain.get_weights()]
        if scale == 2.0:
            plain.set_weights(weights)
            plain.save_weights(tmp_path / "w.weights.h5")
        for one in (plain, model):
            change(one, weights)
        check()
    kernel = model.get_layer("stem").kernel

    @tf.function
    def doubled(x: Any) -> Any:
        before = model(x)
        kernel.assign(2 * kernel.value)
        return before, model(x)

    found = doubled(tf.constant(inputs))
    expected = [plain.predict(inputs, verbose=0)]
    plain.get_layer("stem").kernel.assign(2 * plain.get_layer("stem").kernel)
    expected.append(plain.predict(inputs, verbose=0))
    assert_same(found, expected)


def test_a_sequential_model_that_is_changed_runs_its_layers() -> None:
    plain = made(sequential)
    model = chained(plain)
    for one in (plain, model):
        one.add(_L.Dense(3, kernel_initializer="ones", name="more"))
    inputs = inputs_of(plain)
    assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))
    assert chained_graphs(model) == []
    fk.close(model)


def test_what_is_masked_is_for_the_layers() -> None:
    x = keras.Input((12, 3), name="x")
    before = _L.Dense(3, name="before", activation="relu")(x)
    y = _L.Dense(4, name="dense")(_L.Masking(name="mask")(before))
    plain = keras.Model(x, _L.GlobalAveragePooling1D(name="mean")(y))
    model = chained(plain, ("workers",))
    inputs = np.random.default_rng(1).random((2, 12, 3), np.float32)
    inputs[0, 4:] = 0
    assert [(s.entry, s.exit) for s in sites(plain)] == [
        ("x", "before"),
        ("mask", "dense"),
    ]
    assert traced_runs(model, lambda: model(inputs)) == 1
    assert_same(model(inputs), plain(inputs))


def test_preprocessing_is_part_of_a_chain() -> None:
    inputs = np.random.default_rng(1).random((4, *SHAPE), np.float32)
    norm = _L.Normalization(name="norm")
    norm.adapt(inputs / 2)
    x = keras.Input(SHAPE, name="x")
    y = conv("conv")(norm(_L.Rescaling(0.5, name="half")(x)))
    plain = keras.Model(x, y)
    model = chained(plain)
    assert fk.report(model).converted == ("half", "norm", "conv")
    for way in (lambda one: one.predict(inputs, verbose=0), lambda one: one(inputs)):
        assert_same(way(model), way(plain))
    assert_same(plain.get_weights(), model.get_weights())


def test_what_takes_no_workers() -> None:
    plain = made(residual)
    model = chained(plain)
    inputs = tf.constant(inputs_of(model))
    symbolic = keras.Input(SHAPE)
    assert model(symbolic).shape == (None, 5)
    assert model.compute_output_shape((4, *SHAPE)) == (4, 5)
    part = keras.Model(model.input, model.get_layer("first").output)
    assert not traced_runs(model, lambda: part(inputs))
    around = keras.Sequential([keras.Input(SHAPE), model])
    assert traced_runs(model, lambda: around(inputs))
    assert not traced_runs(model, lambda: model(inputs, training=True))
    plain(inputs, training=True)
    fk.close(model)
    assert_same(model(inputs), plain(inputs))


def test_a_model_of_products_alone_is_not_compiled_by_xla() -> None:
    x = keras.Input((6,), name="x")
    plain = keras.Model(x, _L.Dense(3, name="b")(_L.Dense(4, name="a")(x)))
    plain.compile("sgd", "mse", jit_compile="auto")
    model = chained(plain)
    inputs = np.random.default_rng(1).random((4, 6), np.float32)
    assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))
    assert len(fk.report(model).converted) == 2
    fk.close(model)


@pytest.mark.parametrize("change", ["quantize", "enable_lora", "activation"])
def test_changed_layers_are_for_the_client(change: str) -> None:
    def changed(model: keras.Model) -> None:
        layer = model.get_layer("out")
        if change == "quantize":
            layer.quantize("int8")
        elif change == "enable_lora":
            layer.enable_lora(2)
            layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
        else:
            layer.activation = keras.activations.relu

    plain = made(residual)
    model = chained(plain)
    inputs = tf.constant(inputs_of(plain))
    keras.utils.set_random_seed(5)
    changed(plain)
    keras.utils.set_random_seed(5)
    changed(model)
    with pytest.warns(RuntimeWarning, match="layers to 'out' were changed"):
        found = model(inputs)
    assert_same(found, plain(inputs))
    executor = fk.LocalExecutor(WORKERS)
    fk.attach(model, executor, plan=chained_plan(model), fallback="raise")
    assert_same(model(inputs), plain(inputs))
    assert on_workers(model) == 1


def test_what_goes_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chained(made(residual))
    inputs = inputs_of(model)

    def fail(*_: Any) -> Any:
        raise fk.NotEnoughWorkersError("too few")

    (stretch,) = (s for graph in chained_graphs(model) for s in graph.stretches)
    monkeypatch.setattr(stretch, "compute", fail)
    for run in (lambda: model(inputs), lambda: model.predict(inputs, verbose=0)):
        with pytest.raises(fk.NotEnoughWorkersError, match="too few"):
            run()
