"""The two ways to the workers: which is taken, and what they let through."""

import keras
import numpy as np
import pytest
from distributed import Client

import fcdcc_keras as fk
from fcdcc_keras.execution import connect
from fcdcc_keras.execution.local import LOST, Fault


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

    monkeypatch.setattr(connect.DirectTransport, "ping", unreachable)
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


def _plant(path):
    """Has a worker's subtasks return, in place of an array, what touches a file."""
    from fcdcc_keras.execution import worker_side

    class Trap:
        def __reduce__(self):
            return open, (path, "w")

    def evil(share, coded, conv):
        return {"array": Trap(), "error": None, "started": 0.0, "finished": 0.0}

    worker_side.kept, worker_side.run_subtask = worker_side.run_subtask, evil


def _lift():
    from fcdcc_keras.execution import worker_side

    worker_side.run_subtask = worker_side.kept


def test_what_a_worker_returns_is_not_unpickled(client, tmp_path):
    plain, path = model(), tmp_path / "touched"
    with fk.closing(fk.distribute(plain, client, fallback="raise")) as coded:
        bad = coded.layers[1].session.executor.addresses[1]
        client.run(_plant, str(path), workers=[bad])
        try:
            trace = check(plain, coded, 3)
        finally:
            client.run(_lift, workers=[bad])
    assert not path.exists()
    assert all(1 not in record.survivors for record in trace.records)
    fates = {record.subtasks[1].detail for record in trace.records}
    assert any("returned a Trap, not an array" in fate for fate in fates)


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


def test_hedged_needs_nothing_encoded_or_decoded_with_a_systematic_code():
    plain, executor = model(), fk.LocalExecutor(6)
    code = fk.codes.get("systematic")(4, 1, 6)
    options = {"stragglers": 2, "code": code, "redundancy": "hedged"}
    coded = fk.distribute(plain, executor, fallback="raise", **options)
    trace = check(plain, coded, 2)
    assert {record.survivors for record in trace.records} == {(0, 1, 2, 3)}
    executor.faults = {1: Fault(delay=1.0), 3: LOST}
    trace = check(plain, coded, 2)
    assert {record.survivors for record in trace.records} == {(0, 2, 4, 5)}
    executor.faults = {1: Fault(error="out of memory")}
    check(plain, coded, 2)
    fk.close(coded)
