"""How a worker leaves, on workers of which there is but what is needed."""

import asyncio
import os
import signal
import threading
from types import SimpleNamespace

import pytest
from distributed import Client, LocalCluster, Worker

from fcdcc_keras.worker import farewell
from fcdcc_keras.worker.farewell import (
    LEAVING,
    LIFETIME,
    NEWS,
    Farewell,
    close_at_sigterm,
    close_in_time,
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


@pytest.mark.parametrize(
    ("keys", "restart", "closed"),
    [
        (["fcdcc:kernel:layer-1"], False, [{"nanny": True, "timeout": 0.1}]),
        ([], True, [{"nanny": False, "timeout": 0.1}]),
        (["fcdcc:kernel:layer-1", "another's"], False, []),  # Dask moves that
    ],
)
def test_a_worker_leaves_before_its_time_is_over(monkeypatch, keys, restart, closed):
    monkeypatch.setenv(IN_GRACE, "0.1")
    worker = Leaver()
    worker.lifetime, worker.lifetime_restart = 0.3, restart
    worker.state.tasks = dict.fromkeys(keys)

    async def live():
        close_in_time(worker)
        await asyncio.sleep(worker.lifetime)

    asyncio.run(live())
    assert worker.closed == [{**how, "reason": LIFETIME} for how in closed]


def test_kernels_are_not_copied_when_a_workers_time_is_over():
    options = {"nthreads": 1, "dashboard": False, "host": "127.0.0.1"}
    with (
        LocalCluster(
            n_workers=0,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):

        async def end(key, how):
            first, other = [
                await Worker(cluster.scheduler_address, **options) for _ in range(2)
            ]
            held = await client.scatter({key: b"kernel"}, workers=[first.address])
            assert key in first.data
            await how(first)
            await first.finished()
            copied = key in other.data
            del held
            await other.close()
            return copied

        async def by_us(worker):
            worker.lifetime = 0.1
            close_in_time(worker)

        async def by_dask(worker):
            close_in_time(worker)  # which has no time set
            await worker.close_gracefully()

        assert not client.sync(end, "fcdcc:kernel:layer-1", by_us)
        assert client.sync(end, "fcdcc:kernel:layer-2", by_dask)
