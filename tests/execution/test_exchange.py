"""Workers that exchange halos: right answers, whatever becomes of one of them."""

import os
import signal
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from fcdcc_keras.dispatch import choice, health
from fcdcc_keras.execution.calibration.exchanging import exchanging
from fcdcc_keras.execution.executors.connect import connect
from fcdcc_keras.execution.executors.shares import key_of
from fcdcc_keras.execution.forward import stretch
from fcdcc_keras.execution.forward.coded_convolution import CLOSED
from fcdcc_keras.execution.forward.stretch import DistributedStretch
from fcdcc_keras.execution.records import Notes, Policy
from fcdcc_keras.partition.stretch import Stretch, crossings
from fcdcc_keras.planning.chains.operation_cost import EngineRates
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.planning.chains.tile_time import Rates
from fcdcc_keras.wire.transport import Exchanged, Subtask
from fcdcc_keras.worker.engines.numpy import NumPyEngine
from tests.partition.networks import NETWORKS
from tests.waiting import until

WORTH_IT = Rates(EngineRates(1e4), exchange=1e-9)
"""Of workers so slow that each is to have a tile."""


@pytest.fixture(scope="module")
def executor(client):
    made, cleanup = connect(client, None, 1, "direct")
    yield made
    cleanup()


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Has workers be tried again soon that were slow, or failed."""
    monkeypatch.setattr(choice, "TRY_AGAIN", 0.2)
    monkeypatch.setattr(health, "FAILING_FOR", 0.2)


class Made:
    """A small network on workers that exchange halos, and what was told of it."""

    def __init__(self, executor, name="plain", images=None, **policy):
        drawn = NETWORKS[name]()
        program, self.values = drawn.program, drawn.weights
        (x,) = drawn.inputs
        self.x = x[:images]
        ends = tuple((f"value{number}", number) for number in crossings(program))
        at = x.shape[1:-1]
        chains = tuple(
            ChainPlan(to, "workers", exchange=to != ends[-1][0]) for to, _ in ends
        )
        self.drawn, self.executor, self.records = drawn, executor, []
        notes = Notes()
        notes.listeners.append(self.records.append)
        self.stretch = DistributedStretch(
            StretchPlan("", "input", at, chains),
            lambda size: Stretch("", "input", program, size, ends),
            list,
            executor,
            Policy(fallback=policy.pop("fallback", "raise"), **policy),
            notes,
            1,
            WORTH_IT,
        )
        self.stretch.place(self.values, wait=True)
        self.chains = len(chains)

    def check(self, seed=0):
        """Has it compute, holds that against all in one, and returns the record."""
        x = np.random.default_rng(seed).normal(size=self.x.shape)
        self.drawn.weights = self.values
        whole = self.drawn.run(self.drawn.program, [x])
        outputs = self.stretch(x, self.values)
        limit = 1e-12 * np.abs(whole).max()
        np.testing.assert_allclose(outputs, whole, rtol=0, atol=limit)
        return self.records[-1]

    def exchanged(self, workers):
        """Has it compute, and returns the record if so many exchanged halos."""
        record = self.check()
        assert record.local is None
        used = [task for task in record.subtasks if task.outcome == "used"]
        return record if len(used) == workers else None

    def exchanges(self, workers=4):
        """Waits until so many exchange halos, and returns the record."""
        deadline = time.monotonic() + 60
        while not (record := self.exchanged(workers)):
            assert time.monotonic() < deadline, "they do not exchange"
        return record


@pytest.fixture
def made(executor):
    stretches = []

    def make(*args, **options):
        one = Made(executor, *args, **options)
        stretches.append(one.stretch)
        return one

    yield make
    for each in stretches:
        each.detach()
    until(lambda: all(not h.owes for h in executor.crew.health.values()))


def alter(what):
    """Runs on a worker: has something happen whenever it computes a tile."""
    from fcdcc_keras.worker.weights import Weights

    Weights.honest = honest = getattr(Weights, "honest", Weights.run)
    Weights.run = honest if what is None else what(honest)


@pytest.fixture
def altered(client):
    """Has something happen when workers compute, until the end of the test."""
    workers = []

    def begin(address, what):
        workers.append(address)
        client.run(alter, what, workers=[address])

    yield begin
    client.run(alter, None, workers=workers)


def raising(honest):
    def run(*args):
        raise ValueError("not today")

    return run


def slow(honest):
    def run(*args):
        time.sleep(0.1)
        return honest(*args)

    return run


def stopped_in_the_middle(honest):
    left = [3]

    def run(*args):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGSTOP)
        return honest(*args)

    return run


@pytest.mark.parametrize(
    ("name", "images"),
    [("plain", 1), ("plain", 2), ("residual", 1), ("wavenet", 3), ("volume", 1)],
)
def test_it_is_what_the_whole_program_is(made, name, images):
    one = made(name, images=images)
    record = one.exchanges(4)
    assert record.survivors == (0, 1, 2, 3)
    (x,) = [task for task in record.subtasks if task.worker == 0]
    assert x.piece == 0
    assert record.transport == "direct"
    assert {task.engine for task in record.subtasks} != {""}
    sent = sum(task.bytes_sent for task in record.subtasks)
    assert one.x.nbytes <= sent < 3 * one.x.nbytes  # tiles overlap
    outputs = one.drawn.whole.nbytes // len(one.drawn.whole) * images
    assert sum(task.bytes_received for task in record.subtasks) == outputs
    for task in record.subtasks:
        assert task.sent <= task.received
        assert 0 <= task.waited <= task.finished - task.started + 1e-3


def test_what_a_halo_takes_is_measured(executor):
    assert exchanging(executor, 0.0) > 0


def test_two_threads_at_a_time(made):
    one = made()
    one.exchanges()
    failed = []

    def call():
        try:
            for seed in range(5):
                one.check(seed)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert {record.local for record in one.records} == {None}
    one.exchanges()


def test_weights_that_change(made):
    one = made()
    one.exchanges()
    one.values = [2.0 * value + 0.1 for value in one.values]
    one.check()
    one.exchanges()


@pytest.fixture
def goes_on(client):
    """Has a worker go on that was stopped; after the test at the latest."""
    pids = client.run(os.getpid)
    yield lambda address: os.kill(pids[address], signal.SIGCONT)
    for pid in pids.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def used(record):
    return {task.address for task in record.subtasks if task.outcome == "used"}


def test_a_worker_is_stopped_in_the_middle_of_an_exchange(made, altered, goes_on):
    one = made()
    for _ in range(3):
        one.exchanges()
    address = one.executor.addresses[1]
    altered(address, stopped_in_the_middle)
    record = one.check()
    assert record.local is None
    assert address not in used(record)
    waited = [t for t in record.subtasks if t.outcome == "failed"]
    assert waited
    assert address not in {task.address for task in waited}
    assert all("it waited for what" in task.detail for task in waited)
    one.exchanges(3)
    goes_on(address)
    one.exchanges(4)


def test_a_worker_that_raises(made, altered, client):
    one = made()
    one.exchanges()
    address = one.executor.addresses[1]
    altered(address, raising)
    record = one.check()
    assert address not in used(record)
    assert "not today" in {
        task.detail[-9:] for task in record.subtasks if task.address == address
    }
    one.check()
    client.run(alter, None, workers=[address])
    one.exchanges(4)


def test_a_worker_that_is_slow_has_no_part_until_it_is_well(made, altered, client):
    one = made()
    for _ in range(3):
        one.exchanges()
    address = one.executor.addresses[1]
    altered(address, slow)
    one.check()
    record = one.exchanges(3)
    assert address not in used(record)
    client.run(alter, None, workers=[address])
    one.exchanges(4)


def test_a_worker_that_has_lost_weights_is_given_them(made, client):
    one = made()
    one.exchanges()
    address = one.executor.addresses[1]
    (*_, last) = one.stretch.placements
    (key,) = [f.key for where, f in last.held.values() if where == address]
    client.run(lambda dask_worker: dask_worker.data.pop(key), workers=[address])
    record = one.check()
    assert {task.address for task in record.subtasks if "lost" in task.detail} == {
        address
    }
    one.exchanges(4)


def test_nobody_waits_for_ever_for_one_that_was_never_measured(
    made, altered, goes_on, client
):
    """When it is asked and says nothing, within seconds."""
    one = made(timeout=1e6)
    address = one.executor.addresses[1]
    until(lambda: one.check() and _rehearsed(one) == 4)
    altered(address, stopped_in_the_middle)
    record = one.check()
    assert record.local is None
    goes_on(address)
    one.exchanges(4)


def _rehearsed(one, workers=4):
    """Returns how many have run what is cut for so many workers."""
    (run, *_), size = one.stretch._cutting.runs, one.x.shape[1:-1]
    cuts = one.stretch._cutting.cuts(run, size, one.x.shape)
    team = dict.fromkeys(one.executor.addresses[:workers], 1.0)
    cut = next(cut for cut in cuts.look(team)[1::-1] if cut is not None)
    assert len(cut.homes) == workers
    return len(cut.run(tuple(one.stretch.placements)).rehearsed.done)


def test_before_the_first_call_they_are_ready_even_for_one_to_leave(made):
    one = made(images=1)
    for known in one.executor.crew.health.values():
        known._paces.clear()  # how fast they were in other tests
    one.stretch.rehearse(one.values, 60.0)
    assert _rehearsed(one, 3) == 3
    assert _rehearsed(one) == 4 * 4  # and each what the others have to do
    one.exchanges()


def test_nobody_waits_for_one_that_does_not_get_ready(made, altered, goes_on):
    one = made(images=1)
    for known in one.executor.crew.health.values():
        known._paces.clear()
    address = one.executor.addresses[1]
    altered(address, stopped_in_the_middle)
    one.stretch.rehearse(one.values, 0.1)
    until(lambda: _rehearsed(one) >= 3)
    record = one.check()
    assert record.local is None
    assert address not in used(record)
    goes_on(address)
    one.exchanges(4)


def test_whom_tiles_are_cut_for_is_given_the_weights_that_it_lacks(made):
    """As one that was away when they changed: others have them, and would do it all."""
    one = made(verify="parity")  # nothing is exchanged
    address = one.executor.addresses[1]
    placement = one.stretch.placements[0]
    key = key_of(placement, 1, address)
    one.executor.shares.forget(placement, one.executor.shares.held(key))
    assert one.executor.shares.held(key) is None
    one.check()
    until(lambda: one.executor.shares.held(key) is not None)


@pytest.mark.parametrize("how", ["parity", "cut"])
def test_where_nothing_is_exchanged(made, how, monkeypatch):
    policy = {"verify": "parity"} if how == "parity" else {}
    one = made(**policy)
    if how == "cut":
        transport = type(one.executor.transport)
        monkeypatch.setattr(transport, "exchanges", property(lambda self: False))
    tried = []
    monkeypatch.setattr(one.executor, "run_exchange", tried.append)
    for _ in range(3):
        record = one.check()
        assert record.local is None
        assert len(record.subtasks) >= one.chains
    assert tried == []


def test_a_route_that_is_cut_on_the_way_gives_no_result_of_another_chain(executor):
    after = Exchanged("it", 0, 1.0, b"", ())
    subtask = Subtask("tcp://a", None, np.zeros(1), 8, "", after)
    relayed = executor.transport._relayed("it", subtask)
    with pytest.raises(OSError, match="exchanges nothing"):
        relayed.send(None)


def test_workers_that_cannot_reach_each_other(made, client):
    """As where a firewall lies between them: all goes on without waiting."""

    def cut_off(begin):
        from fcdcc_keras.worker import exchange

        exchange.REACHED_WITHIN = 0.2 if begin else 5.0
        opened = exchange.Connection._open

        async def hangs(self):
            import asyncio

            await asyncio.sleep(60)

        if begin:
            exchange.Connection.opened = opened
            exchange.Connection._open = hangs
        else:
            exchange.Connection._open = exchange.Connection.opened

    client.run(cut_off, True)
    try:
        one = made()
        for _ in range(8):
            one.check()
        tried = [r for r in one.records if any(t.detail for t in r.subtasks)]
        assert 1 <= len(tried) <= 4  # then they are not, mostly
        details = {t.detail for t in tried[-1].subtasks if t.outcome == "failed"}
        assert any("it did not reach" in said for said in details), details
        assert all(h.sound(time.monotonic()) for h in one.executor.crew.health.values())
    finally:
        client.run(cut_off, False)
    one.stretch._reluctance.tried(True)  # or it would take many calls
    one.exchanges(4)


def test_a_worker_is_killed(made, client):
    one = made()
    one.exchanges()
    address = one.executor.addresses[1]
    pid = client.run(os.getpid)[address]
    os.kill(pid, signal.SIGKILL)
    record = one.check()
    assert record.local is None
    assert address not in used(record)
    client.wait_for_workers(4, timeout=60)
    one.exchanges(4)


def test_the_client_is_closed_in_the_middle_of_an_exchange(
    client, altered, goes_on, monkeypatch
):
    # What it computes by otherwise takes seconds to load.
    monkeypatch.setattr(stretch, "client_engine", lambda program: NumPyEngine())
    executor, cleanup = connect(client, None, 1, "direct")
    try:
        one = Made(executor, fallback="local", timeout=1e6)
        for _ in range(3):
            one.exchanges()
        address = executor.addresses[1]
        altered(address, stopped_in_the_middle)
        begun = executor.on_begin

        def close():
            one.stretch.detach()
            executor.close()

        closing = threading.Thread(target=close)
        executor.on_begin = lambda: closing.is_alive() or closing.start()
        record = one.check()
        closing.join()
        executor.on_begin = begun
        assert record.local == CLOSED
        goes_on(address)
    finally:
        cleanup()
