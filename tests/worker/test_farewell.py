"""How a worker leaves, on workers of which there is but what is needed."""

import asyncio
import os
import signal
import threading
from types import SimpleNamespace

import pytest

from fcdcc_keras.worker import farewell
from fcdcc_keras.worker.farewell import (
    LEAVING,
    NEWS,
    Farewell,
    close_at_sigterm,
    wait_for_farewell,
)
from fcdcc_keras.worker.process import IN_GRACE


class Leaver:
    """A worker or nanny, as Dask has it, that notes how it is closed."""

    id = "Worker-7"

    def __init__(self):
        self.closed, self.said = [], []
        self.status = SimpleNamespace(name="running")
        self.state = SimpleNamespace(tasks={})
        self.handlers = {"terminate": self.close}
        self.stream_handlers = {"close": self.close}
        self.requests = 0

    async def close(self, **how):
        self.closed.append(how)

    def log_event(self, topic, message):
        self.said.append((topic, message))


@pytest.fixture
def worker(monkeypatch):
    monkeypatch.setattr(farewell, "_QUIET", 0.0)
    worker = Leaver()
    Farewell(worker, lambda: worker.requests)
    return worker


async def turns(many=5):
    for _ in range(many):
        await asyncio.sleep(farewell._LOOK_EVERY)


@pytest.mark.parametrize("how", ["close", "terminate", "stream"])
def test_it_says_so_and_ends_what_it_has_begun(worker, how):
    async def leave():
        ways = {
            "close": worker.close,
            "terminate": worker.handlers["terminate"],
            "stream": worker.stream_handlers["close"],
        }
        worker.requests = 1
        closing = asyncio.ensure_future(ways[how](reason="nanny-close", timeout=9e9))
        await turns()
        assert worker.said == [(NEWS, {LEAVING: "Worker-7"})]
        assert not worker.closed
        worker.requests, worker.state.tasks = 0, {"fcdcc:conv:layer-1": None}
        await turns()
        assert not worker.closed  # nobody has fetched that yet
        worker.state.tasks = {"fcdcc:kernel:layer-1": None, "another's": None}
        await closing
        assert worker.closed == [{"reason": "nanny-close", "timeout": 9e9}]

    asyncio.run(leave())


def test_it_does_not_wait_for_longer_than_its_grace(worker, monkeypatch):
    monkeypatch.setenv(IN_GRACE, "0.1")
    worker.requests = 1
    asyncio.run(worker.close(reason="signal-15", timeout=60))
    (how,) = worker.closed
    assert how["timeout"] < 60  # the process is to end


def test_it_ends_what_it_has_begun_also_when_its_scheduler_is_gone(worker):
    async def leave():
        worker.requests = 1
        worker.state.tasks = {"fcdcc:conv:layer-1": None}  # that nobody will fetch
        work = worker.close(reason="worker-handle-scheduler-connection-broken")
        closing = asyncio.ensure_future(work)
        await turns()
        assert not worker.closed
        worker.requests = 0
        await closing
        assert worker.said == []

    asyncio.run(leave())


def test_it_says_farewell_once_however_often_it_is_closed(worker):
    async def leave():
        await asyncio.gather(worker.close(), worker.close(reason="again"))

    asyncio.run(leave())
    assert len(worker.said) == 1
    assert len(worker.closed) == 2  # which of them is too late Dask knows


def test_sigterm_closes_it_and_a_second_one_ends_the_process():
    worker = Leaver()

    async def told():
        close_at_sigterm(worker)
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGTERM)
        await turns()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    before = signal.getsignal(signal.SIGTERM)
    try:
        asyncio.run(told())
    finally:
        signal.signal(signal.SIGTERM, before)
    # Its nanny decides whether another is to come.
    assert worker.closed == [{"nanny": False, "reason": "signal-sigterm"}]


def test_in_another_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)

    async def told():
        close_at_sigterm(Leaver())

    thread = threading.Thread(target=lambda: asyncio.run(told()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_nanny_waits_for_its_workers_farewell(monkeypatch):
    monkeypatch.setenv(IN_GRACE, "20")
    nanny = Leaver()
    nanny.handlers["close_gracefully"] = lambda: None
    wait_for_farewell(nanny)
    asyncio.run(nanny.close(timeout=10, reason="signal-15"))
    asyncio.run(nanny.close(timeout=99, reason="signal-15"))
    # Dask gives the worker four fifths of that; half of it is for the farewell.
    assert [how["timeout"] * 0.4 >= 20 for how in nanny.closed] == [True, True]
    assert nanny.closed[1]["timeout"] == 99
