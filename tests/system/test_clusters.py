"""Clusters that others run: short of memory, with a scheduler that hangs, adaptive."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import keras
import numpy as np
import psutil
import pytest
from distributed import Client

import fcdcc_keras as fk
from benchmarks.scheduler import free_port
from fcdcc_keras.execution.cluster import patience
from fcdcc_keras.execution.executors.dask import DaskExecutor
from fcdcc_keras.worker import process as worker_process
from tests.waiting import until

WORKERS = 3
QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical"}
_CLUSTER = """
import sys
from distributed import LocalCluster
from distributed.deploy import Adaptive

class Telling(Adaptive):
    async def recommendations(self, target):
        print("looked", flush=True)
        return await super().recommendations(target)

if __name__ == "__main__":
    options = dict(n_workers=%d, threads_per_worker=1, memory_limit=0)
    with LocalCluster(dashboard_address="127.0.0.1:0", **options) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.readline()
        cluster.adapt(
            Adaptive=Telling, minimum=1, maximum=9, interval="100ms", wait_count=1
        )
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The process of a cluster that adapts once a line is written to it."""
    script = tmp_path_factory.mktemp("cluster") / "cluster.py"
    script.write_text(_CLUSTER % WORKERS)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**worker_process.environment(), **QUIET},
        start_new_session=True,
    ) as process:
        process.address = process.stdout.readline().strip()
        yield process
        end(process)


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster.address, timeout=60, set_as_default=False) as client:
        yield client
        cluster.send_signal(signal.SIGCONT)


@pytest.fixture
def frozen(cluster, monkeypatch):
    """Gives what stops the scheduler; it goes on when the test ends."""
    monkeypatch.setattr(patience, "SCHEDULER_TIMEOUT", 3.0)
    yield lambda: cluster.send_signal(signal.SIGSTOP)
    cluster.send_signal(signal.SIGCONT)


class Firewall:
    """Stands before a worker; can drop what this process sends, as if lost."""

    def __init__(self, port):
        self.dropping = False
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                outside, peer = self._server.accept()
                inside = socket.create_connection(("127.0.0.1", self._port))
                # Others' sockets may have the same port, to somewhere else.
                ours = (peer, outside.getsockname()) in {
                    (tuple(c.laddr), tuple(c.raddr))
                    for c in psutil.Process().net_connections("tcp")
                }
                for pair in ((outside, inside), (inside, outside)):
                    pump = threading.Thread(
                        target=self._pump, args=(*pair, ours), daemon=True
                    )
                    pump.start()

    def _pump(self, source, target, ours):
        with suppress(OSError), source:
            while data := source.recv(1 << 16):
                if not (ours and self.dropping):
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def end(process):
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    process.wait()


def model():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(8, 3), keras.layers.Conv2D(16, 3)]
    return keras.Sequential([keras.Input((16, 16, 3)), *layers])


def check(plain, coded):
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    with fk.trace(coded) as trace:
        np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
    assert trace.local_convolutions == 0
    return trace


def refusal(attempt):
    with pytest.raises(fk.ClusterError) as refused:
        attempt()
    return str(refused.value)


def test_a_worker_lacks_memory(client, cluster, caplog):
    plain, lacking = model(), "had .* in use of the 300 MB .* TensorFlow takes 600 MB"
    client.wait_for_workers(WORKERS, timeout=60)
    good = set(client.nthreads())
    process = subprocess.Popen(
        worker_process.command(cluster.address, memory_limit="300MB"),
        env={**worker_process.environment(engine="tensorflow"), **QUIET},
        start_new_session=True,
    )

    def there():
        return set(client.nthreads()) - good

    try:
        bad = until(there)
        without = rf"without 1 of 4 workers\. {bad.pop()}: it {lacking}"
        with pytest.warns(RuntimeWarning, match=without):
            coded = fk.distribute(plain, client)
        with fk.closing(coded):
            assert set(coded.layers[0].session.executor.addresses) == good
            check(plain, coded)
        # It was told at once, whatever time the others took.
        assert re.search(f"cannot be used: it {lacking}", caplog.text)
        until(there)  # its nanny has started it again
        said = refusal(lambda: fk.distribute(plain, client, workers=4))
        assert re.search(
            f"4 workers must have .*Received: 3, and .* it {lacking}", said
        )
    finally:
        end(process)
    until(lambda: not there())


def test_a_firewall_drops_what_is_sent_to_a_worker(client, cluster):
    plain, port = model(), free_port("127.0.0.1")
    firewall = Firewall(port)
    listen = "listen-address", f"tcp://127.0.0.1:{port}"
    more = listen, ("contact-address", firewall.address)
    process = subprocess.Popen(
        worker_process.lasting_command(cluster.address, nanny=False, more=more),
        env={**worker_process.environment(), **QUIET},
        start_new_session=True,
    )
    try:
        until(lambda: firewall.address in client.nthreads())
        options = {"stragglers": 0, "code": "uncoded", "fallback": "raise"}
        with fk.closing(fk.distribute(plain, client, **options)) as coded:
            assert check(plain, coded).records[-1].transport == "direct"
            firewall.dropping = True
            began = time.monotonic()
            check(plain, coded)
            assert time.monotonic() - began < 30  # half of the timeout
            # Where the scheduler takes a moment to ask it, another worker may have
            # done its part meanwhile.
            until(lambda: check(plain, coded).records[-1].transport == "direct, tasks")
            firewall.dropping = False
            until(lambda: check(plain, coded).records[-1].transport == "direct")
    finally:
        end(process)
        firewall.close()
    until(lambda: firewall.address not in client.nthreads())


def test_the_scheduler_is_frozen(client, cluster, frozen):
    attempts = [
        lambda to=to, do=do: do(to)
        for to in (client, cluster.address)
        for do in (lambda to: fk.distribute(model(), to), fk.calibrate)
    ]
    frozen()
    with ThreadPoolExecutor(len(attempts)) as threads:
        for said in threads.map(refusal, attempts):
            assert "A scheduler must answer within 3 s. Received: " in said


@pytest.mark.parametrize("transport", ["direct", "tasks"])
def test_the_scheduler_freezes_while_kernels_are_placed(
    client, cluster, frozen, monkeypatch, transport
):
    place = DaskExecutor.place

    def freezing(self, *args, **kwargs):
        frozen()
        return place(self, *args, **kwargs)

    monkeypatch.setattr(DaskExecutor, "place", freezing)
    said = refusal(lambda: fk.distribute(model(), cluster.address, transport=transport))
    assert "A scheduler must answer within 3 s. Received: no answer" in said


def test_an_adaptive_cluster_keeps_the_workers_that_hold_kernels(client, cluster):
    plain = model()
    with fk.closing(fk.distribute(plain, cluster.address, fallback="raise")) as coded:
        cluster.stdin.write("\n")
        cluster.stdin.flush()
        for _ in range(10):  # times that it looks for idle workers
            assert cluster.stdout.readline() == "looked\n"
        assert len(client.nthreads()) == WORKERS
        trace = check(plain, coded)
        assert len(trace.summary().outcomes) == WORKERS
        assert (trace.summary().fewest, fk.report(coded).too_few) == (None, None)
        # The user may still send them away; then that is told.
        client.retire_workers(list(client.nthreads())[1:])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            until(lambda: check(plain, coded).summary().fewest == 1)
            check(plain, coded)
        said = [str(w.message) for w in told if w.category is RuntimeWarning]
        assert len(said) == 1
        assert "needs the results of 2 workers. Received: 1 of 3, which" in said[0]
        assert "at times 1 were left, fewer than needed" in str(
            check(plain, coded).summary()
        )
        assert "1 workers are left, fewer than needed" in str(fk.report(coded))
