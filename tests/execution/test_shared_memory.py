"""Memory in common with workers of this machine: reused, found, and gone."""

import gc
import os
import sys
import time

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.shared_memory import SharedMemory, attach

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
    array = memory.array(segment, 4096, (10, 20), "<f4")
    assert array.shape == (10, 20)
    part = array[3:, :5]
    del array
    assert memory.take(1 << 20) is not segment
    del part
    gc.collect()
    assert memory.take(1 << 20) is segment
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
    for seed in range(4):
        x = np.random.default_rng(seed).normal(size=(4, 64, 64, 8)).astype("float32")
        np.testing.assert_allclose(coded(x), plain(x), atol=1e-4)
    assert set(transport._shares_memory.values()) == {True}
    # Inputs and results of four workers, late ones too; each map has a file of its own.
    assert 0 < files() <= 2 * (2 * 2 * 4)
    mapped = client.run(
        lambda: sum("memfd:fcdcc" in line for line in open("/proc/self/maps"))
    )
    assert set(mapped.values()) == {0}
    fk.close(coded)
    del coded, transport
    deadline = time.monotonic() + 10
    while files() and time.monotonic() < deadline:
        gc.collect()
    assert files() == 0


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
