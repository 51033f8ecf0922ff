"""Copies train as their originals do: what is frozen, and how they are compiled."""

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from tests.rewriting.copied_models import (
    SHAPE,
    CompiledDetector,
    Pair,
    RecompiledDetector,
    assert_same,
    conv,
    detector,
    distributed,
    images,
    layers,
    sequential,
)


def towers():
    """Every kind of thing that holds layers, one in another."""
    keras.utils.set_random_seed(0)
    stem = keras.Input(SHAPE)
    x = layers.BatchNormalization(name="norm")(conv(name="first")(stem))
    base = keras.Model(stem, conv(name="last")(x), name="base")
    inner = sequential(conv(name="deep"), Pair(name="pair"), name="inner")
    inputs = keras.Input((2, *SHAPE))
    timed = layers.TimeDistributed(conv(name="each"), name="timed")(inputs)
    x = inner(base(timed[:, 0])) + timed[:, 1]
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)), name="towers")


def films(batch=2):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(batch, 2, *SHAPE)).astype("float32")
    return x, rng.normal(size=(batch, 2)).astype("float32")


def frozen(*path):
    def freeze(model, trainable=False):
        layer = model
        for name in path:
            layer = layer.get_layer(name)
        layer.trainable = trainable

    return freeze


def all_but_the_last(model):
    frozen("base")(model)
    frozen("base", "last")(model, trainable=True)


def inside_others(model):
    model.get_layer("timed").layer.trainable = False
    model.get_layer("inner").get_layer("pair").first.trainable = False


def a_parent_alone(model):
    frozen("inner")(model)
    for layer in model.get_layer("inner")._flatten_layers(include_self=False):
        layer.trainable = True


def one_weight(model):
    model.get_layer("base").get_layer("last").bias.trainable = False


FREEZING = {
    "whole": frozen(),
    "functional": frozen("base"),
    "sequential": frozen("inner"),
    "layer": frozen("base", "norm"),
    "wrapper": frozen("timed"),
    "but the last": all_but_the_last,
    "inside others": inside_others,
    "parent alone": a_parent_alone,
    "weight": one_weight,
}


def trained(model):
    flags = [layer.trainable for layer in model._flatten_layers()]
    return flags, [w.path.split("/")[-2:] for w in model.trainable_weights]


@pytest.mark.parametrize("case", FREEZING)
def test_the_same_is_frozen_and_can_be_unfrozen(case):
    model = towers()
    FREEZING[case](model)
    coded = distributed(model)
    assert trained(coded) == trained(model)
    assert trained(model) != trained(towers())
    for unfreeze in (frozen("base"), frozen("inner"), frozen("timed"), frozen()):
        for it in (model, coded):
            unfreeze(it, trainable=True)
        assert trained(coded) == trained(model)


@pytest.mark.parametrize("then", [None, frozen("base")])
def test_one_step_of_training_leaves_the_same_weights(then):
    model = towers()
    all_but_the_last(model)
    coded = distributed(model)
    x, y = films()
    for it in (model, coded):
        if then is not None:
            then(it, trainable=True)
        it.compile(keras.optimizers.SGD(0.1), loss="mse", run_eagerly=True)
        it.train_on_batch(x, y)
    for a, b in zip(coded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


class Halving(keras.optimizers.schedules.LearningRateSchedule):
    """Has no configuration."""

    def __call__(self, step):
        return 0.1 * 0.5 ** keras.ops.cast(step, "float32")


def squared(y, predicted):
    return keras.ops.mean((y - predicted) ** 2, axis=-1)


COMPILED = {
    "objects": lambda: {
        "optimizer": keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.5, 9.0)
        ),
        "loss": keras.losses.Huber(0.5),
        "metrics": [keras.metrics.MeanAbsoluteError(), "mse"],
        "steps_per_execution": 2,
    },
    "functions": lambda: {
        "optimizer": keras.optimizers.SGD(Halving(), momentum=0.9),
        "loss": lambda y, predicted: squared(y, predicted) * 2,
        "metrics": [keras.metrics.MeanMetricWrapper(squared, name="mine"), squared],
        "weighted_metrics": [lambda y, predicted: keras.ops.abs(y - predicted)[:, 0]],
        "loss_weights": 0.5,
        "run_eagerly": True,
    },
    "scaled": lambda: {
        "optimizer": keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(Halving())
        ),
        "loss": "mse",
        "auto_scale_loss": False,
    },
}


@pytest.mark.parametrize("case", COMPILED)
def test_whatever_it_was_compiled_with_the_copy_is_compiled_so(case):
    model = sequential(layers.Flatten(), layers.Dense(2), name="small")
    model = sequential(conv(), model)
    model.compile(**COMPILED[case]())
    x, y = images(), np.ones((2, 2), "float32")
    model.train_on_batch(x, y)
    coded = distributed(model)
    assert coded.optimizer is not model.optimizer
    assert coded.steps_per_execution == model.steps_per_execution
    assert coded.run_eagerly == model.run_eagerly
    state = [v.numpy() for v in model.optimizer.variables]
    assert any(np.any(value == 1) for value in state)  # it has been applied once
    assert_same([v.numpy() for v in coded.optimizer.variables], state)
    model.reset_metrics()
    for _ in range(2):  # training goes on where it was
        assert_same(
            coded.train_on_batch(x, y, return_dict=True),
            model.train_on_batch(x, y, return_dict=True),
            rtol=1e-4,
        )
    assert_same(coded.get_weights(), model.get_weights(), rtol=1e-4)


def test_models_within_are_compiled_as_theirs():
    part = sequential(conv(), layers.Flatten(), layers.Dense(1), name="part")
    part.compile(keras.optimizers.SGD(0.1), loss="mse")
    whole = sequential(conv(), part)
    coded = distributed(whole).get_layer("part")
    y = np.ones((2, 1), "float32")
    assert_same(coded.train_on_batch(images(), y), part.train_on_batch(images(), y))


def targets(model):
    return {k: np.ones(v.shape, "float32") for k, v in model(images()).items()}


def test_own_compile_that_says_how_is_called_again():
    model = detector(RecompiledDetector)
    optimizer = keras.optimizers.SGD(Halving(), momentum=0.5)
    model.compile(squared, "mae", optimizer=optimizer)
    coded = distributed(model)
    assert coded.compiled
    assert coded.box_loss is squared
    assert coded.optimizer is not model.optimizer
    x, y = images(), targets(model)
    assert_same(coded.train_on_batch(x, y), model.train_on_batch(x, y))


def passing_on(self, optimizer="auto", loss="auto", **options):
    optimizer = "sgd" if optimizer == "auto" else optimizer
    loss = "mse" if loss == "auto" else loss
    keras.Sequential.compile(self, optimizer=optimizer, loss=loss, **options)


def test_own_compile_of_the_same_arguments_is_called_with_them():
    class Own(keras.Sequential):
        compile = passing_on

    model = Own([keras.Input(SHAPE), conv()])
    model.compile(metrics=["mae"])
    coded = distributed(model)
    x, y = images(), np.ones((2, *SHAPE), "float32")
    assert_same(coded.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0))


def changing(self, loss, **options):
    keras.Sequential.compile(self, loss=lambda y, p: loss(y, p) / 2, **options)


def not_again(self, config):
    pass


def test_a_copy_that_cannot_be_compiled_is_not_and_says_why():
    class Changing(keras.Sequential):
        compile = changing

    class Silent(keras.Sequential):
        compile_from_config = not_again

    several = detector(CompiledDetector)
    several.compile("mse", "mae", optimizer="sgd")
    given = [keras.Input(SHAPE), conv()]
    other, silent = Changing(given), Silent(given)
    for model in (other, silent):
        model.compile(loss=squared)
    for model, why in (
        (several, "CompiledDetector.compile takes `box_loss`, `class_loss`"),
        (other, "Changing.compile changes what it is given"),
        (silent, "its `compile_from_config` does not compile it"),
    ):
        with pytest.warns(UserWarning, match=f"is not compiled: {why}"):
            coded = distributed(model)
        assert not coded.compiled
        assert model.compiled
        assert_same(coded(images()), model(images()))
        assert fk.report(coded).converted
