"""Kernel shares on their way to workers, with a transport that only takes notes."""

import asyncio
import sys
import threading

import numpy as np
import pytest

from fcdcc_keras.execution.executors.shares import Shares


class _Future:
    def __init__(self):
        self.status = "finished"

    def release(self):
        self.status = "released"


class _Transport:
    """Takes shares of those layers that are not in ``broken``."""

    def __init__(self):
        self.placed = []
        self.broken = set()

    async def place(self, name, address, share):
        if name in self.broken:
            raise OSError("the worker is gone")
        self.placed.append((name, address, float(share[0])))
        return _Future()


@pytest.fixture
def transport():
    return _Transport()


@pytest.fixture
def shares(transport):
    def ignore(address, key):
        pass

    return Shares(transport, asyncio.ensure_future, ignore, ignore)


def layers(shares):
    names = ("first", "second", "third")
    return [shares.new(name, lambda slots: np.array([slots]).T) for name in names]


def test_a_worker_takes_a_share_over(shares, transport):
    placements = layers(shares)
    placements[1].held[2] = "new", _Future()
    asyncio.run(shares.fill(2, "new"))
    assert transport.placed == [("first", "new", 2.0), ("third", "new", 2.0)]
    assert all(shares.held((p, 2, "new")) for p in placements)


def test_a_share_that_a_layer_waits_for_is_the_next(shares, transport):
    last = layers(shares)[-1]
    shares.hurry((last, 2, "new"))
    asyncio.run(shares.fill(2, "new"))
    assert [name for name, *_ in transport.placed] == ["third", "first", "second"]
    assert shares._wanted(last) == set()


def test_it_gets_no_more_when_the_slot_has_moved_on(shares, transport):
    layers(shares)
    asyncio.run(shares.fill(2, "new", lambda: not transport.placed))
    assert [name for name, *_ in transport.placed] == ["first"]


def test_it_gets_no_more_when_it_took_one_not(shares, transport):
    layers(shares)
    transport.broken.add("second")
    asyncio.run(shares.fill(2, "new"))
    assert [name for name, *_ in transport.placed] == ["first"]


def test_a_layer_released_meanwhile_is_left_out(shares, transport):
    placements = layers(shares)
    shares.release(placements[0])
    asyncio.run(shares.fill(2, "new"))
    assert [name for name, *_ in transport.placed] == ["second", "third"]
    assert not placements[0].held


def test_a_worker_has_lost_a_share(shares, transport):
    placement, *_ = layers(shares)
    key = placement, 0, "worker"
    asyncio.run(shares.encode_and_start(key, 0))
    lost = shares.held(key)
    shares.forget(placement, lost)
    assert shares.held(key) is None
    assert lost.status == "released"
    asyncio.run(shares.encode_and_start(key, 0))
    again = shares.held(key)
    shares.forget(placement, lost)  # whoever was late to notice
    assert shares.held(key) is again


def test_a_share_is_not_replaced_by_itself(shares, transport):
    placement, *_ = layers(shares)

    async def both():
        key = placement, 0, "worker"
        await asyncio.gather(*[shares.encode_and_start(key, 0) for _ in range(3)])

    # The first may be in use, and is there: another copy would take it away.
    asyncio.run(both())
    assert len(transport.placed) == 1


def test_a_share_that_comes_while_its_layer_is_released_is_freed(shares, transport):
    """In another thread, between any two statements of the loop's."""
    placement, *_ = layers(shares)

    class Held(dict):
        def __setitem__(self, slot, share):
            shares.release(placement)
            super().__setitem__(slot, share)
            came.append(share[1])

    came, placement.held = [], Held()
    asyncio.run(shares.encode_and_start((placement, 0, "worker"), 0))
    assert [future.status for future in came] == ["released"]
    assert not placement.held


def test_a_layer_is_released_while_one_of_its_shares_is_forgotten(shares):
    placement, *_ = layers(shares)

    class Held(dict):
        def __iter__(self):
            slots = list(super().keys())
            for slot in slots:  # the loop is at it when the list has been made
                shares.forget(placement, self[slot][1])
            return iter(slots)

    futures = [_Future(), _Future()]
    placement.held = Held({slot: ("w", f) for slot, f in enumerate(futures)})
    shares.release(placement)
    assert [future.status for future in futures] == ["released"] * 2


def test_layers_are_released_in_one_thread_while_the_loop_waits_for_others(shares):
    over, failed = threading.Event(), []

    def hurry():
        try:
            while not over.is_set():
                placement = shares.new("layer", lambda slots: np.array([slots]).T)
                for slot in range(50):
                    shares.hurry((placement, slot, "worker"))
        except Exception as error:
            failed.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=hurry)
    thread.start()
    try:
        released = 0
        while released < 500 and not failed:
            for placement in list(shares._placements):
                shares.release(placement)
                released += 1
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)
    assert not failed


def test_a_share_that_could_not_be_begun_with_is_not_owed():
    owed = []

    def fail(work):
        work.close()
        raise RuntimeError("the loop is closed")

    def begin(address, key):
        owed.append(key)

    shares = Shares(_Transport(), fail, begin, begin)
    key = layers(shares)[0], 0, "worker"
    with pytest.raises(RuntimeError, match="closed"):
        shares.start(key, np.zeros(1))
    assert (owed, shares._placing) == ([], {})
