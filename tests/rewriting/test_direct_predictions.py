"""A model that is one stretch predicts without TensorFlow's graph, all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from fcdcc_keras.layers.direct import DirectPrediction
from fcdcc_keras.rewriting.chains import chained_graphs
from tests.rewriting.chained_models import (
    SHAPE,
    chained,
    inputs_of,
    made,
    nested,
    residual,
    sequential,
    several,
    traced_runs,
)
from tests.rewriting.copied_models import assert_same

_L: Any = keras.layers


def directly(model: keras.Model) -> bool:
    """Returns whether a model predicts so; others trace what they predict by."""
    model.make_predict_function()
    return isinstance(model.predict_function, DirectPrediction)


def untraceable(model: keras.Model) -> keras.Model:
    """Returns a model that predicts so, and in no other way."""
    assert directly(model)
    model.predict_function._traced = pytest.fail
    return model


@pytest.fixture(scope="module")
def pair() -> tuple[keras.Model, keras.Model]:
    plain = made(residual)
    return plain, chained(plain, ("client", "workers"))


@pytest.mark.parametrize("make", [residual, sequential, nested, several])
def test_only_a_model_that_is_one_stretch_does_so(
    make: Callable[[], keras.Model],
) -> None:
    plain = made(make)
    model = chained(plain)
    inputs = inputs_of(plain)
    assert directly(model) == (make in (residual, sequential))
    assert_same(model.predict_on_batch(inputs), plain.predict_on_batch(inputs))
    assert_same(
        model.predict(inputs, batch_size=2, verbose=0), plain.predict(inputs, verbose=0)
    )
    assert traced_runs(model, lambda: model.predict_on_batch(inputs)) > 0


@pytest.mark.parametrize(
    "given",
    [
        lambda x: x,
        lambda x: x.astype(np.float64),
        lambda x: (255 * x).astype(np.uint8),
        lambda x: np.asfortranarray(x),
        lambda x: x[::2],
        tf.constant,
        lambda x: tf.constant(x, tf.float64),
    ],
)
def test_whatever_images_come_as(pair: Any, given: Callable[[Any], Any]) -> None:
    plain, model = pair
    inputs = given(inputs_of(plain))
    untraceable(model)
    predicted = model.predict(inputs, verbose=0)
    assert_same(predicted, plain.predict(inputs, verbose=0))
    found = model.predict_on_batch(inputs)
    assert type(found) is np.ndarray
    assert found.flags.writeable
    assert_same(found, plain.predict_on_batch(inputs))
    model.predict_function = None


@pytest.mark.parametrize(
    "given",
    [
        lambda x: tf.cast(tf.constant(x), tf.bfloat16),
        lambda x: x > 0.5,
    ],
)
def test_what_only_keras_understands_is_for_keras(
    pair: Any, given: Callable[[Any], Any]
) -> None:
    plain, model = pair
    inputs = given(inputs_of(plain))
    assert_same(model.predict_on_batch(inputs), plain.predict_on_batch(inputs), 1e-2)


def test_images_that_do_not_fit_are_refused_as_by_keras(pair: Any) -> None:
    plain, model = pair
    wrong = np.zeros((2, *SHAPE[:-1], 5), np.float32)
    for one in (plain, model):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            one.predict_on_batch(wrong)


def _compiled_step(model: keras.Model) -> None:
    model.compile(keras.optimizers.SGD(1.0), "mse")
    target = np.ones(model(inputs_of(model)).shape)
    model.train_on_batch(inputs_of(model), target)


def _stem(model: keras.Model) -> Any:
    return model.get_layer("stem").kernel


def _written(model: keras.Model) -> None:
    ones = np.ones(_stem(model).shape, np.float32)
    for _ in range(2):  # the second time it is written to in place
        _stem(model).value.scatter_nd_update([[0, 1]], 3 * ones[:1, 1])
        _stem(model).value.scatter_nd_update([[0, 1]], 2 * ones[:1, 1])


@pytest.mark.parametrize(
    "change",
    [
        lambda model: _stem(model).assign(2 * _stem(model)),
        lambda model: _stem(model).value[1:].assign(tf.ones((2, 3, 3, 4))),
        lambda model: model.get_layer("out").bias.value.assign_add(tf.range(5.0)),
        lambda model: model.set_weights([w + 0.1 for w in model.get_weights()]),
        _compiled_step,
        _written,
        tf.function(
            lambda model: _stem(model).value.assign_sub(_stem(model).value / 2),
            jit_compile=True,
        ),
    ],
)
def test_weights_that_changed_in_any_way_are_noticed(
    change: Callable[[keras.Model], Any],
) -> None:
    plain = made(residual)
    model = chained(plain)
    inputs = inputs_of(plain)
    untraceable(model).predict_on_batch(inputs)
    for _ in range(2):
        change(plain)
        change(model)
        assert_same(
            untraceable(model).predict_on_batch(inputs),
            plain.predict_on_batch(inputs),
            1e-4,
        )


def test_weights_that_stayed_are_not_placed_again(pair: Any) -> None:
    plain, model = pair
    inputs = inputs_of(plain)
    model.predict_on_batch(inputs)
    (graph,) = chained_graphs(model)
    held = graph.whole.compute._held
    for change in (
        lambda: None,
        lambda: model.set_weights(model.get_weights()),
        lambda: _stem(model).value.scatter_nd_update([[0]], _stem(model)[:1]),
    ):
        change()
        for _ in range(2):
            assert_same(model.predict_on_batch(inputs), plain.predict_on_batch(inputs))
        assert graph.whole.compute._held is held


def test_who_predicts_otherwise_goes_on_doing_so() -> None:
    @keras.saving.register_keras_serializable("direct_predictions")
    class Twice(keras.Model):
        def predict_step(self, data: Any) -> Any:
            return 2 * super().predict_step(data)

    plain = made(residual)
    twice = Twice(plain.inputs, plain.outputs)
    model = chained(twice)
    assert not directly(model)
    inputs = inputs_of(plain)
    assert_same(model.predict_on_batch(inputs), 2 * plain.predict_on_batch(inputs))


def test_the_model_is_closed_compiled_and_attached_as_any() -> None:
    plain = made(residual)
    model = chained(plain)
    inputs, expected = inputs_of(plain), plain.predict(inputs_of(plain), verbose=0)
    several_ = {"steps_per_execution": 2, "loss": "mse"}
    for change, told in (
        (lambda: model.compile(**several_), True),
        (lambda: model.compile(run_eagerly=True), False),
        (lambda: model.compile(loss="mse"), True),
        (lambda: fk.close(model), True),
        (lambda: fk.attach(model, fk.LocalExecutor(3), stragglers=1), False),
    ):
        change()
        assert directly(model) == told
        for batch in (1, 3):
            found = model.predict(inputs, batch_size=batch, verbose=0)
            assert_same(found, expected)


def test_eagerly_called_it_is_differentiable_all_the_same(pair: Any) -> None:
    plain, model = pair
    inputs = tf.constant(inputs_of(plain))
    assert_same(model(inputs), plain(inputs))
    slopes = []
    for one in pair:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(one(inputs) ** 2)
        slopes.append(tape.gradient(loss, inputs))
    assert_same(slopes[1], slopes[0], 1e-4)
