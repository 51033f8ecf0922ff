"""The two ways to the workers: which is taken, and what they let through."""

import os
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
from distributed import Client

import fcdcc_keras as fk
from fcdcc_keras.execution.executors import connect
from fcdcc_keras.execution.executors.local import LOST, LocalFault


def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(12, 3, padding="same", name="one")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(10, 3, name="two")(x))


def images(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 24, 24, 3)).astype("float32")


def check(plain, coded, calls=1):
    with fk.trace(coded) as trace:
        for call in range(calls):
            x = images(call)
            np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
    return trace


def test_direct_where_the_workers_can_be_reached(client):
    plain = model()
    with fk.closing(fk.distribute(plain, client, fallback="raise")) as coded:
        trace = check(plain, coded)
    assert {record.transport for record in trace.records} == {"direct"}
    assert "transport: direct" in str(trace.summary())


def test_tasks_where_the_user_wants_no_direct_connections(client):
    plain = model()
    with (
        Client(client.scheduler.address, direct_to_workers=False) as indirect,
        fk.closing(fk.distribute(plain, indirect, fallback="raise")) as coded,
    ):
        trace = check(plain, coded)
    assert {record.transport for record in trace.records} == {"tasks"}


def test_unreachable_workers(client, monkeypatch):
    async def unreachable(self, address):
        raise OSError("no route to host")

    monkeypatch.setattr(connect.DirectTransport, "reach", unreachable)
    plain = model()
    with fk.closing(fk.distribute(plain, client, fallback="raise")) as coded:
        assert check(plain, coded).records[0].transport == "tasks"
    with pytest.raises(
        fk.ClusterError, match=r"(?s)direct.*Received: no answer.*tasks"
    ):
        fk.distribute(plain, client, transport="direct")


@pytest.mark.parametrize("option", ["transport", "redundancy"])
def test_unknown_choices_are_refused(option):
    with pytest.raises(fk.PlanError, match=rf"`{option}` must be.*Received: .*'fast'"):
        fk.distribute(model(), fk.LocalExecutor(2), **{option: "fast"})


def _plant(path, kind):
    """Has a worker's subtasks return, or raise, what touches a file when unpickled."""
    from fcdcc_keras.worker.weights import Weights

    class Trap:
        def __reduce__(self):
            return open, (path, "w")

    class TrapError(Trap, Exception):
        pass

    class TrapExit(Trap, SystemExit):
        def __str__(self):
            raise self

    class TrapArray(Trap, np.ndarray):
        pass

    def evil(share, coded, program):
        if kind == "raised":
            raise TrapError("boom")
        if kind == "exit":
            raise TrapExit
        if kind == "array":
            return Trap()
        if kind == "subclass":  # of no consequence: only its bytes are sent
            return np.zeros(3).view(TrapArray)
        return np.array([Trap()], dtype=object)

    Weights.kept, Weights.run = Weights.run, evil


def _lift():
    from fcdcc_keras.worker.weights import Weights

    Weights.run = Weights.kept


_TRAPS = {
    "array": "returned a Trap, not an array",
    "objects": "returned objects, not numbers",
    "subclass": "result of shape",
    "raised": "TrapError: boom",
    "exit": "TrapExit",
}


@pytest.mark.parametrize(
    ("transport", "direct"), [("tasks", True), ("tasks", False), ("direct", True)]
)
def test_a_worker_returns_or_raises_what_runs_code_when_unpickled(
    client, tmp_path, transport, direct
):
    plain, path = model(), tmp_path / "touched"
    options = {"transport": transport, "fallback": "raise"}
    address = client.scheduler.address
    with (
        Client(address, direct_to_workers=direct, set_as_default=False) as own,
        fk.closing(fk.distribute(plain, own, **options)) as coded,
    ):
        bad = coded.layers[1].session.executor.addresses[1]
        for kind, fate in _TRAPS.items():
            client.run(_plant, str(path), kind, workers=[bad])
            try:
                fates, deadline = set(), time.monotonic() + 60
                # It may be late, when a layer has all it needs.
                while not any(fate in detail for detail in fates):
                    assert time.monotonic() < deadline, (kind, fates)
                    records = check(plain, coded, 2).records
                    assert all(1 not in record.survivors for record in records)
                    fates |= {record.subtasks[1].detail for record in records}
            finally:
                client.run(_lift, workers=[bad])
            assert not path.exists(), kind
        # It is used again as soon as it answers.
        until_used(plain, coded, worker=1)
    assert bad in client.nthreads()


def until_used(plain, coded, worker):
    deadline = time.monotonic() + 60
    while True:
        trace = check(plain, coded, 1)
        if any(worker in record.survivors for record in trace.records):
            return
        assert time.monotonic() < deadline, f"worker {worker} is not used again"


def test_what_a_worker_says_when_a_model_is_distributed_is_not_unpickled(
    client, tmp_path
):
    path = str(tmp_path / "touched")
    bad = min(client.nthreads())
    client.run(_plant, path, "raised", workers=[bad])
    try:
        with pytest.raises(fk.ClusterError, match=rf"Received: {bad}: TrapError: boom"):
            fk.distribute(model(), client)
    finally:
        client.run(_lift, workers=[bad])
    assert not os.path.exists(path)


@pytest.mark.parametrize("transport", ["tasks", "direct"])
def test_hedged_sends_to_as_many_as_needed(client, transport):
    plain = model()
    coded = fk.distribute(
        plain,
        client,
        stragglers=2,
        redundancy="hedged",
        transport=transport,
        fallback="raise",
    )
    check(plain, coded, 3)  # learns how long they take
    trace = check(plain, coded, 10)
    fk.close(coded)
    sent = [
        sum(task.outcome != "skipped" for task in record.subtasks)
        for record in trace.records
    ]
    needed = coded.layers[1].coded.plan.code.recovery_threshold
    assert needed == 2
    assert min(sent) == needed
    # A busy machine may make somebody late now and then, not most of the time.
    assert sent.count(needed) > len(sent) / 2


def test_layers_that_a_plan_has_hedged_are():
    plain, executor = model(), fk.LocalExecutor(6)
    code = fk.codes.get("systematic")(4, 1, 6)
    made = fk.plan(plain, workers=6, stragglers=2, code=code)
    first, *others = made.layers
    made = replace(made, layers=(replace(first, hedged=True), *others))
    made = fk.Plan.from_json(made.to_json())
    coded = fk.distribute(plain, executor, plan=made, stragglers=2, fallback="raise")
    trace = check(plain, coded, 1)
    fk.close(coded)
    sent = {
        record.layer: sum(task.outcome != "skipped" for task in record.subtasks)
        for record in trace.records
    }
    assert sent.pop(first.path) == first.code.recovery_threshold
    assert set(sent.values()) == {6}


def test_hedged_needs_nothing_encoded_or_decoded_with_a_systematic_code():
    plain, executor = model(), fk.LocalExecutor(6)
    code = fk.codes.get("systematic")(4, 1, 6)
    options = {"stragglers": 2, "code": code, "redundancy": "hedged"}
    coded = fk.distribute(plain, executor, fallback="raise", **options)
    trace = check(plain, coded, 2)
    assert {record.survivors for record in trace.records} == {(0, 1, 2, 3)}
    executor.faults = {1: LocalFault(delay=1.0), 3: LOST}
    trace = check(plain, coded, 2)
    assert {record.survivors for record in trace.records} == {(0, 2, 4, 5)}
    executor.faults = {1: LocalFault(error="out of memory")}
    check(plain, coded, 2)
    fk.close(coded)
