"""Chains in tiles over real worker processes that are stopped, killed, or lie."""

import os
import signal
import time

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.dispatch import piece_round as rules
from fcdcc_keras.planning import Plan
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.rewriting.distribute import sessions

WORKERS = 5
SIZE = (96, 96)


def model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = x = keras.Input((*SIZE, 3), name="photo")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_0")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    shortcut = x = layers.Conv2D(24, 3, padding="same", name="conv_1")(x)
    x = layers.BatchNormalization(name="normal")(x)
    x = layers.Conv2D(24, 3, padding="same", activation="relu", name="conv_2")(x)
    x = layers.Add(name="add")([x, shortcut])
    outputs = layers.Dense(4, name="scores")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, outputs, name="small")


def tiles(plain, stragglers=2, hedged=True):
    chains = ChainPlan("pool", "workers", hedged), ChainPlan("add", "workers", hedged)
    stretch = StretchPlan("", "photo", SIZE, chains)
    return Plan(plain.name, WORKERS, stragglers, (), stretches=(stretch,))


@pytest.fixture
def distributed(cluster):
    """Makes models over the cluster, and closes them."""
    made = []

    def distribute(hedged=True, **options):
        plain = model()
        options = {"fallback": "raise", **options}
        coded = fk.distribute(
            plain, cluster, plan=tiles(plain, hedged=hedged), **options
        )
        made.append(coded)
        (session,) = sessions(coded)
        return plain, coded, session.executor

    yield distribute
    for coded in made:
        fk.close(coded)


def check(plain, coded, calls=1):
    """Predicts and compares; returns the records."""
    with fk.trace(coded) as trace:
        for seed in range(calls):
            x = np.random.default_rng(seed).normal(size=(2, *SIZE, 3))
            y = coded.predict_on_batch(x.astype("float32"))
            expected = plain.predict_on_batch(x.astype("float32"))
            np.testing.assert_allclose(y, expected, atol=1e-5)
    assert len(trace.records) == calls
    return trace.records


def workers_of(records):
    """Returns the workers whose results were used."""
    used = [t for r in records for t in r.subtasks if t.outcome == "used"]
    return {task.address for task in used}


@pytest.mark.parametrize("hedged", [True, False])
def test_workers_freeze_under_tiles(cluster, distributed, hedged):
    plain, coded, executor = distributed(hedged)
    check(plain, coded, 3)
    gone = set(executor.addresses[1:3])
    for address in gone:
        os.kill(cluster.pids[address], signal.SIGSTOP)
    check(plain, coded)
    records = check(plain, coded, 5)
    assert all(record.local is None for record in records)
    assert workers_of(records).isdisjoint(gone)
    # Who does not answer gets nothing; and tiles are cut for those that are left.
    sent = {t.address for r in records[-2:] for t in r.subtasks}
    assert sent.isdisjoint(gone)
    for address in gone:
        os.kill(cluster.pids[address], signal.SIGCONT)
    deadline = time.monotonic() + 60
    while not gone <= workers_of(check(plain, coded)):
        assert time.monotonic() < deadline, "they are not used again"


def test_a_late_tile_is_sent_to_another_worker(cluster, distributed, monkeypatch):
    # Lateness is learnt: nobody waits for a stopped worker to be found out.
    monkeypatch.setattr(rules, "LOOK_EVERY", 1e6)
    plain, coded, executor = distributed(timeout=1e6)
    check(plain, coded, 3)
    frozen = executor.addresses[0]
    os.kill(cluster.pids[frozen], signal.SIGSTOP)
    (record,) = check(plain, coded)
    assert record.local is None
    assert frozen not in workers_of([record])
    late = [task for task in record.subtasks if task.address == frozen]
    assert {task.outcome for task in late} == {"late"}


def test_all_workers_freeze_under_tiles(cluster, distributed):
    plain, coded, executor = distributed(fallback="local", timeout=2.0)
    check(plain, coded)
    for address in executor.addresses:
        os.kill(cluster.pids[address], signal.SIGSTOP)
    with pytest.warns(RuntimeWarning, match="needs all of its .* tiles"):
        (record,) = check(plain, coded)
    assert record.local == "too few workers"


def test_weights_change_under_tiles(cluster, distributed):
    plain, coded, executor = distributed()
    check(plain, coded)
    os.kill(cluster.pids[executor.addresses[4]], signal.SIGSTOP)
    kernel, bias = plain.get_layer("conv_2").get_weights()
    for one in (plain, coded):
        one.get_layer("conv_2").set_weights([2.0 * kernel, bias + 1.0])
    assert all(record.local is None for record in check(plain, coded, 2))


def _lie(begin):
    """Runs on a worker: has it compute something else, or what it is told again."""
    from fcdcc_keras.worker.weights import Weights

    if begin:
        honest = Weights._honest = Weights.run
        Weights.run = lambda *args: np.array(honest(*args)) + 0.1
    else:
        Weights.run = Weights._honest


@pytest.mark.parametrize("transport", ["direct", "tasks"])
def test_a_worker_that_lies_about_tiles(cluster, distributed, transport):
    plain, coded, executor = distributed(verify="parity", transport=transport)
    (record,) = check(plain, coded)
    confirmed = [task.piece for task in record.subtasks]
    assert all(confirmed.count(piece) >= 2 for piece in confirmed)
    liar = executor.addresses[2]
    homes = [t.address for t in record.subtasks]
    assert liar in homes
    cluster.run(_lie, True, workers=[liar])
    try:
        with pytest.warns(RuntimeWarning, match=f"{liar} gave a result of layer"):
            check(plain, coded, 3)
        records = check(plain, coded, 2)
        assert liar not in {t.address for r in records for t in r.subtasks}
    finally:
        cluster.run(_lie, False, workers=[liar])


def test_workers_are_killed_under_tiles(cluster, distributed):  # the last
    # Whoever is silent is asked, and replaced, long before: time is never up.
    plain, coded, executor = distributed(timeout=1e6)
    check(plain, coded, 2)
    homes = executor.addresses
    for worker in range(WORKERS - 1):
        os.kill(cluster.pids[homes[worker]], signal.SIGKILL)
        assert all(record.local is None for record in check(plain, coded, 2))
    deadline = time.monotonic() + 90
    while len(set(executor.addresses)) < WORKERS:
        assert time.monotonic() < deadline, "nobody took their places"
        check(plain, coded)
    while workers_of(check(plain, coded)) != set(executor.addresses):
        assert time.monotonic() < deadline, "they are not used"
