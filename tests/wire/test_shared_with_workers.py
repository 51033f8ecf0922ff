"""Memory in common with workers: whose it is, and that it goes again."""

import asyncio
import gc
import os
import sys
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import convolution_text
from fcdcc_keras.wire import direct, shared_memory
from fcdcc_keras.wire.direct import DirectTransport
from fcdcc_keras.wire.transport import Subtask
from fcdcc_keras.worker import attachments, handler
from fcdcc_keras.worker.attachments import _KEPT, Attachments, attach
from fcdcc_keras.worker.weights import Weights
from tests.wire.memfd import files, forget, held

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="needs Linux's anonymous files"
)


@pytest.fixture(autouse=True)
def _of_this_test():
    forget()


class Worker:
    """A worker's desk in this process, asked without a connection."""

    id = "Worker-0"

    def __init__(self, kernel):
        self.data = {"share": Weights(kernel)}
        self.handlers, self.executors = {}, {"default": None}
        self.connection_args = {}
        handler.install(self)
        self.answers = asyncio.Queue()
        self.mapped = []

    async def ask(self, op, **message):
        await self.handlers[op](self, number=0, **message)
        return await self.answers.get()

    async def write(self, answer):
        self.answers.put_nowait(answer)


@pytest.fixture
def worker(monkeypatch):
    """A worker that shares memory, and a transport that reaches it."""

    async def shares(self, subtask):
        return True

    monkeypatch.setattr(DirectTransport, "_shares", shares)
    worker = Worker(np.ones((1, 1, 1, 1), np.float32))
    client = SimpleNamespace(
        security=SimpleNamespace(get_connection_args=lambda role: {})
    )
    transport = DirectTransport(client)
    transport._connection = lambda address: worker
    worker.transport = transport
    yield worker
    transport._memory.close()


ONES = np.ones((1, 128, 128, 1), np.float32)


def request(worker, address="tcp://a:1"):
    share = SimpleNamespace(key="share")
    program = convolution_text(ConvGeometry((1, 1), 1, 1, (1, 1)), "float32")
    subtask = Subtask(address, share, ONES, ONES.nbytes, program)
    return worker.transport.start("layer", [subtask])[0]


@pytest.fixture
def written(worker):
    """The segments that the client had workers write to, one after another."""
    memory, segments = worker.transport._memory, []
    take = memory.take

    def noted(nbytes, writer=None):
        segment = take(nbytes, writer)
        if writer is not None:
            segments.append(segment)
        return segment

    memory.take = noted
    return segments


def test_each_worker_has_memory_of_its_own_for_its_results(worker, written):
    async def run():
        for address in ("a", "b", "a", "b"):
            result = await request(worker, address)
            np.testing.assert_array_equal(result.array, ONES)
            del result

    asyncio.run(run())
    first, second, *again = written
    assert first is not second
    assert again == [first, second]


@pytest.mark.parametrize("how", ["broken", "cancelled", "nonsense"])
def test_memory_that_a_worker_may_yet_write_to_is_not_used_again(worker, written, how):
    memory = worker.transport._memory

    async def fail(op, **message):
        if how == "broken":
            raise OSError("the connection broke")
        if how == "nonsense":
            return {"about": "{}", "data": None}
        await asyncio.Event().wait()

    worker.ask = fail

    async def run():
        task = request(worker)
        if how == "cancelled":
            await asyncio.sleep(0)
            while not written:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            assert (await task).array is None

    asyncio.run(run())
    (segment,) = written
    assert memory.take(segment.size, segment.writer) is not segment
    with pytest.raises(OSError, match=r"another file|No such file"):
        attach(segment.name, segment.size, write=True)


def test_inputs_in_memory_in_common_are_not_copied_by_the_worker(worker, monkeypatch):
    def convolve(share, coded, program):
        seen.append((coded.flags.writeable, coded.ctypes.data))
        return coded.copy()

    seen, mapped = [], []
    monkeypatch.setattr(Weights, "run", convolve)
    get = Attachments.get

    def noted(self, name, size, now, *, write):
        memory = get(self, name, size, now, write=write)
        if not write:
            mapped.append(np.frombuffer(memory, "u1").ctypes.data)
        return memory

    monkeypatch.setattr(Attachments, "get", noted)
    asyncio.run(_both(worker))
    ((_, address),) = seen
    assert address == mapped[0]
    assert seen[0][0]  # or TensorFlow would copy it


async def _both(worker):
    np.testing.assert_array_equal((await request(worker)).array, ONES)


def test_client_and_worker_let_go_of_memory_that_no_layer_uses(worker, monkeypatch):
    """Without anybody asking for it: the model may not be called again."""
    for module in (handler, direct, attachments, shared_memory):
        monkeypatch.setattr(module, "UNUSED_FOR", 0.05)
    gc.collect()  # what other tests have left

    def mapped():
        with open("/proc/self/maps") as maps:
            return sum("memfd:fcdcc" in line for line in maps)

    async def run():
        await _both(worker)
        assert held() > 0
        deadline = time.monotonic() + 30
        while held() or mapped():
            assert time.monotonic() < deadline, (held(), mapped())
            await asyncio.sleep(0.01)

    asyncio.run(run())


def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64, 64, 8))
    x = keras.layers.Conv2D(16, 3, padding="same")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(8, 3)(x))


@pytest.mark.skipif(sys.platform != "linux", reason="workers open it in /proc")
def test_large_layers_share_memory_and_leave_none(client):
    plain = model()
    coded = fk.distribute(plain, client, fallback="raise")
    transport = coded.layers[1].session.executor.transport
    for seed in range(12):
        x = np.random.default_rng(seed).normal(size=(4, 64, 64, 8)).astype("float32")
        np.testing.assert_allclose(coded(x), plain(x), atol=1e-4)
    assert set(transport._shares_memory.values()) == {True}
    # Of twelve passes, each of two layers with an input and four results, the last
    # and what came late; in the first, each worker had an input of its own. A map has
    # a file of its own too.
    assert 0 < files() <= 2 * (4 + 3 * 2 * (1 + 4))

    def mapped():
        def count():
            return sum("memfd:fcdcc" in line for line in open("/proc/self/maps"))

        return sum(client.run(count).values())

    assert 0 < mapped() <= 4 * _KEPT
    fk.close(coded)
    del coded, transport
    deadline = time.monotonic() + 60
    while (files() or mapped()) and time.monotonic() < deadline:
        gc.collect()
    assert (files(), mapped()) == (0, 0)


def test_workers_that_cannot_open_it_are_sent_everything(client, monkeypatch):
    from fcdcc_keras.wire.direct import DirectTransport

    async def elsewhere(self, address):
        return False

    monkeypatch.setattr(DirectTransport, "_can_attach", elsewhere)
    plain = model()
    with fk.closing(fk.distribute(plain, client, fallback="raise")) as coded:
        x = np.random.default_rng(0).normal(size=(4, 64, 64, 8)).astype("float32")
        np.testing.assert_allclose(coded(x), plain(x), atol=1e-4)
        assert files() == 0
