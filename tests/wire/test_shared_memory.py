"""Memory in common with workers of this machine: reused, found, and gone."""

import gc
import os
import threading

import numpy as np
import pytest

from fcdcc_keras.wire.shared_memory import SharedMemory
from fcdcc_keras.worker.attachments import _KEPT, UNUSED_FOR, Attachments, attach
from tests.wire.memfd import files, forget, held

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="needs Linux's anonymous files"
)


@pytest.fixture(autouse=True)
def _of_this_test():
    forget()


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
