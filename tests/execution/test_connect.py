"""What is accepted as a cluster, and what is refused before anything is sent."""

import asyncio
import gc
import pickle
import re
import socket
import subprocess
import textwrap
import time

import keras
import numpy as np
import pytest
from distributed import Client, LocalCluster
from tornado.ioloop import IOLoop

import fcdcc_keras as fk
from fcdcc_keras.dask_internals import named
from fcdcc_keras.execution.cluster import patience, probe
from fcdcc_keras.wire.requests import PlainRequests
from fcdcc_keras.worker import process as worker_process


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3)])


@pytest.fixture
def empty_cluster():
    """A scheduler without workers."""
    with (
        LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_address_that_nobody_answers(model, monkeypatch):
    monkeypatch.setattr(patience, "SCHEDULER_TIMEOUT", 1.0)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(fk.ClusterError, match=rf"within 1 s. Received.*{address}"):
            fk.distribute(model, address)
    assert time.monotonic() - started < 30  # which is Dask's patience


@pytest.mark.parametrize("address", ["", "nonsense://x", "127.0.0.1:notaport"])
def test_what_is_no_address(model, address, monkeypatch):
    monkeypatch.setattr(patience, "SCHEDULER_TIMEOUT", 1.0)
    with pytest.raises(
        fk.ClusterError, match=r"scheduler.*Received: .*`dask scheduler`"
    ):
        fk.distribute(model, address)


def test_asynchronous_client(client, model):
    async def attempt():
        async with Client(
            client.scheduler.address, asynchronous=True, set_as_default=False
        ) as asynchronous:
            with pytest.raises(fk.ClusterError, match=r"synchronous.*asynchronous=Tr"):
                fk.distribute(model, asynchronous)

    asyncio.run(attempt())


def test_closed_client(client, model):
    closed = Client(client.scheduler.address, set_as_default=False)
    closed.close()
    with pytest.raises(fk.ClusterError, match="status 'closed'"):
        fk.distribute(model, closed)


def test_more_workers_than_the_cluster_has(client, model):
    with pytest.raises(fk.ClusterError, match=r"workers=9, a cluster of 4. Start more"):
        fk.distribute(model, client, workers=9)


def test_fewer_workers_than_the_cluster_has(client, model):
    with fk.closing(fk.distribute(model, client, workers=3)) as coded:
        assert coded.layers[0].session.executor.workers == 3


def test_no_workers_at_all(empty_cluster, model):
    with pytest.raises(fk.ClusterError, match=r"workers=None, a cluster of 0"):
        fk.distribute(model, empty_cluster)


def test_too_many_stragglers_for_the_cluster_found(client, model):
    with pytest.raises(fk.PlanError, match=r"stragglers=4, workers=4"):
        fk.distribute(model, client, stragglers=4)


def test_adaptive_cluster(empty_cluster, model):
    empty_cluster.cluster.adapt(minimum=1, maximum=3)
    with pytest.raises(fk.ClusterError, match=r"minimum=1\) for 3.*adapt\(minimum=3\)"):
        fk.distribute(model, empty_cluster, workers=3)
    empty_cluster.cluster.adapt(minimum=2, maximum=3)
    x = np.ones((1, 16, 16, 3), "float32")
    with fk.closing(fk.distribute(model, empty_cluster, workers=2)) as coded:
        np.testing.assert_allclose(coded(x), model(x), atol=1e-5)


def test_workers_with_several_threads_in_one_process(model):
    with (
        LocalCluster(
            n_workers=3,
            threads_per_worker=2,
            processes=False,
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
        fk.closing(fk.distribute(model, client, fallback="raise")) as coded,
    ):
        x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
        np.testing.assert_allclose(coded(x), model(x), atol=1e-5)


@pytest.fixture
def unclosed_sockets():
    """Has those go that a test leaves, while their warning is ignored."""
    yield
    IOLoop(make_current=False).close()  # Tornado forgets loops that ended with the next
    gc.collect()


# Dask closes a websocket when the other side has said so too, for which a loop that
# ends does not wait.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("unclosed_sockets")
def test_websockets(model):
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="ws://",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        fk.closing(
            fk.distribute(
                model, cluster.scheduler_address, stragglers=0, fallback="raise"
            )
        ) as coded,
    ):
        assert cluster.scheduler_address.startswith("ws://")
        x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
        with fk.trace(coded) as trace:
            np.testing.assert_allclose(coded(x), model(x), atol=1e-5)
        assert trace.records[0].transport == "direct"


def test_worker_of_another_version(client, model, monkeypatch):
    monkeypatch.setattr(probe, "__version__", "9.9.9")
    with pytest.raises(fk.ClusterError, match=r"fcdcc_keras 9\.9\.9.*scheduler: \d"):
        fk.distribute(model, client)


def test_functions_are_sent_by_their_names(client, model, monkeypatch):
    """What one Python has compiled ends the process of another that runs it."""
    sent, ask = [], PlainRequests.ask_scheduler

    async def asking(requests, op, **message):
        sent.append(pickle.dumps(message))
        return await ask(requests, op, **message)

    monkeypatch.setattr(PlainRequests, "ask_scheduler", asking)
    fk.close(fk.distribute(model, client))
    assert sum(b"resolve_name" in one for one in sent) == len(client.nthreads()) + 1
    assert not [one for one in sent if b"cloudpickle" in one]
    with pytest.raises((AttributeError, pickle.PicklingError)):
        named(lambda: b"")


def test_workers_without_the_package_and_without_an_engine(
    empty_cluster, model, tmp_path
):
    # Runs before anything else in those processes, and hides packages from them.
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(
            """
            import os, sys
            hidden = os.environ.get("HIDDEN", "").split()
            class Hide:
                def find_spec(self, name, path=None, target=None):
                    if name.partition(".")[0] in hidden:
                        raise ModuleNotFoundError(name)
            import importlib.util
            original = importlib.util.find_spec
            def find_spec(name, package=None):
                here = name.partition(".")[0] not in hidden
                return original(name, package) if here else None
            importlib.util.find_spec = find_spec
            sys.meta_path.insert(0, Hide())
            """
        )
    )
    address = empty_cluster.scheduler.address
    environment = {**worker_process.environment(), "PYTHONPATH": str(tmp_path)}
    processes = [
        subprocess.Popen(
            worker_process.command(address, nanny=False),
            env={**environment, "HIDDEN": hidden},
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
        )
        for hidden in ("fcdcc_keras", "ai_edge_litert tensorflow")
    ]
    try:
        empty_cluster.wait_for_workers(2, timeout=60)
        with pytest.raises(fk.ClusterError) as refused:
            fk.distribute(model, empty_cluster, stragglers=0)
        for lacks in (
            "fcdcc_keras is not installed",
            "neither LiteRT nor TensorFlow is installed",
        ):
            assert re.search(f"tcp://[^;]*: {lacks}", str(refused.value))
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_settings_of_a_worker_process(client):
    def settings():
        import os

        import dask

        names = ("worker.profile.enabled", "admin.tick.interval")
        return dict(os.environ), *(dask.config.get(f"distributed.{n}") for n in names)

    for variables, profiling, tick in client.run(settings).values():
        assert variables.items() >= worker_process.ALLOCATOR.items()
        assert variables["TF_NUM_INTRAOP_THREADS"] == "1"
        assert variables["OMP_NUM_THREADS"] == "1"
        assert variables["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
        assert variables["NVIDIA_TF32_OVERRIDE"] == "0"
        assert profiling is False
        assert tick == "1s"


def test_gpu_of_a_worker_process(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "CUDA_VISIBLE_DEVICES" not in worker_process.environment()
    assert worker_process.environment(gpu=3)["CUDA_VISIBLE_DEVICES"] == "3"
