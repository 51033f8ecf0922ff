"""``fcdcc-keras worker``: it waits, joins, comes back when cut off, ends when told."""

import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack

import keras
import numpy as np
import psutil
import pytest
from distributed import Client

import fcdcc_keras as fk
from benchmarks.scheduler import free_port
from fcdcc_keras.dispatch import crew
from fcdcc_keras.dispatch import round as round_rules
from fcdcc_keras.worker import main as worker_main
from fcdcc_keras.worker.reach import wait_for_scheduler
from tests.waiting import until


@pytest.fixture
def start(tmp_path):
    """Starts programs; gives a process whose standard error can be read in a file."""
    started = []

    def popen(*command):
        log = tmp_path / f"log-{len(started)}"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, *command],
                stderr=errors,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        process.log = log
        started.append(process)
        return process

    yield popen
    for process in started:
        for one in family(process):
            one.kill()
        process.wait()


@pytest.fixture
def address():
    return f"tcp://127.0.0.1:{free_port('127.0.0.1')}"


def scheduler(start, address, *options):
    host, port = address.removeprefix("tcp://").split(":")
    return start(
        *("-m", "distributed.cli.dask_scheduler", "--host", host, "--port", port),
        *("--no-dashboard", "--no-jupyter", *options),
    )


def worker(start, address, *options):
    run = "from fcdcc_keras.cli import main; main()"
    return start("-c", run, "worker", address, *options)


def family(process):
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def ended(process, seconds):
    """Waits until a process and all its children are gone; returns its exit code."""
    children = [p for p in family(process) if p.pid != process.pid]
    code = process.wait(seconds)
    until(lambda: not any(p.is_running() for p in children), seconds)
    return code


def joined(client, count=1, but=()):
    """Waits until so many workers are there that were not; returns their addresses."""
    return until(
        lambda: (
            len(there := sorted(set(client.nthreads()) - set(but))) >= count and there
        )
    )


def test_the_scheduler_is_not_there_yet_or_is_killed(start, address):
    process = worker(start, address, "--no-nanny")
    # It is there before its scheduler, as boards are before the head node.
    until(lambda: f"No scheduler answers at {address}" in process.log.read_text())
    for ending in (signal.SIGKILL, signal.SIGINT):
        head = scheduler(start, address)
        with Client(address, timeout=30, set_as_default=False) as client:
            joined(client)
        head.send_signal(ending)
        head.wait(60)
    assert ended(process, 60) == 0  # the second took its workers along
    assert process.log.read_text().count("It comes back") == 1


def test_a_worker_finds_its_scheduler_by_a_file(start, address, tmp_path):
    file = tmp_path / "scheduler.json"
    first = free_port("127.0.0.1")
    process = start(
        *("-c", "from fcdcc_keras.cli import main; main()", "worker", "--no-nanny"),
        *("--scheduler-file", str(file), "--host", "127.0.0.1"),
        *("--worker-port", f"{first}:{first + 30}"),
    )
    until(lambda: "scheduler.json" in process.log.read_text())
    for port in (address, f"tcp://127.0.0.1:{free_port('127.0.0.1')}"):
        # Each writes another address there; the worker comes back to the new one.
        head = scheduler(start, port, "--scheduler-file", str(file))
        with Client(port, timeout=30, set_as_default=False) as client:
            (there,) = joined(client)
            assert first <= int(there.rpartition(":")[2]) <= first + 30
        head.kill()
        head.wait()


def test_a_worker_is_reached_by_another_address_than_its_own(start, address):
    scheduler(start, address)
    port = free_port("127.0.0.2")
    contact = f"tcp://127.0.0.2:{port}"
    options = "--listen-address", f"tcp://0.0.0.0:{port}", "--contact-address", contact
    worker(start, address, "--name", "kitchen", *options)
    with Client(address, timeout=30, set_as_default=False) as client:
        assert joined(client) == [contact]
        # By that another is told of it, who wants the same name.
        with pytest.raises(fk.ClusterError, match=f"'kitchen', which {contact} "):
            wait_for_scheduler(address, client.security, 0, str, ["kitchen"])
        # Who takes it for the scheduler's is told what answers there.
        lost = worker(start, contact)
        assert lost.wait(60) == 1
        assert "where a Worker does" in lost.log.read_text()


def _keys(dask_scheduler):
    return len(dask_scheduler.tasks)


async def _drop(address, dask_scheduler):
    await dask_scheduler.remove_worker(address, stimulus_id="test")


INTERRUPTED = [
    ("waiting", [], signal.SIGTERM),
    ("working", [], signal.SIGINT),
    ("working", ["--no-nanny", "--grace", "1"], signal.SIGTERM),
    ("frozen scheduler", ["--grace", "1"], signal.SIGTERM),
]
"""What a worker does, its options, and what is sent to it."""


def test_a_worker_is_interrupted(start):
    """In every state, each with a scheduler of its own; at once: it takes seconds."""

    def endless():
        import threading

        threading.Event().wait()

    with ExitStack() as stack:
        processes = []
        for state, options, _ in INTERRUPTED:
            address = f"tcp://127.0.0.1:{free_port('127.0.0.1')}"
            process = worker(start, address, *options)
            processes.append(process)
            if state == "waiting":
                continue
            head = scheduler(start, address)
            client = Client(address, timeout=30, set_as_default=False)
            stack.enter_context(client)
            stack.callback(head.kill)  # before its client is closed
            joined(client)
            future = client.submit(endless)
            until(lambda key=future.key, at=client: key in str(at.processing()))
            if state == "frozen scheduler":
                head.send_signal(signal.SIGSTOP)
        until(lambda: "No scheduler answers" in processes[0].log.read_text())
        families = [family(process) for process in processes]
        for process, (_, _, ending) in zip(processes, INTERRUPTED, strict=True):
            process.send_signal(ending)
        for process, members in zip(processes, families, strict=True):
            process.wait(25)
            until(lambda all=members: not any(p.is_running() for p in all), 25)


def test_workers_that_are_told_to_end_hand_over_what_they_have(
    start, address, monkeypatch
):
    """Two of three, all of which are needed, while models are predicted with."""
    # Nobody is found out to be late or gone: it must be told.
    monkeypatch.setattr(crew, "LOOK_EVERY", 1e6)
    monkeypatch.setattr(round_rules, "LOOK_EVERY", 1e6)
    scheduler(start, address)
    two = worker(start, address, "--nworkers", "2", "--name", "two")
    options = "--no-dashboard", "--nthreads", "1", "--preload", "fcdcc_keras.preload"
    start("-m", "distributed.cli.dask_worker", address, "--no-nanny", *options)
    layers = [keras.layers.Conv2D(8, 3, padding="same") for _ in range(3)]
    plain = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    expected = plain.predict_on_batch(x)
    with Client(address, timeout=30, set_as_default=False) as client, ExitStack() as s:
        joined(client, 3)
        s.enter_context(
            pytest.warns(RuntimeWarning, match=r"Received: [12] of 3, which")
        )
        needed = {"stragglers": 0, "fallback": "raise", "timeout": 1e6}
        both = [
            s.enter_context(
                fk.closing(fk.distribute(plain, client, transport=way, **needed))
            )
            for way in ("direct", "tasks")
        ]
        left = [coded.layers[0].session.executor.left for coded in both]
        signalled = False
        while two.poll() is None or [has() for has in left] != [1, 1]:
            for coded in both:
                with fk.trace(coded) as trace:
                    y = coded.predict_on_batch(x)
                np.testing.assert_allclose(y, expected, atol=1e-5)
                assert trace.local_convolutions == 0
            if not signalled:
                two.send_signal(signal.SIGTERM)
                signalled = True
        assert two.returncode == 0
        assert "killing" not in two.log.read_text()


def test_a_worker_that_is_interrupted_does_not_come_back(monkeypatch):
    """Though leaving has broken its connection, which looks like being cut off."""
    began = []
    monkeypatch.setattr(worker_main.os, "execv", lambda *_: began.append("again"))
    monkeypatch.setattr(worker_main, "wait_for_scheduler", lambda *_: None)
    monkeypatch.setattr(worker_main.cut_off, "cut_off", lambda: True)
    monkeypatch.setattr(worker_main, "_PAUSE", 0.0)
    monkeypatch.setattr(worker_main, "_interrupted", threading.Event())
    monkeypatch.setattr(worker_main, "_work", lambda *_: None)
    worker_main.main(["0", "0", "tcp://127.0.0.1:1"])
    assert began == ["again"]
    signalled = worker_main._interrupted.set
    monkeypatch.setattr(worker_main, "_work", lambda *_: signalled())
    worker_main.main(["0", "0", "tcp://127.0.0.1:1"])
    assert began == ["again"]


def test_a_worker_is_cut_off_and_dropped(start, address):
    scheduler(start, address)
    processes = [worker(start, address) for _ in range(2)]
    layers = [keras.layers.Conv2D(8, 3, name="one")]
    plain = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    with Client(address, timeout=30, set_as_default=False) as client:
        first, _ = joined(client, 2)
        coded = fk.distribute(plain, client, stragglers=1, fallback="raise")
        executor = coded.layers[0].session.executor
        # As after a frozen worker, or half a minute without its link.
        client.run_on_scheduler(_drop, first)

        def used_again():
            with fk.trace(coded) as trace:
                np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
            assert trace.local_convolutions == 0
            addresses = set(executor.addresses)
            used = {t.address for t in trace.records[0].subtasks if t.received}
            return first not in addresses and used == addresses and len(used) == 2

        until(used_again)
        fk.close(coded)
        said = [process.log.read_text().count("It comes back") for process in processes]
        assert sorted(said) == [0, 1]
        # With data that no other worker can take, none is retired.
        until(lambda: client.run_on_scheduler(_keys) == 0)
        client.retire_workers(list(client.nthreads()))
        assert [ended(process, 60) for process in processes] == [0, 0]


def test_workers_with_different_engines(start, address):
    """One has LiteRT, and NumPy for float64, and nothing of Keras; one TensorFlow."""
    scheduler(start, address)
    # With a nanny, which would end it, in what TensorFlow has no room in.
    worker(start, address, "--memory-limit", "300MB", "--engine", "light")
    with Client(address, timeout=30, set_as_default=False) as client:
        (light,) = joined(client)
        worker(start, address, "--no-nanny", "--engine", "tensorflow")
        joined(client, 2)

        def answers(plain):
            """Returns what each worker says that it computed by."""
            x = np.random.default_rng(0).normal(size=(2, 16, 16, 3))
            options = {"stragglers": 0, "fallback": "raise"}  # both are needed
            with fk.closing(fk.distribute(plain, client, **options)) as coded:
                with fk.trace(coded) as trace:
                    y = coded.predict_on_batch(x.astype(plain.compute_dtype))
                exact = plain.predict_on_batch(x.astype(plain.compute_dtype))
                np.testing.assert_allclose(y, exact, atol=1e-5, rtol=0)
                return trace.summary().engines

        (other,) = set(client.nthreads()) - {light}
        for dtype, by in (("float32", "light"), ("float64", "numpy")):
            options = {"dtype": dtype, "activation": "relu"}
            layers = [keras.layers.Conv2D(8, 3, **options) for _ in range(2)]
            inputs = keras.Input((16, 16, 3), dtype=dtype)
            engines = answers(keras.Sequential([inputs, *layers]))
            assert engines == {light: {by}, other: {"tensorflow"}}

        def loaded():
            import sys

            names = "ai_edge_litert", "keras", "tensorflow"
            return [name for name in names if name in sys.modules]

        found = client.run(loaded)
        assert found == {light: ["ai_edge_litert"], other: ["tensorflow"]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("nonsense", "a host and a port.*Received: 'nonsense'.*example tcp://"),
        ("tcp://127.0.0.1:1", "must answer within 0 s.*Received: 'tcp://127.0.0.1:1'"),
        ("tls://127.0.0.1:1", "Received: 'tls://127.0.0.1:1'.*three --tls options"),
    ],
)
def test_wrong_addresses_are_told_without_a_traceback(start, wrong, message):
    process = worker(start, wrong, "--wait", "0")
    assert process.wait(60) == 1
    assert re.search(
        rf"^Error( on .*)?: .*{message}", process.log.read_text(), re.MULTILINE
    )
    assert "Traceback" not in process.log.read_text()
