"""Every coded layer through every way into it: results, arguments and weights."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from fcdcc_keras import layers as coded_layers
from fcdcc_keras.execution.executors.local import LOST

WORKERS = 4
NAMES = [n.removeprefix("Coded") for n in coded_layers.__all__ if n[:5] == "Coded"]
NAMES.remove("Layer")
# Layers one after another, which together are all that there are.
CHAINS = {
    (12, 3): [
        ("Conv1D", {"filters": 4, "kernel_size": 3, "activation": "relu"}),
        ("DepthwiseConv1D", {"kernel_size": 3}),
        ("SeparableConv1D", {"filters": 3, "kernel_size": 2}),
        ("Conv1DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2}),
        ("Dense", {"units": 3}),
    ],
    (9, 8, 2): [
        ("Conv2D", {"filters": 4, "kernel_size": 3, "activation": "relu"}),
        ("DepthwiseConv2D", {"kernel_size": 3}),
        ("SeparableConv2D", {"filters": 3, "kernel_size": 2}),
        ("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2}),
        ("Flatten", {}),
        ("Dense", {"units": 3}),
    ],
    (5, 4, 4, 2): [
        ("Conv3D", {"filters": 4, "kernel_size": 2, "activation": "relu"}),
        ("Conv3DTranspose", {"filters": 2, "kernel_size": 2}),
    ],
}
ATOL = 1e-10


def _rotating(call: int, worker: int) -> object:
    return LOST if worker == call % WORKERS else None


def _data(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = (2, *model.input_shape[1:]), (2, *model.output_shape[1:])
    return rng.normal(size=shapes[0]), rng.normal(size=shapes[1])


@pytest.fixture(scope="module", params=CHAINS, ids=lambda shape: f"{len(shape) - 1}D")
def pair(request):
    """A model of a chain, and the same coded, in float64."""
    keras.utils.set_random_seed(0)
    layers = [
        getattr(keras.layers, name)(dtype="float64", **options)
        for name, options in CHAINS[request.param]
    ]
    inputs = keras.Input(request.param, dtype="float64")
    plain = keras.Sequential([inputs, *layers])
    plain.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    executor = fk.LocalExecutor(WORKERS, _rotating)
    return plain, fk.distribute(plain, executor, dense=True, fallback="raise")


WAYS = {
    "predict": lambda model, x, y: model.predict(x, verbose=0),
    "evaluate": lambda model, x, y: model.evaluate(x, y, verbose=0),
    "fit": lambda model, x, y: model.fit(x, y, verbose=0).history["loss"],
    "train_on_batch": lambda model, x, y: model.train_on_batch(x, y),
    "call, training=False": lambda model, x, y: model(x, training=False),
    "call, training=True": lambda model, x, y: model(x, training=True),
    "tf.function": lambda model, x, y: tf.function(model)(x, training=False),
}


@pytest.mark.parametrize("way", WAYS)
def test_gives_what_the_plain_model_gives(way, pair):
    plain, coded = pair
    x, y = _data(plain)
    before = plain.get_weights()
    coded.set_weights(before)
    with fk.trace(coded) as trace:
        outputs = WAYS[way](coded, x, y)
    assert trace.local_convolutions == 0
    assert trace.distributed_convolutions == len(fk.report(coded).converted)
    np.testing.assert_allclose(outputs, WAYS[way](plain, x, y), atol=ATOL)
    for one, other in zip(coded.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=ATOL)
    plain.set_weights(before)


def test_the_chains_have_every_coded_layer():
    assert {n for chain in CHAINS.values() for n, _ in chain} - {"Flatten"} == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_takes_what_the_plain_layer_takes(name):
    plain = inspect.signature(getattr(keras.layers, name).call)
    coded = inspect.signature(getattr(coded_layers, f"Coded{name}").call)
    assert coded == plain


def test_every_layer_takes_every_argument_of_its_call(pair):
    plain, coded = pair
    for one, other in zip(coded.layers, plain.layers, strict=True):
        x = np.random.default_rng(0).normal(size=(2, *other.input.shape[1:]))
        _, *more = inspect.signature(other.call).parameters
        for arguments in ({}, *({name: True} for name in more)):
            y = other(x, **arguments)
            np.testing.assert_allclose(one(x, **arguments), y, atol=ATOL)
