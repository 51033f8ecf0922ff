"""The command on clusters that are ill: with real schedulers, workers and sockets."""

import asyncio
import json
import re
import signal
import subprocess
from contextlib import ExitStack
from types import SimpleNamespace

import dask
import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster

from fcdcc_keras.cli import main
from fcdcc_keras.doctor import expecting, probes
from fcdcc_keras.execution.calibration.client import ClientSpeed
from fcdcc_keras.worker import process as worker_process
from fcdcc_keras.worker.exchange import WAITED
from tests.doctor.examining import examined, named, of_kind, start, wait

pytestmark = [
    pytest.mark.usefixtures("patient", "freed"),
    # Of Dask; see `freed`.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(scope="module")
def cluster():
    """A scheduler, a client of it, and a worker that is a process of its own."""
    with (
        LocalCluster(
            n_workers=0,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        process = subprocess.Popen(
            worker_process.command(
                cluster.scheduler_address, name="other", nanny=False
            ),
            env=worker_process.environment(engine="light"),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            client.wait_for_workers(1, timeout=240)
            (other,) = client.nthreads()
            yield SimpleNamespace(
                address=cluster.scheduler_address,
                scheduler=cluster.scheduler,
                client=client,
                process=process,
                run=lambda function: client.run(function, workers=[other]),
            )
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def workers(cluster):
    """Starts workers in this process, by name, that leave after the test."""
    started = []

    async def leave():
        for worker in started:
            await worker.close(nanny=False)

    yield lambda *names, **options: cluster.client.sync(
        start, started, cluster.address, *names, **options
    )
    cluster.client.sync(leave)


@pytest.fixture
def altered(cluster):
    """Alters the other process, and undoes that after the test."""
    with ExitStack() as undo:

        def alter(change, back):
            cluster.run(change)
            undo.callback(cluster.run, back)

        yield alter


def tell(worker, **changed):
    """Has a worker tell other versions of packages than it has."""
    told = worker.versions()
    packages = {**told["packages"], **changed}
    worker.handlers["versions"] = lambda **_: {**told, "packages": packages}


def test_a_cluster_that_is_well(cluster, workers, tmp_path):
    workers("kitchen", "cellar")
    expected = "other,kitchen", "--expect", "127.0.0.1"
    said = examined(cluster.address, "--expect", *expected, status=0)
    assert (said["ok"], named(said)) == (True, {})
    assert [one["name"] for one in said["workers"]] == ["cellar", "kitchen", "other"]
    for one in said["workers"]:
        assert one["by_client"]["how"] == one["by_scheduler"]["how"] == "open"
        assert one["to_scheduler"]["how"] == "open"
        assert one["link"]["round_trip"] > 0
        assert one["rate"] > 0
        assert [way["how"] for way in one["to_workers"].values()] == ["open"] * 2
        assert (one["halo"] > 0, one["unexchanged"]) == (True, "")
    assert said["workers"][-1]["speed"]["engine"] == "light"
    assert said["client"]["packages"] == said["scheduler"]["software"]["packages"]


def test_the_file_of_a_scheduler(cluster, tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": cluster.address}))
    words = "--scheduler-file", str(file), "--stragglers", "0"
    done = CliRunner().invoke(main, ["doctor", *words])
    assert done.exit_code == 0, done.output
    assert re.search(r"other +✓ +✓ +✓ +\?", done.stdout)  # there are no others
    assert "fk.distribute works here, over 1 worker" in done.stdout


def test_all_that_ails_a_cluster_is_named_at_once(
    cluster, workers, altered, dead_port, full_port, monkeypatch, tmp_path
):
    """Also: one unreachable, one of another version, one out of memory for a model."""
    own = ClientSpeed(3e10, 6e9, 1e10, 6e-6)  # which takes seconds to measure
    for name in ("client_speed", "engine_speed"):
        monkeypatch.setattr(expecting, name, lambda geometry: own)
    with dask.config.set({"distributed.worker.memory.pause": False}):
        workers("cellar", memory_limit="150MB")
    paused = workers("porch", memory_limit="100MB")
    workers("kitchen", contact_address=f"tcp://127.0.0.1:{dead_port}")
    workers("attic", contact_address=f"tcp://127.0.0.1:{full_port}")
    workers("garage")
    ill = workers("shed")
    run = ill.handlers["run"]

    async def failing(comm, function, **message):
        if b"on_worker" in function:
            return {"status": "error", "exception_text": "RuntimeError('no \x1b[1m')"}
        return await run(comm, function, **message)

    ill.handlers["run"] = failing

    def older_and_without_an_engine():
        import importlib.util

        import fcdcc_keras.version

        fcdcc_keras.version.__version__ = "0.0.9"
        importlib.util.kept = kept = importlib.util.find_spec
        hidden = "ai_edge_litert", "tensorflow"
        importlib.util.find_spec = lambda name, package=None: (
            None if name in hidden else kept(name, package)
        )

    def again():
        import importlib.util

        import fcdcc_keras.version

        importlib.util.find_spec = importlib.util.kept
        importlib.reload(fcdcc_keras.version)

    altered(older_and_without_an_engine, again)

    async def known():
        there = cluster.scheduler.workers[paused.address]
        while {paused.status.name, there.status.name} != {"paused"}:
            await asyncio.sleep(0.01)

    cluster.client.sync(known, callback_timeout=240)
    hosts = tmp_path / "hosts"
    hosts.write_text("pi@127.0.0.1:22 workers=2  # this one\n\nno-such-board.invalid\n")
    words = "--hosts-file", str(hosts), "--expect", "kitchen, pantry"
    said = examined(cluster.address, *words, "--model", "digits-vgg")
    found = named(said)
    assert "cellar" in found.pop("memory for model")
    assert found == {
        "unreachable": ["attic", "kitchen"],
        "version": ["other"],
        "no engine": ["other"],
        "engine": ["shed"],
        "memory": ["porch"],
        "missing": ["no-such-board.invalid", "pantry"],
        "too few": ["scheduler"],  # cellar and garage are, of which one may be missing
    }
    assert "nothing listens" in of_kind(said, "unreachable")
    assert re.search(rf"firewall.*{full_port}", of_kind(said, "unreachable"))
    assert "has fcdcc_keras 0.0.9" in of_kind(said, "version")
    assert "takes no more work" in of_kind(said, "memory")
    assert "\x1b" not in json.dumps(said)
    (expected,) = said["expectations"]
    assert (expected["model"], expected["workers"]) == ("digits-vgg", 2)
    assert expected["held"] > 0
    assert expected["alone"] > 0


def test_what_may_be_put_up_with_is_named_too(cluster, workers, altered, monkeypatch):
    """And the status is that of a cluster that works."""
    touch, behind = probes.touch, workers("kitchen")

    async def elsewhere(host, port, patience):
        """The scheduler reaches a worker that this client does not."""
        if behind.address.endswith(f":{port}"):
            return probes.Touch("dropped", patience), [host]
        return await touch(host, port, patience)

    monkeypatch.setattr(probes, "touch", elsewhere)
    tell(workers("loft"), distributed="2024.12.0")
    cellar = workers("cellar")
    tell(cellar, python="3.9.2.final.0")
    sent, run = [], cellar.handlers["run"]

    async def noting(comm, function, **message):
        sent.append(function)
        return await run(comm, function, **message)

    cellar.handlers["run"] = noting

    def older_engine_and_a_clock_ahead():
        import importlib.metadata
        import time

        time.kept, time.time = time.time, lambda kept=time.time: kept() + 7300
        importlib.metadata.kept = kept = importlib.metadata.version
        importlib.metadata.version = lambda name: (
            "1.4.0" if name == "ai-edge-litert" else kept(name)
        )

    def again():
        import importlib.metadata
        import time

        time.time, importlib.metadata.version = time.kept, importlib.metadata.kept

    altered(older_engine_and_a_clock_ahead, again)
    event = {"worker": "tcp://192.168.1.9:1", "rss": 2e9}
    handlers = cluster.scheduler.handlers
    monkeypatch.setitem(handlers, "events", lambda topic: [(0.0, event)])
    said = examined(cluster.address, status=0)
    assert named(said) == {
        "not direct": ["kitchen"],
        "python": ["cellar"],
        "dask version": ["loft"],
        "old engine": ["other"],
        "clock": ["other"],
        "ended for memory": ["tcp://192.168.1.9:1"],
    }
    assert "2 hours ahead" in of_kind(said, "clock")
    # All is known of who is asked by way of the scheduler,
    there = {one["name"]: one for one in said["workers"]}
    assert there["kitchen"]["software"]["packages"] == said["client"]["packages"]
    assert there["kitchen"]["rate"] > 0
    assert there["kitchen"]["link"] is None
    # and of another Python, that was sent names of functions, but none.
    assert there["cellar"]["rate"] > 0
    assert len(sent) == 5
    assert not [one for one in sent if b"cloudpickle" in one]
    assert {one["halo"] for one in said["workers"]} == {None}


def _has_nothing_of(ports):
    """Returns what has a process connect to none of some ports, and what undoes it."""

    def begin():
        import socket

        def connect(self, place, connect=socket.socket.connect):
            if place[1] in ports:
                raise ConnectionRefusedError("a firewall")
            return connect(self, place)

        socket.socket.connect = connect

    def end():
        import socket

        del socket.socket.connect

    return begin, end


def test_workers_that_do_not_reach_each_other(cluster, workers, altered):
    there = workers("kitchen"), workers("cellar")
    altered(*_has_nothing_of({worker.port for worker in there}))
    said = examined(cluster.address, status=0)
    assert named(said) == {"workers apart": ["other"]}
    assert "does not reach cellar, kitchen" in of_kind(said, "workers apart")
    assert {one["halo"] for one in said["workers"]} == {None}


def test_workers_that_reach_each_other_and_yet_exchange_no_halos(
    cluster, workers, altered
):
    def spoil(dask_worker):
        from fcdcc_keras.worker.handler import HALO, install

        install(dask_worker)
        exchange = dask_worker.handlers[HALO].__self__._exchange
        take = exchange.take
        exchange.take = lambda **halo: take(**{**halo, "data": b"lost"})

    def again(dask_worker):
        del dask_worker.handlers["fcdcc_halo"].__self__._exchange.take

    spoil(workers("kitchen"))
    spoil(workers("cellar"))
    altered(spoil, again)
    said = examined(cluster.address, status=0)
    ((kind, whose),) = named(said).items()
    assert (kind, sorted(whose)) == ("no exchange", ["cellar", "kitchen", "other"])
    assert re.search(f"{WAITED}.* 4 bytes in place", of_kind(said, "no exchange"))


def test_a_worker_that_is_stopped(cluster, workers, monkeypatch):
    workers("kitchen")
    wait(monkeypatch, answer=2.0)
    cluster.process.send_signal(signal.SIGSTOP)
    try:
        said = examined(cluster.address)
    finally:
        cluster.process.send_signal(signal.SIGCONT)
    assert "other" in named(said)["stalled"]
