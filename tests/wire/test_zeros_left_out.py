"""Over a slow link, zeros are not sent: fewer bytes, and the same predictions."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.codes import CRME, Uncoded
from fcdcc_keras.planning import Calibration
from fcdcc_keras.worker.zeros import without_zeros
from tests.rewriting.chained_models import chained_plan

SLOW = Calibration(
    latency=1e-3, bandwidth=1e6, worker_rate=1e9, client_rate=1e9, coding_rate=1e9
)
SLOW_CLIENT = replace(SLOW, coding_rate=1e6)
"""It takes longer to leave zeros out than to send them."""


def model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = x = keras.Input((24, 24, 3))
    for number in range(2):
        x = layers.Conv2D(8, 3, padding="same", activation="relu", name=f"c{number}")(x)
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))


def images():
    return np.random.default_rng(0).normal(size=(1, 24, 24, 3)).astype("float32")


@pytest.fixture
def traced(client):
    """Gives a pass of a model in two chains, under a calibration: (prediction, trace).

    Its tiles are too small to be shared with workers of this machine.
    """

    def trace_of(plain, calibration):
        plan = replace(chained_plan(plain), calibration=calibration)
        with fk.closing(
            fk.distribute(plain, client, plan=plan, fallback="raise")
        ) as made:
            made.predict_on_batch(images())
            with fk.trace(made) as trace:
                prediction = made.predict_on_batch(images())
        return prediction, trace

    return trace_of


def copies(trace):
    """Returns what was sent of the first chain, and of the second, one tile."""
    sent = [task for record in trace.records for task in record.subtasks]
    last = [task for task in sent if task.bytes_received == 5 * 4]
    return [task for task in sent if task not in last and task.outcome == "used"], last


def test_zeros_are_not_sent_over_a_slow_link(traced):
    plain = model()
    cut = plain.get_layer(chained_plan(plain).stretches[0].chains[0].to)
    features = keras.Model(plain.inputs, cut.output)([images()]).numpy()
    there, bits = 4 * np.count_nonzero(features), features.size // 8
    assert there < features.nbytes / 2  # otherwise few are left out
    predicted, trace = traced(plain, SLOW)
    np.testing.assert_allclose(predicted, plain.predict_on_batch(images()), atol=1e-5)
    first, last = copies(trace)
    # The bits of a tile end in a place for numbers.
    received = sum(task.bytes_received for task in first)
    assert there + bits <= received <= there + bits + 8 * len(first)
    assert {task.bytes_sent for task in last} == {there + bits}
    # The images have none, and tiles overlap.
    assert sum(task.bytes_sent for task in first) >= images().nbytes


def test_over_a_fast_link_all_is_sent(traced):
    plain = model()
    predicted, trace = traced(plain, SLOW_CLIENT)
    np.testing.assert_allclose(predicted, plain.predict_on_batch(images()), atol=1e-5)
    first, last = copies(trace)
    whole = 24 * 24 * 8 * 4
    assert sum(task.bytes_received for task in first) == whole
    assert {task.bytes_sent for task in last} == {whole}


@pytest.mark.parametrize("code", [CRME(4, 2, 4), Uncoded(4, 1, 4)])
def test_nobody_looks_for_zeros_in_what_is_encoded(client, monkeypatch, code):
    looked = []
    monkeypatch.setattr(
        "fcdcc_keras.wire.transport.without_zeros",
        lambda array: looked.append(array.shape) or without_zeros(array),
    )
    plain = model()
    plan = fk.plan(plain, workers=4, stragglers=0, code=code, calibration=SLOW)
    with fk.closing(fk.distribute(plain, client, plan=plan)) as made:
        predicted = made.predict_on_batch(images())
    np.testing.assert_allclose(predicted, plain.predict_on_batch(images()), atol=1e-4)
    assert bool(looked) == (code.k_a == 1)


def test_nobody_looks_for_zeros_in_what_is_shared_in_memory(client, monkeypatch):
    looked = []
    monkeypatch.setattr("fcdcc_keras.wire.transport.without_zeros", looked.append)
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((96, 96, 8))
    for number in range(2):
        x = keras.layers.Conv2D(16, 3, activation="relu", name=f"c{number}")(x)
    plain = keras.Model(inputs, x)
    x = np.random.default_rng(0).normal(size=(1, 96, 96, 8)).astype("float32")
    plan = replace(chained_plan(plain), calibration=SLOW)
    with fk.closing(fk.distribute(plain, client, plan=plan, fallback="raise")) as made:
        made.predict_on_batch(x)  # who shares memory is found out
        looked.clear()
        with fk.trace(made) as trace:
            made.predict_on_batch(x)
    assert not looked
    sent = [task for record in trace.records for task in record.subtasks]
    # Of the first chain's results all is counted, and tiles overlap.
    assert sum(task.bytes_sent for task in sent) >= x.nbytes + 94 * 94 * 16 * 4
