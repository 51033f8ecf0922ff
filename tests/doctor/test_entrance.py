"""The command where there is no scheduler, or none that lets it in."""

import os
import signal
import socket
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from distributed import LocalCluster

from fcdcc_keras.cli import main
from fcdcc_keras.doctor import entrance
from tests.doctor.examining import examined, named, wait
from tests.system.test_tls import security, write

pytestmark = [
    pytest.mark.usefixtures("patient", "freed"),
    # Of Dask; see `freed`.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
]


def refused(*words, door):
    """Returns what is said of what is at a scheduler's address, and what to do."""
    said = examined(*words)
    assert named(said) == {f"scheduler: {door}": ["scheduler"]}
    assert said["workers"] == []
    (one,) = said["troubles"]
    return f"{one['what']} {one['mend']}"


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
def saying(greeting, then=lambda: None):
    """Gives a port at which something takes connections, and says something."""

    def serve(server, taken):
        with ExitStack() as stack:
            while True:
                one, _ = server.accept()
                stack.enter_context(one)
                if taken.is_set():
                    return
                one.sendall(greeting)
                then()

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


@contextmanager
def stopped():
    """Gives a port that is taken, of a process that does nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("there", "door", "mend"),
    [
        (web_server, "http", "8787 is that of its dashboard"),
        (stopped, "silent", "start it again"),
        (lambda: saying(b""), "silent", "start it again"),
        (lambda: saying(b"SSH-2.0-OpenSSH\r\n"), "other", "`dask scheduler` printed"),
    ],
)
def test_what_is_no_scheduler(there, door, mend, monkeypatch):
    wait(monkeypatch, answer=0.3)
    with there() as port:
        assert mend in refused(f"tcp://127.0.0.1:{port}", door=door)


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A scheduler with TLS, and the files of its authority, and of another."""
    folder = tmp_path_factory.mktemp("tls")
    ours, others = write(folder, "ours"), write(folder, "others")
    with _cluster(protocol="tls://", security=security(ours)) as cluster:
        yield SimpleNamespace(
            address=cluster.scheduler_address, ours=ours, others=others
        )


@pytest.fixture(scope="module")
def plain():
    """A scheduler without TLS, and the address of its worker."""
    with _cluster(protocol="tcp://") as cluster:
        (worker,) = cluster.scheduler.workers
        yield SimpleNamespace(address=cluster.scheduler_address, worker=worker)


def _cluster(**options):
    return LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        **options,
    )


@pytest.mark.parametrize(
    ("address", "door", "said"),
    [
        ("tcp://127.0.0.1:{dead}", "refused", "nothing listens"),
        ("tcp://127.0.0.1:{full}", "dropped", "a firewall"),
        ("tcp://no-such-board.invalid:8786", "unresolved", "no machine is known"),
        ("nonsense", "no address", "host and port"),
        ("tcp://127.0.0.1:none", "no address", "host and port"),
        ("{worker}", "other", "a Worker"),
    ],
)
def test_an_address_that_leads_nowhere(
    address, door, said, plain, dead_port, full_port
):
    where = {"dead": dead_port, "full": full_port, "worker": plain.worker}
    assert said in refused(address.format(**where), door=door)


def with_files(files, **changed):
    return [w for n, f in {**files, **changed}.items() for w in (f"--tls-{n}", f)]


def test_tls(secure, plain, monkeypatch):
    monkeypatch.setattr(entrance, "_GREETING", 0.3)
    ours, others = secure.ours, secure.others
    files = with_files(ours)
    assert examined(secure.address, *files, "--stragglers", "0", status=0)["ok"]
    wait(monkeypatch, answer=2.0)
    mixed = with_files(ours, cert=others["cert"], key=others["key"])
    without, tls = (
        one.address.replace(one.address[:3], scheme)
        for one, scheme in ((secure, "tcp"), (plain, "tls"))
    )
    for words, door, said in (
        ([without], "speaks TLS", f"use {secure.address} with"),
        ([secure.address], "no certificate", "none are given"),
        ([secure.address, *with_files(others)], "unknown authority", "authority"),
        ([secure.address, *mixed], "not admitted", "signed"),
        ([tls, *files], "speaks no TLS", f"use {plain.address}"),
    ):
        assert said in refused(*words, door=door)


def test_ctrl_c_ends_it_at_once_and_leaves_nothing():
    before = set(threading.enumerate())

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)

    with saying(b"", then=interrupt) as port:
        words = [f"tcp://127.0.0.1:{port}", "--timeout", "3600"]
        done = CliRunner().invoke(main, ["doctor", *words])
    assert done.exit_code == 1
    assert done.output.strip() == "Aborted!"
    assert set(threading.enumerate()) <= before


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
