"""A layer under way on workers that only exist on paper."""

import asyncio
import time

import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.coding import verify
from fcdcc_keras.coding.job import Job
from fcdcc_keras.dispatch import round as rules
from fcdcc_keras.dispatch.collector import Verdict
from fcdcc_keras.dispatch.crew import DISTRUSTED
from fcdcc_keras.execution.executors import call, dask
from fcdcc_keras.execution.executors.dask import DaskExecutor
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.worker.reply import Reply

WORKERS = "abcd"
RESULT = np.zeros((2, 1, 1, 2), np.float32)


class _Client:
    """Runs what is to run on its loop, and nothing else."""

    status = "running"

    def sync(self, function, *args):
        return asyncio.run(function(*args))


class _ClosedMeanwhile(_Client):
    """Is closed when something is to run on its loop, or runs there."""

    def __init__(self, before):
        self.before = before

    def sync(self, function, *args):
        self.status = "closing"
        if self.before:
            raise RuntimeError("IOLoop is closed")
        return asyncio.run(self._cancelled(function, *args))

    async def _cancelled(self, function, *args):
        task = asyncio.ensure_future(function(*args))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        raise NameError("result")  # Dask's own `sync` does, for want of one


class _Future:
    status = "finished"

    def release(self):
        self.status = "released"


class _Transport:
    """Workers answer at once, but those that are silent."""

    name = "paper"

    def __init__(self, silent=(), results=None):
        self.silent = silent
        self.results = results or {}

    def memory(self, nbytes):
        return None

    async def ping(self, address):
        return ""

    async def close(self):
        pass

    def start(self, name, subtasks):
        return [asyncio.ensure_future(self.answer(s.address)) for s in subtasks]

    async def answer(self, address):
        if address in self.silent:
            await asyncio.Event().wait()
        now, result = time.time(), self.results.get(address, RESULT)
        return Reply(result, None, now, now, shared=True)


@pytest.fixture(autouse=True)
def _loops_of_clients_on_paper(monkeypatch):
    monkeypatch.setattr(dask, "run_on_loop", lambda client, *work: client.sync(*work))


def encode_zeros(slots, allocate=None):
    return np.zeros((len(slots), 2, 1, 1, 1), np.float32)


def run(executor, encode=encode_zeros, **options):
    placement = executor.shares.new("layer", lambda slots: np.zeros((len(slots), 1)))
    for slot, address in enumerate(WORKERS):
        placement.held[slot] = address, _Future()
    job = Job(
        name="layer",
        code=fk.codes.get("crme")(1, 6, 4),  # any 3 of 4
        placement=placement,
        encode=encode,
        geometry=ConvGeometry((1, 1), 1, 1, (1, 1)),
        result_shape=RESULT.shape,
        dtype=RESULT.dtype,
        **{"timeout": 5.0, **options},
    )
    collector, results = executor.run(job)
    assert len(results) == len(collector.survivors)
    collector.results = results
    return collector


@pytest.fixture
def nobody_looks(monkeypatch):
    """Only what happens can bring a layer on, within its timeout."""
    monkeypatch.setattr(rules, "LOOK_EVERY", 1000.0)


@pytest.mark.usefixtures("nobody_looks")
def test_a_worker_that_is_free_again_as_a_layer_begins_is_used():
    executor = DaskExecutor(_Client(), WORKERS, _Transport(silent="a"))
    busy, item = executor.crew.health["d"], object()
    busy.begin(item, time.monotonic(), None)
    busy.overtake(item)
    encoded = []

    def encode(slots, allocate=None):
        encoded.extend(slots)
        busy.end(item, time.monotonic())  # nobody is told: the layer is not under way
        return np.zeros((len(slots), 2, 1, 1, 1), np.float32)

    collector = run(executor, encode)
    assert encoded == [0, 1, 2, 3]  # the last one when the layer began
    assert collector.complete
    assert collector.survivors == (1, 2, 3)


@pytest.mark.usefixtures("nobody_looks")
def test_a_late_answer_of_a_worker_that_lied_meanwhile_is_not_used():
    class Liar(_Transport):
        async def answer(self, address):
            if address == "a":
                # By what another layer found.
                executor.crew.distrust("a", time.monotonic())
                lied.set()
            else:
                await lied.wait()
                for _ in range(20):  # the liar's is dealt with first
                    await asyncio.sleep(0)
            return await super().answer(address)

    lied = asyncio.Event()
    executor = DaskExecutor(_Client(), WORKERS, Liar())
    collector = run(executor)
    assert collector.complete
    assert collector.survivors == (1, 2, 3)
    assert collector.records[0].outcome == "failed"
    assert collector.records[0].detail == DISTRUSTED


@pytest.mark.usefixtures("nobody_looks")
def test_a_layer_that_is_hopeless_once_its_inputs_are_encoded_ends():
    """What it was about to send is sent, or its workers would owe it for ever."""
    sent = []

    class Noted(_Transport):
        async def answer(self, address):
            sent.append(address)
            return await super().answer(address)

    executor = DaskExecutor(_Client(), WORKERS, Noted())

    def encode(slots, allocate=None):
        for address in "ab":
            executor.crew.health[address].leave()
        for address in "cd":  # nobody's part is given to them
            executor.crew.health[address].fail(time.monotonic())
        return encode_zeros(slots)

    collector = run(executor, encode, timeout=1000.0)
    assert not collector.complete
    assert collector.hopeless
    assert sent == ["c", "d"]


class _Broken(Exception):
    pass


def _raise(*args):
    raise _Broken


def _unchecked(monkeypatch):
    monkeypatch.setattr(Job, "check", _raise)
    return {}


def _not_bounded(monkeypatch):
    return {"bounded": _raise}


def _not_judged(monkeypatch):
    monkeypatch.setattr(verify, "agree", _raise)
    return {"verify": "parity"}


def _not_encoded(monkeypatch):
    def encode(slots, allocate=None):
        if len(slots) == 1:  # the share of one that is offered the layer later
            raise _Broken
        return encode_zeros(slots)

    return {"encode": encode}


@pytest.mark.usefixtures("nobody_looks")
@pytest.mark.parametrize("how", [_unchecked, _not_bounded, _not_judged, _not_encoded])
def test_what_is_raised_for_a_layer_comes_out_of_it_and_leaves_nobody_late(
    how, monkeypatch
):
    """In tasks of their own, where nobody would hear of it before time is up."""
    results = {"a": np.full_like(RESULT, np.nan)} if how is _not_bounded else {}
    silent = "" if how is _not_judged else "bcd"
    executor = DaskExecutor(_Client(), WORKERS, _Transport(silent, results))
    options = how(monkeypatch)
    if how is _not_encoded:
        busy = executor.crew.health["d"]
        busy.begin("item", 0.0, None)
        busy.overtake("item")
        encode = options["encode"]

        def then_free(slots, allocate=None):
            coded = encode(slots)
            busy.end("item", time.monotonic())
            return coded

        options["encode"] = then_free
    with pytest.raises(_Broken):
        run(executor, timeout=1000.0, **options)
    if how is not _not_encoded:
        assert executor.crew.health["a"].owes == 0


@pytest.mark.usefixtures("nobody_looks")
@pytest.mark.parametrize("checked", ["finite", "parity"])
def test_once_its_time_is_up_nothing_changes_a_layers_answers(checked):
    """The thread that asked for it reads them, while the loop goes on."""
    executor = DaskExecutor(_Client(), WORKERS, _Transport(silent="cd"))
    collector = run(executor, timeout=0.1, verify=checked)
    assert collector.survivors == (0, 1)
    for slot in (2, 3):
        collector.answered(slot, time.time(), RESULT.nbytes)
    collector.judged(Verdict(frozenset(range(4)), frozenset(range(4))))
    assert collector.survivors == (0, 1)
    assert not collector.complete


@pytest.mark.usefixtures("nobody_looks")
def test_what_is_verified_is_in_memory_that_no_worker_can_write_to():
    """A worker of this machine may keep what it wrote its result to."""
    mapped = {address: RESULT.copy() for address in WORKERS}
    executor = DaskExecutor(_Client(), WORKERS, _Transport(results=mapped))
    collector = run(executor, verify="parity")
    assert collector.complete
    for array in mapped.values():
        array += 1
    for result in collector.results:
        np.testing.assert_array_equal(result, RESULT)


@pytest.mark.parametrize("before", [True, False])
def test_the_client_is_closed_while_a_layer_is_on_its_way_to_the_loop(before):
    executor = DaskExecutor(_ClosedMeanwhile(before), WORKERS, _Transport("abcd"))
    collector = run(executor, timeout=1000.0)
    assert not collector.complete
    assert {record.detail for record in collector.records} == {call.CLOSED}
    placement = executor.place("layer", lambda slots: np.zeros((len(slots), 1)))
    assert not placement.held
    executor.close()


def test_a_layer_notices_within_a_look_that_the_client_was_closed(monkeypatch):
    """Its loop may be another's, and go on."""
    monkeypatch.setattr(rules, "LOOK_EVERY", 0.01)
    client = _Client()

    class Silent(_Transport):
        async def answer(self, address):
            client.status = "closed"
            await asyncio.Event().wait()

    executor = DaskExecutor(client, WORKERS, Silent())
    collector = run(executor, timeout=1000.0)
    assert {record.detail for record in collector.records} == {call.CLOSED}


def test_nothing_is_begun_after_closing():
    executor = DaskExecutor(_Client(), WORKERS, _Transport())
    executor.close()
    collector = run(executor, timeout=1000.0)
    assert {record.detail for record in collector.records} == {call.CLOSED}


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_a_layer_whose_shares_could_not_be_encoded_is_forgotten(error):
    """Or workers that take over a slot would be given its shares for ever."""

    def encode(slots):
        raise error

    executor = DaskExecutor(_Client(), WORKERS, _Transport())
    with pytest.raises(error):
        executor.place("layer", encode)
    assert not executor.shares._placements
