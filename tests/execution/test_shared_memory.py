"""Memory in common with workers of this machine: reused, found, and gone."""

import gc
import os
import sys
import time

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.shared_memory import (
    _KEPT,
    Attachments,
    SharedMemory,
    attach,
)

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
    segment = memory.take(100)
    assert segment.size >= 100
    other = attach(segment.name, segment.size)
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
    assert memory.take(1000) is large
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
    assert attach(name, size)[640:645] == b"hello"
    assert memory.find(np.zeros(3)) is None
    # Nobody else is given it, and afterwards nothing is found in it.
    other = memory.lend(100_000)
    assert memory.find(other)[0] != name
    del part
    assert memory.find(memory.lend(100_000))[0] == name
    memory.close()


def test_a_worker_keeps_few_segments_mapped():
    memory, attached = SharedMemory(), Attachments()
    segments = [memory.take(100) for _ in range(_KEPT + 1)]
    for segment in segments:
        mapped = attached.get(segment.name, segment.size)
        assert attached.get(segment.name, segment.size) is mapped
    first = attached.get(segments[1].name, segments[1].size)
    assert attached.get(segments[1].name, segments[1].size) is first
    assert len(attached._mapped) == _KEPT
    memory.close()


def test_something_else_in_its_place_is_refused(tmp_path):
    memory = SharedMemory()
    segment = memory.take(100)
    process, file, device, inode = segment.name
    with pytest.raises(OSError, match="another file"):
        attach((process, file, device, inode + 1), segment.size)
    with pytest.raises(FileNotFoundError):
        attach((process, 10_000, device, inode), segment.size)
    segment.forget()
    del segment
    assert files() == 0


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
