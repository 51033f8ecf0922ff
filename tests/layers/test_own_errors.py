"""Errors of coded layers, from whichever model or function calls them."""

import gc
import pickle
import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from fcdcc_keras.execution.executors.local import LOST
from fcdcc_keras.layers import own_errors

GONE = {0: LOST, 1: LOST, 2: LOST}
MATCH = "^Layer 'one' needs the results of 3 workers"


@pytest.fixture(scope="module")
def coded():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="one")(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3, name="two")(x))
    return fk.distribute(model, fk.LocalExecutor(4, GONE), fallback="raise")


@pytest.fixture(scope="module")
def part(coded):
    model = keras.Model(coded.input, coded.get_layer("one").output)
    model.compile("sgd", "mse")
    return model


def images(batch=2):
    return np.ones((batch, 8, 8, 3), "float32")


CALLS = {
    "predict": lambda model: model.predict(images(), verbose=0),
    "fit": lambda model: model.fit(images(), np.zeros((2, 6, 6, 4)), verbose=0),
    "evaluate": lambda model: model.evaluate(
        images(), np.zeros((2, 6, 6, 4)), verbose=0
    ),
    "train_on_batch": lambda model: model.train_on_batch(
        images(), np.zeros((2, 6, 6, 4))
    ),
    "tf.function": lambda model: tf.function(model)(images()),
    "tf.data": lambda model: list(tf.data.Dataset.from_tensors(images()).map(model)),
    "a model around it": lambda model: keras.Sequential([model]).predict(
        images(), verbose=0
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_model_of_its_layers_raises_them_too(call, part):
    with pytest.raises(fk.NotEnoughWorkersError, match=MATCH) as caught:
        CALLS[call](part)
    # Whoever was ready for TensorFlow's still is; elsewhere it is ours alone.
    assert isinstance(caught.value, tf.errors.UnknownError)
    assert type(pickle.loads(pickle.dumps(caught.value))) is fk.NotEnoughWorkersError


def test_the_model_itself_raises_them(coded):
    for call in (CALLS["predict"], CALLS["tf.function"]):
        with pytest.raises(fk.NotEnoughWorkersError, match=MATCH):
            call(coded)


def test_each_of_several_threads_gets_its_own(coded, part):
    alone = fk.LocalExecutor(3, {0: LOST, 1: LOST})
    other = fk.distribute(part, alone, fallback="raise", stragglers=1)
    expected = {id(part): "3 workers", id(other): "2 workers"}

    def call(model):
        try:
            model.predict_on_batch(images())
        except fk.NotEnoughWorkersError as error:
            return expected[id(model)] in str(error)
        return False

    for model in (part, other):  # traced by one thread
        assert call(model)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(call, [part, other] * 100))


def test_nothing_stays_alive_after_an_error():
    collectors = []

    class Watched(fk.LocalExecutor):
        def run(self, job):
            collector, results = super().run(job)
            collectors.append(weakref.ref(collector))
            return collector, results

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    coded = fk.distribute(model, Watched(4, GONE), fallback="raise")
    with pytest.raises(fk.NotEnoughWorkersError):
        coded.predict(images(), verbose=0)
    gc.collect()
    assert [collector() for collector in collectors] == [None]


def test_errors_that_tensorflow_never_raises_are_forgotten(monkeypatch):
    monkeypatch.setattr(own_errors, "_REMEMBERED", 5)
    monkeypatch.setattr(own_errors, "_raised", OrderedDict())
    for _ in range(9):
        with pytest.raises(own_errors.InGraph), own_errors.marked():
            raise fk.ClusterError("nobody asks")
    assert len(own_errors._raised) == 5


def test_other_errors_stay_what_they_are():
    def fail():
        raise RuntimeError("fcdcc-error-" + "0" * 32)

    with pytest.raises(tf.errors.UnknownError, match="RuntimeError") as caught:
        tf.function(lambda: tf.numpy_function(fail, (), tf.float32))()
    assert not isinstance(caught.value, fk.FcdccError)
