"""The command on clusters that are ill: with real schedulers, workers and sockets."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import dask
import psutil
import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster, Worker

from fcdcc_keras.cli import main
from fcdcc_keras.doctor import expecting, on_worker, probes
from fcdcc_keras.doctor.probes import Patience
from fcdcc_keras.execution.calibration.client import ClientSpeed
from fcdcc_keras.worker import process as worker_process
from tests.system.test_tls import security, write

# Of Dask, which leaves a connection that was called off in its handshake to be freed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)
QUICK = {"connect": 0.5, "transfer": 0.2}
"""Seconds for what is instant within a machine, however busy that is."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """Has the doctor wait for whatever may be slow, and measure for a moment only."""
    monkeypatch.setattr(on_worker, "_LEAST", 0.0)
    wait(monkeypatch)


def wait(monkeypatch, **seconds):
    long = {"answer": 60.0, "compute": 60.0, "total": 120.0}
    patience = Patience(**{**long, **QUICK, **seconds})
    within = classmethod(lambda cls, total: patience)
    monkeypatch.setattr(probes.Patience, "within", within)


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
                other=other,
                run=lambda function: client.run(function, workers=[other]),
            )
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def workers(cluster):
    """Starts workers in this process, by name, that leave after the test."""
    started = []

    def start(*names, **options):
        async def starting():
            for name in names:
                made = Worker(
                    cluster.address,
                    name=name,
                    nthreads=1,
                    dashboard=False,
                    **{"memory_limit": 0, "host": "127.0.0.1", **options},
                )
                started.append(await made)

        cluster.client.sync(starting)
        return started[-1]

    async def leave():
        for worker in started:
            await worker.close(nanny=False)

    yield start
    cluster.client.sync(leave)


@pytest.fixture
def altered(cluster):
    """Alters the other process, and undoes that after the test."""
    with ExitStack() as undo:

        def alter(change, back):
            cluster.run(change)
            undo.callback(cluster.run, back)

        yield alter


def examined(*words, status=1):
    """Returns what the command says as JSON."""
    done = CliRunner().invoke(main, ["doctor", *words, "--json"])
    assert done.exit_code == status, (done.output, done.exception)
    return json.loads(done.stdout)


def named(said):
    """Returns of each kind of trouble whom it is of, by name.

    But for who is slow: on a busy machine anybody may be.
    """
    found = {}
    for one in [one for one in said["troubles"] if one["kind"] != "slow"]:
        for where in one["where"]:
            found.setdefault(one["kind"], []).append(where.partition(" ")[0])
    return found


@pytest.fixture
def dead_port():
    """A port at which nothing listens, and that nobody else takes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def dropping_port():
    """A port that drops whatever comes, as behind a firewall: its queue is full."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def test_a_cluster_that_is_well(cluster, workers):
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
    assert said["workers"][-1]["speed"]["engine"] == "light"
    assert said["client"]["packages"] == said["scheduler"]["software"]["packages"]


def test_a_worker_that_is_unreachable(cluster, workers, dead_port):
    workers("kitchen", contact_address=f"tcp://127.0.0.1:{dead_port}")
    said = examined(cluster.address, "--stragglers", "0")
    assert named(said) == {"unreachable": ["kitchen"]}
    assert "nothing listens" in said["troubles"][0]["what"]


def test_a_worker_behind_a_firewall(cluster, workers, dropping_port):
    workers("kitchen", contact_address=f"tcp://127.0.0.1:{dropping_port}")
    said = examined(cluster.address, "--stragglers", "0")
    assert named(said) == {"unreachable": ["kitchen"]}
    assert "firewall" in said["troubles"][0]["what"]
    assert str(dropping_port) in said["troubles"][0]["mend"]


def test_a_client_behind_a_firewall(cluster, workers, dropping_port, monkeypatch):
    """The scheduler reaches a worker that this client does not."""
    worker, touch = workers("kitchen"), probes.touch

    async def elsewhere(host, port, patience):
        its = host == "127.0.0.1" and worker.address.endswith(f":{port}")
        return await touch(host, dropping_port if its else port, patience)

    monkeypatch.setattr(probes, "touch", elsewhere)
    said = examined(cluster.address, status=0)
    assert named(said) == {"not direct": ["kitchen"]}
    # All is known of it, by way of the scheduler.
    (kitchen, _) = said["workers"]
    assert kitchen["software"]["packages"] == said["client"]["packages"]
    assert kitchen["rate"] > 0
    assert kitchen["link"] is None


def test_a_worker_of_another_version(cluster, workers, altered):
    def older():
        import fcdcc_keras.version

        fcdcc_keras.version.__version__ = "0.0.9"

    def again():
        import importlib

        import fcdcc_keras.version

        importlib.reload(fcdcc_keras.version)

    altered(older, again)
    workers("kitchen", "cellar")
    said = examined(cluster.address)
    assert named(said) == {"version": ["other"]}
    assert "has fcdcc_keras 0.0.9" in said["troubles"][0]["what"]


def test_a_worker_of_another_dask_and_one_of_another_python(cluster, workers):
    def tell(name, **changed):
        worker = workers(name)
        told = worker.versions()
        packages = {**told["packages"], **changed}
        worker.handlers["versions"] = lambda **_: {
            **told,
            "packages": packages,
        }

        return worker

    tell("kitchen", distributed="2024.12.0")
    cellar = tell("cellar", python="3.9.2.final.0")
    sent, run = [], cellar.handlers["run"]

    async def noting(comm, function, **message):
        sent.append(function)
        return await run(comm, function, **message)

    cellar.handlers["run"] = noting
    said = examined(cluster.address, status=0)
    assert named(said) == {"python": ["cellar"], "dask version": ["kitchen"]}
    # All is known of it, though it was sent no function, but names of such.
    assert said["workers"][0]["rate"] > 0
    assert len(sent) == 4
    assert not [one for one in sent if b"cloudpickle" in one]


def test_a_worker_without_an_engine(cluster, workers, altered):
    def without():
        import importlib.util

        importlib.util.kept = kept = importlib.util.find_spec
        hidden = "ai_edge_litert", "tensorflow"
        importlib.util.find_spec = lambda name, package=None: (
            None if name in hidden else kept(name, package)
        )

    def again():
        import importlib.util

        importlib.util.find_spec = importlib.util.kept

    altered(without, again)
    workers("kitchen", "cellar")
    assert named(examined(cluster.address)) == {"no engine": ["other"]}


def test_a_worker_with_an_old_engine_and_one_that_does_not_compute(
    cluster, workers, altered
):
    def older():
        import importlib.metadata

        importlib.metadata.kept = kept = importlib.metadata.version
        importlib.metadata.version = lambda name: (
            "1.4.0" if name == "ai-edge-litert" else kept(name)
        )

    def again():
        import importlib.metadata

        importlib.metadata.version = importlib.metadata.kept

    altered(older, again)
    ill = workers("kitchen")
    workers("cellar")
    run = ill.handlers["run"]

    async def failing(comm, function, **message):
        if b"on_worker" in function:
            return {"status": "error", "exception_text": "RuntimeError('no \x1b[1m')"}
        return await run(comm, function, **message)

    ill.handlers["run"] = failing
    said = examined(cluster.address)
    assert named(said) == {"engine": ["kitchen"], "old engine": ["other"]}
    assert "\x1b" not in json.dumps(said)


def test_a_worker_whose_clock_is_off(cluster, workers, altered):
    def ahead():
        import time

        time.kept, time.time = time.time, lambda kept=time.time: kept() + 7200

    def again():
        import time

        time.time = time.kept

    altered(ahead, again)
    workers("kitchen")
    said = examined(cluster.address, status=0)
    assert named(said) == {"clock": ["other"]}
    assert "2 hours ahead" in said["troubles"][0]["what"]


def test_a_worker_that_is_expected_and_missing(cluster, workers, tmp_path):
    workers("kitchen")
    hosts = tmp_path / "hosts"
    hosts.write_text("pi@127.0.0.1:22 workers=2  # this one\n\nno-such-board.invalid\n")
    words = "--hosts-file", str(hosts), "--expect", "kitchen, cellar"
    said = examined(cluster.address, *words)
    assert named(said) == {"missing": ["no-such-board.invalid", "cellar"]}


def test_a_worker_that_is_stopped(cluster, workers, monkeypatch):
    workers("kitchen")
    wait(monkeypatch, answer=2.0)
    cluster.process.send_signal(signal.SIGSTOP)
    try:
        said = examined(cluster.address)
    finally:
        cluster.process.send_signal(signal.SIGCONT)
    assert "other" in named(said)["stalled"]


def test_three_faults_at_once(cluster, workers, dead_port, altered, monkeypatch):
    """One unreachable, one of another version, one out of memory for the model."""
    own = ClientSpeed(3e10, 6e9, 1e10, 6e-6)  # which takes seconds to measure
    for name in ("client_speed", "engine_speed"):
        monkeypatch.setattr(expecting, name, lambda geometry: own)
    with dask.config.set({"distributed.worker.memory.pause": False}):
        workers("cellar", memory_limit="150MB")
    workers("kitchen", contact_address=f"tcp://127.0.0.1:{dead_port}")
    workers("attic")

    def older():
        import fcdcc_keras.version

        fcdcc_keras.version.__version__ = "0.0.9"

    def again():
        import importlib

        import fcdcc_keras.version

        importlib.reload(fcdcc_keras.version)

    altered(older, again)
    said = examined(cluster.address, "--model", "digits-vgg")
    found = named(said)
    assert found["unreachable"] == ["kitchen"]
    assert found["version"] == ["other"]
    assert "cellar" in found["memory for model"]
    (expected,) = said["expectations"]
    assert (expected["model"], expected["workers"]) == ("digits-vgg", 2)
    assert expected["held"] > 0
    assert expected["alone"] > 0


def test_a_worker_that_is_paused_for_its_memory(cluster, workers):
    worker = workers("cellar", memory_limit="100MB")
    workers("kitchen")

    async def paused():
        while worker.status.name != "paused":
            await asyncio.sleep(0.01)
        while cluster.scheduler.workers[worker.address].status.name != "paused":
            await asyncio.sleep(0.01)

    cluster.client.sync(paused, callback_timeout=240)
    said = examined(cluster.address)
    assert named(said) == {"memory": ["cellar"]}
    assert "takes no more work" in said["troubles"][0]["what"]


def test_workers_that_were_ended_for_memory(cluster, workers, monkeypatch):
    event = {"worker": "tcp://192.168.1.9:1", "rss": 2e9}
    handlers = cluster.scheduler.handlers
    monkeypatch.setitem(handlers, "events", lambda topic: [(0.0, event)])
    workers("kitchen")
    said = examined(cluster.address, status=0)
    assert named(said) == {"ended for memory": ["tcp://192.168.1.9:1"]}


class Quiet(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)

    def log_message(self, *args):
        pass


@contextmanager
def web_server():
    """Gives the port of a web server."""
    server = HTTPServer(("127.0.0.1", 0), Quiet)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@contextmanager
def saying(greeting):
    """Gives a port at which something takes connections, and says something."""

    def serve(server, taken):
        with ExitStack() as stack:
            while True:
                one, _ = server.accept()
                stack.enter_context(one)
                if taken.is_set():
                    return
                one.sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as server:
        ending, place = threading.Event(), server.getsockname()
        serving = threading.Thread(target=serve, args=(server, ending))
        serving.start()
        try:
            yield place[1]
        finally:
            ending.set()
            socket.create_connection(place).close()
            serving.join()


@pytest.mark.parametrize(
    ("there", "door", "mend"),
    [
        (web_server, "http", "8787 is that of its dashboard"),
        (lambda: saying(b""), "silent", "start it again"),
        (lambda: saying(b"SSH-2.0-OpenSSH\r\n"), "other", "`dask scheduler` printed"),
    ],
)
def test_what_is_no_scheduler(there, door, mend, monkeypatch):
    wait(monkeypatch, answer=0.5)
    with there() as port:
        said = examined(f"tcp://127.0.0.1:{port}")
    assert named(said) == {f"scheduler: {door}": ["scheduler"]}
    assert mend in said["troubles"][0]["mend"]
    assert said["workers"] == []


def test_a_scheduler_that_is_stopped(cluster, monkeypatch):
    """As the other process is, whose address is a server's of Dask."""
    wait(monkeypatch, answer=0.5)
    cluster.process.send_signal(signal.SIGSTOP)
    try:
        said = examined(cluster.other)
    finally:
        cluster.process.send_signal(signal.SIGCONT)
    assert named(said) == {"scheduler: silent": ["scheduler"]}


def test_an_address_that_leads_nowhere(cluster, dead_port, dropping_port):
    for address, door, said_of_it in (
        (f"tcp://127.0.0.1:{dead_port}", "refused", "nothing listens"),
        (f"tcp://127.0.0.1:{dropping_port}", "dropped", "a firewall"),
        ("tcp://no-such-board.invalid:8786", "unresolved", "no machine is known"),
        ("nonsense", "no address", "host and port"),
        ("tcp://127.0.0.1:none", "no address", "host and port"),
        (cluster.other, "other", "a Worker"),
    ):
        said = examined(address)
        assert named(said) == {f"scheduler: {door}": ["scheduler"]}
        (one,) = said["troubles"]
        assert said_of_it in f"{one['what']} {one['mend']}"


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A scheduler with TLS, and the files of its authority, and of another."""
    folder = tmp_path_factory.mktemp("tls")
    ours, others = write(folder, "ours"), write(folder, "others")
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tls://",
        host="127.0.0.1",
        security=security(ours),
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
    ) as cluster:
        yield SimpleNamespace(
            address=cluster.scheduler_address, ours=ours, others=others
        )


def with_files(files, **changed):
    return [w for n, f in {**files, **changed}.items() for w in (f"--tls-{n}", f)]


def test_tls(secure, cluster, monkeypatch):
    said = examined(
        secure.address, *with_files(secure.ours), "--stragglers", "0", status=0
    )
    assert said["ok"]
    wait(monkeypatch, answer=2.0)
    plain = secure.address.replace("tls://", "tcp://")
    ours, others = secure.ours, secure.others
    mixed = with_files(ours, cert=others["cert"], key=others["key"])
    for words, door, said_of_it in (
        ([plain], "speaks TLS", f"use {secure.address} with"),
        ([secure.address], "no certificate", "none are given"),
        ([secure.address, *with_files(others)], "unknown authority", "authority"),
        ([secure.address, *mixed], "not admitted", "signed"),
        (
            [cluster.address.replace("tcp://", "tls://"), *with_files(ours)],
            *("speaks no TLS", f"use {cluster.address}"),
        ),
    ):
        said = examined(*words)
        assert named(said) == {f"scheduler: {door}": ["scheduler"]}
        (one,) = said["troubles"]
        assert said_of_it in f"{one['what']} {one['mend']}"


def test_ctrl_c_ends_it_at_once_and_leaves_nothing():
    with saying(b"") as port:
        words = ["doctor", f"tcp://127.0.0.1:{port}", "--timeout", "3600"]
        code = "import sys; from fcdcc_keras.cli import main; main(sys.argv[1:])"
        doctor = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stderr=subprocess.PIPE,
            text=True,
        )
        watched = psutil.Process(doctor.pid)
        while not any(
            one.raddr and one.raddr.port == port for one in watched.net_connections()
        ):
            assert doctor.poll() is None
        doctor.send_signal(signal.SIGINT)
        _, said = doctor.communicate(timeout=60)
    assert doctor.returncode == 1
    assert said.strip() == "Aborted!"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "neither ADDRESS nor --scheduler-file"),
        (["--scheduler-file", __file__], "without an address"),
        (["tcp://a:1", "--tls-cert", "/none.pem"], "does not exist"),
        (["tcp://a:1", "--timeout", "nan"], "--timeout"),
    ],
)
def test_what_is_wrong_is_said(words, message, monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    done = CliRunner().invoke(main, ["doctor", *words])
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_the_file_of_a_scheduler(cluster, workers, tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": cluster.address}))
    workers("kitchen")
    done = CliRunner().invoke(main, ["doctor", "--scheduler-file", str(file)])
    assert done.exit_code == 0, done.output
    assert re.search(r"kitchen +✓ +✓ +✓", done.stdout)
    assert "fk.distribute works here, over 2 workers." in done.stdout
