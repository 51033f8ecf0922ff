"""Real worker processes stopped and killed: every answer is there, and right."""

import os
import signal
import subprocess
import time

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.dispatch import round as rules
from fcdcc_keras.worker import process as worker_process

WORKERS = 5


def model():
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(16, 3, padding="same", activation="relu", name=f"conv_{i}")
        for i in range(4)
    ]
    return keras.Sequential([keras.Input((40, 40, 3)), *layers])


def images(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 40, 40, 3)).astype("float32")


def check(plain, coded, calls, seed=0):
    """Predicts and compares; returns the trace."""
    with fk.trace(coded) as trace:
        for call in range(calls):
            x = images(seed + call)
            y = coded.predict_on_batch(x)
            np.testing.assert_allclose(y, plain.predict_on_batch(x), atol=1e-5)
    return trace


def send(client, homes, worker, number):
    os.kill(client.pids[homes[worker]], number)


def wait_until_free(executor, count):
    deadline = time.monotonic() + 90
    while len(executor.free) < count:
        assert time.monotonic() < deadline, "stopped workers never came back"
        time.sleep(0.05)


def outcomes(trace, worker):
    return [record.subtasks[worker].outcome for record in trace.records]


def test_workers_freeze(cluster):
    plain = model()
    coded = fk.distribute(plain, cluster, stragglers=2, fallback="raise")
    executor = coded.layers[0].session.executor
    assert check(plain, coded, 2).local_convolutions == 0
    for worker in (1, 3):
        send(cluster, executor.addresses, worker, signal.SIGSTOP)
    trace = check(plain, coded, 10)
    assert trace.distributed_convolutions == 40
    for worker in (1, 3):
        # The first layer may have been sent; from then on it is unfinished work.
        assert outcomes(trace, worker).count("used") == 0
        assert outcomes(trace, worker).count("late") <= 1
        assert outcomes(trace, worker).count("skipped") >= 39
    for worker in (1, 3):
        send(cluster, executor.addresses, worker, signal.SIGCONT)
    wait_until_free(executor, WORKERS)
    trace = check(plain, coded, 5)
    for worker in (1, 3):
        assert outcomes(trace, worker).count("skipped") < 20
        assert "used" in outcomes(trace, worker) or "late" in outcomes(trace, worker)
    fk.close(coded)


# It depends on how soon they are started again: test_clusters.py has the warning.
@pytest.mark.filterwarnings("ignore:.*which have the shares of:RuntimeWarning")
def test_workers_are_killed_one_after_another(cluster):
    plain = model()
    # Whoever is silent is asked, and replaced, long before: time is never up.
    options = {"stragglers": 2, "fallback": "raise", "timeout": 1e6}
    coded = fk.distribute(plain, cluster, **options)
    executor = coded.layers[0].session.executor
    homes = executor.addresses
    check(plain, coded, 2)
    send(cluster, homes, 0, signal.SIGSTOP)
    send(cluster, homes, 4, signal.SIGKILL)
    trace = check(plain, coded, 5)
    assert trace.local_convolutions == 0
    for record in trace.records:
        assert {task.address for task in record.subtasks} <= {*homes}
    # More than the code tolerates: what is missing goes to those that are left.
    for worker in (2, 1):
        send(cluster, homes, worker, signal.SIGKILL)
        trace = check(plain, coded, 5)
        assert trace.local_convolutions == 0
    # When workers come, the killed ones at new addresses, each has one share again.
    os.kill(cluster.pids[homes[0]], signal.SIGCONT)
    deadline = time.monotonic() + 90
    while len(set(executor.addresses)) < WORKERS:
        assert time.monotonic() < deadline, "the shares did not spread again"
        assert check(plain, coded, 1).local_convolutions == 0
    assert {homes[0], homes[3]} <= set(executor.addresses)
    while True:
        trace = check(plain, coded, 5)
        used = {t.address for r in trace.records for t in r.subtasks if t.started}
        if used >= set(executor.addresses):
            break
        assert time.monotonic() < deadline, f"used are only {used}"
    assert trace.local_convolutions == 0
    fk.close(coded)


def test_all_workers_freeze(cluster):
    plain = model()
    coded = fk.distribute(plain, cluster, stragglers=2, timeout=3)
    executor = coded.layers[0].session.executor
    homes = executor.addresses
    check(plain, coded, 1)
    for worker in range(WORKERS):
        send(cluster, homes, worker, signal.SIGSTOP)
    # They might answer yet: they are waited for, but not by every layer.
    with pytest.warns(RuntimeWarning, match=r"needs the results of 3 workers"):
        trace = check(plain, coded, 5)
    assert {record.local for record in trace.records} == {"too few workers"}
    assert len([record for record in trace.records if record.collect >= 3]) <= 1
    fk.close(coded)


def test_too_few_workers_are_left_and_the_fallback_is_raise(cluster):
    plain = model()
    options = {"stragglers": 1, "fallback": "raise", "timeout": 2}
    coded = fk.distribute(plain, cluster, **options)
    executor = coded.layers[0].session.executor
    homes = executor.addresses
    for worker in range(WORKERS):
        send(cluster, homes, worker, signal.SIGSTOP)
    with pytest.raises(fk.NotEnoughWorkersError, match=r"conv_0.*results of 4"):
        coded(images(0))
    with pytest.raises(fk.NotEnoughWorkersError, match=homes[1]):
        coded(images(0))
    for worker in range(WORKERS):
        send(cluster, homes, worker, signal.SIGCONT)
    wait_until_free(executor, 4)
    check(plain, coded, 2)
    fk.close(coded)


def test_weights_change_while_workers_are_frozen_or_dead(cluster):
    plain = model()
    coded = fk.distribute(plain, cluster, stragglers=2, fallback="raise")
    executor = coded.layers[0].session.executor
    away = {executor.addresses[1], executor.addresses[3]}
    send(cluster, executor.addresses, 1, signal.SIGSTOP)
    send(cluster, executor.addresses, 3, signal.SIGKILL)
    for factor in (0.5, 0.9, 1.1):
        weights = [w * factor for w in plain.get_weights()]
        plain.set_weights(weights)
        coded.set_weights(weights)
        started = time.monotonic()
        trace = check(plain, coded, 3)
        # Placing gives up after 30 s, which nobody must wait for.
        assert time.monotonic() - started < 30
        assert trace.local_convolutions == 0
        used = {
            task.address
            for record in trace.records
            for task in record.subtasks
            if task.outcome == "used"
        }
        assert used.isdisjoint(away)  # the killed one is another when it is back
    assert sum(health.owes for health in executor.crew.health.values()) <= 2
    assert len(executor._background) <= 4
    fk.close(coded)


def test_a_worker_freezes_in_the_middle_of_a_layer(cluster):
    plain = model()
    coded = fk.distribute(plain, cluster, stragglers=2, fallback="raise")
    executor = coded.layers[0].session.executor
    check(plain, coded, 1)
    stop_at = {2: 1, 5: 4}  # at these records' ends, stop these workers

    def listen(record):
        seen.append(record)
        if len(seen) in stop_at:
            send(cluster, executor.addresses, stop_at[len(seen)], signal.SIGSTOP)

    seen: list[object] = []
    notes = coded.layers[0].session.notes
    notes.listeners.append(listen)
    trace = check(plain, coded, 3)
    assert trace.distributed_convolutions == 12
    assert 4 not in trace.records[-1].survivors
    assert 1 not in trace.records[-1].survivors
    fk.close(coded)


def test_a_worker_that_a_hedged_layer_chose_freezes(cluster, monkeypatch):
    # Lateness is learnt: nobody waits for a stopped worker to be found out.
    monkeypatch.setattr(rules, "LOOK_EVERY", 1e6)
    plain = model()
    options = {"stragglers": 2, "redundancy": "hedged", "fallback": "raise"}
    options["timeout"] = 1e6
    coded = fk.distribute(plain, cluster, **options)
    executor = coded.layers[0].session.executor
    homes = executor.addresses
    check(plain, coded, 5)
    chosen = check(plain, coded, 1).records[-1].survivors
    for worker in chosen[:2]:
        send(cluster, homes, worker, signal.SIGSTOP)
    trace = check(plain, coded, 4)
    assert trace.local_convolutions == 0
    assert all(set(chosen[:2]).isdisjoint(r.survivors) for r in trace.records)
    for worker in chosen[:2]:
        send(cluster, homes, worker, signal.SIGCONT)
    wait_until_free(executor, WORKERS)
    assert check(plain, coded, 2).local_convolutions == 0
    fk.close(coded)


def test_a_worker_leaves_and_another_joins(cluster):  # the last: they are fewer then
    plain = model()
    coded = fk.distribute(plain, cluster, stragglers=1, fallback="raise")
    executor = coded.layers[0].session.executor
    leaving = executor.addresses[2]
    cluster.retire_workers([leaving])
    assert check(plain, coded, 3).local_convolutions == 0
    process = subprocess.Popen(
        worker_process.command(cluster.scheduler.address, nanny=False),
        env=worker_process.environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 90
        while leaving in executor.addresses:
            assert time.monotonic() < deadline, "nobody took the share over"
            time.sleep(0.2)  # it has its engine to load
            assert check(plain, coded, 1).local_convolutions == 0
        # Its successor has been admitted, and answers.
        assert len(set(executor.addresses)) == WORKERS
        while "used" not in outcomes(check(plain, coded, 1), 2):
            assert time.monotonic() < deadline, "the share is not used"
        fk.close(coded)
    finally:
        process.kill()
        process.wait()
