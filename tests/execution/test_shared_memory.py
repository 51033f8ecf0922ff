"""Memory in common with workers of this machine: reused, found, and gone."""

import asyncio
import gc
import os
import sys
import threading
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution import worker_side
from fcdcc_keras.execution.direct import DirectTransport
from fcdcc_keras.execution.operation import Convolution
from fcdcc_keras.execution.shared_memory import (
    _KEPT,
    UNUSED_FOR,
    Attachments,
    SharedMemory,
    attach,
)
from fcdcc_keras.execution.subtask import KernelShare
from fcdcc_keras.execution.transport import Subtask

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="needs Linux's anonymous files"
)


def files():
    """How many files of this kind the process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += "memfd:fcdcc" in os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass
    return count


def test_what_one_writes_the_other_reads():
    memory = SharedMemory()
    segment = memory.take(100, "worker")
    assert segment.size >= 100
    other = attach(segment.name, segment.size, write=True)
    segment.memory[:5] = b"hello"
    assert other[:5] == b"hello"
    other[5:11] = b" world"
    assert segment.memory[:11] == b"hello world"
    memory.give_back(segment)
    memory.close()
    assert other[:5] == b"hello"  # it lives as long as it is mapped
    del segment, other
    assert files() == 0


def test_segments_are_used_again_and_the_smallest_that_fits():
    memory = SharedMemory()
    small, large = memory.take(1000), memory.take(10_000_000)
    assert memory.take(1000) not in (small, large)
    memory.give_back(large)
    memory.give_back(small)
    assert memory.take(1000) is small
    # A large one would never be unused if small ones could be in it.
    assert memory.take(1000) is not large
    assert memory.take(5_000_000) is large
    memory.close()


def test_a_segment_that_one_worker_may_write_to_is_never_anothers():
    memory = SharedMemory()
    a = memory.take(1000, "a")
    memory.give_back(a)
    assert memory.take(1000, "b") is not a
    assert memory.take(1000) is not a
    assert memory.take(1000, "a") is a
    memory.close()


def test_inputs_cannot_be_written_to_by_workers():
    memory = SharedMemory()
    array = memory.lend(1000)
    array[:5] = list(b"hello")
    name, size, _ = memory.find(array)
    seen = attach(name, size, write=False)
    assert seen[:5] == b"hello"
    array[:5] = list(b"again")  # mapped once, it shows what comes later
    assert seen[:5] == b"again"
    with pytest.raises(TypeError, match="readonly"):
        seen[:5] = b"wrong"
    with pytest.raises(PermissionError):
        attach(name, size, write=True)
    memory.close()


@pytest.mark.parametrize("writer", [None, "worker"])
def test_no_worker_can_cut_memory_off(writer):
    # Reading what is not there any more would end this process.
    memory = SharedMemory()
    segment = memory.take(1000, writer)
    process, file, *_ = segment.name
    with open(f"/proc/{process}/fd/{file}", "r+b") as opened:
        for size in (0, 1 << 30):
            with pytest.raises(PermissionError):
                os.ftruncate(opened.fileno(), size)
    assert segment.memory[:1] == bytes(1)
    memory.close()


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def held():
    """Bytes of all files of this kind that the process has open or mapped."""
    sizes = {}  # a map has a descriptor of its own
    for name in os.listdir("/proc/self/fd"):
        try:
            if "memfd:fcdcc" in os.readlink(f"/proc/self/fd/{name}"):
                found = os.stat(f"/proc/self/fd/{name}")
                sizes[found.st_ino] = found.st_size
        except OSError:
            pass
    return sum(sizes.values())


def test_what_is_not_used_for_a_while_is_given_back():
    clock = Clock()
    memory = SharedMemory(clock)
    large, small = memory.lend(1 << 24), memory.lend(1 << 16)
    assert held() == (1 << 24) + (1 << 16)
    del large
    assert memory.shrink()
    clock.now += UNUSED_FOR - 1
    memory.give_back(memory.take(1 << 16, "worker"))
    assert memory.shrink()
    assert held() == (1 << 24) + 2 * (1 << 16)
    clock.now += 2
    assert memory.shrink()
    assert held() == 2 * (1 << 16)  # one is in use, the other was a second ago
    clock.now += UNUSED_FOR
    assert memory.shrink()  # what is in use will have to go, too
    assert held() == 1 << 16
    del small
    memory.shrink()
    clock.now += UNUSED_FOR
    assert not memory.shrink()
    assert held() == 0


def test_of_equal_segments_the_last_used_is_taken_so_that_others_go():
    clock = Clock()
    memory = SharedMemory(clock)
    segments = [memory.take(1000) for _ in range(3)]
    for segment in segments:
        memory.give_back(segment)
        memory.shrink()
        clock.now += 1
    for _ in range(2):
        assert memory.take(1000) is segments[2]
        memory.give_back(segments[2])
    memory.close()


@pytest.mark.parametrize("closed", [False, True])
def test_memory_is_given_back_in_whichever_thread_its_array_is_collected(closed):
    """Which may hold the lock: the garbage collector runs within any statement."""
    memory = SharedMemory()
    arrays = [memory.lend(1000)]
    name, *_ = memory.find(arrays[0])
    if closed:
        memory.close()

    def collect():
        with memory._lock:
            arrays.clear()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert not arrays
    if closed:
        assert files() == 0
    else:
        assert memory.take(1000).name == name
        memory.close()


def test_an_array_gives_its_segment_back_when_it_is_gone():
    memory = SharedMemory()
    segment = memory.take(1 << 20)
    array = memory.array(segment, (10, 20), "<f4")
    assert array.shape == (10, 20)
    part = array[3:, :5]
    del array
    assert memory.take(1 << 20) is not segment
    del part
    gc.collect()
    assert memory.take(1 << 20) is segment
    memory.close()


def test_lent_memory_is_found_by_its_views_while_there_are_any():
    memory = SharedMemory()
    array = memory.lend(100_000)
    name, size, offset = memory.find(array)
    assert (offset, size >= 100_000) == (0, True)
    array[640:645] = list(b"hello")
    part = array.view("f4").reshape(-1, 4)[40:]
    del array
    assert memory.find(part) == (name, size, 640)
    assert attach(name, size, write=False)[640:645] == b"hello"
    assert memory.find(np.zeros(3)) is None
    # Nobody else is given it, and afterwards nothing is found in it.
    other = memory.lend(100_000)
    assert memory.find(other)[0] != name
    del part
    assert memory.find(memory.lend(100_000))[0] == name
    memory.close()


def test_a_worker_keeps_few_segments_mapped_and_not_for_long():
    memory, attached = SharedMemory(), Attachments()
    segments = [memory.take(100) for _ in range(_KEPT + 1)]

    def get(segment, now):
        return attached.get(segment.name, segment.size, now, write=False)

    for now, segment in enumerate(segments):
        mapped = get(segment, now)
        assert get(segment, now) is mapped
    first = get(segments[1], 5.0)
    assert get(segments[1], 100.0) is first
    assert len(attached._mapped) == _KEPT
    assert attached.shrink(UNUSED_FOR) == 2 + UNUSED_FOR
    assert attached.shrink(99.0) == 100 + UNUSED_FOR
    assert len(attached._mapped) == 1
    assert get(segments[1], 100.0) is first
    assert attached.shrink(100.0 + UNUSED_FOR) is None
    assert not attached._mapped
    memory.close()


def test_something_else_in_its_place_is_refused(tmp_path):
    memory = SharedMemory()
    segment = memory.take(100)
    process, file, device, inode = segment.name
    with pytest.raises(OSError, match="another file"):
        attach((process, file, device, inode + 1), segment.size, write=False)
    with pytest.raises(FileNotFoundError):
        attach((process, 10_000, device, inode), segment.size, write=False)
    segment.forget()
    del segment
    assert files() == 0


class Worker:
    """A worker's desk in this process, asked without a connection."""

    id = "Worker-0"

    def __init__(self, kernel):
        self.data = {"share": KernelShare(kernel)}
        self.handlers, self.executors = {}, {"default": None}
        worker_side.install(self)
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
    transport._line = lambda address: worker
    worker.transport = transport
    yield worker
    transport._memory.close()


ONES = np.ones((1, 128, 128, 1), np.float32)


def request(worker, address="tcp://a:1"):
    share = SimpleNamespace(key="share")
    subtask = Subtask(address, share, ONES, ONES.nbytes)
    conv = Convolution((1, 1), (1, 1), ((0, 0), (0, 0)))
    return worker.transport.start("layer", [subtask], conv)[0]


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
            np.testing.assert_array_equal(result["array"], ONES)
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
            assert (await task)["array"] is None

    asyncio.run(run())
    (segment,) = written
    assert memory.take(segment.size, segment.writer) is not segment
    with pytest.raises(OSError, match=r"another file|No such file"):
        attach(segment.name, segment.size, write=True)


def test_inputs_in_memory_in_common_are_not_copied_by_the_worker(worker, monkeypatch):
    def convolve(share, coded, conv):
        seen.append((coded.flags.writeable, coded.ctypes.data))
        return {"array": coded.copy(), "error": None, "started": 1.0, "finished": 2.0}

    seen, mapped = [], []
    monkeypatch.setattr(worker_side, "run_subtask", convolve)
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
    np.testing.assert_array_equal((await request(worker))["array"], ONES)


def test_client_and_worker_let_go_of_memory_that_no_layer_uses(worker, monkeypatch):
    """Without anybody asking for it: the model may not be called again."""
    for module in (worker_side, sys.modules[DirectTransport.__module__]):
        monkeypatch.setattr(module, "UNUSED_FOR", 0.05)
    for module in (sys.modules[SharedMemory.__module__],):
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
    from fcdcc_keras.execution.direct import DirectTransport

    async def elsewhere(self, address):
        return False

    monkeypatch.setattr(DirectTransport, "_can_attach", elsewhere)
    plain = model()
    with fk.closing(fk.distribute(plain, client, fallback="raise")) as coded:
        x = np.random.default_rng(0).normal(size=(4, 64, 64, 8)).astype("float32")
        np.testing.assert_allclose(coded(x), plain(x), atol=1e-4)
        assert files() == 0
