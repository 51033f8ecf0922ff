"""Nothing is left on scheduler, workers and client, however a model ends."""

import _thread
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from contextlib import contextmanager

import keras
import numpy as np
import pytest
from distributed import Client

import fcdcc_keras as fk
from fcdcc_keras.coding.codec import LayerCodec
from fcdcc_keras.execution.cluster.embedded import (
    start_local_cluster,
    stop_local_cluster,
)
from tests.lean_keras import LEAN
from tests.waiting import until

WORKERS = 3
LAYERS = 2


@pytest.fixture(scope="module")
def cluster():
    client = start_local_cluster(WORKERS)
    yield client
    stop_local_cluster(client)


@pytest.fixture
def distribute(cluster):
    """Distributes models, and closes them whatever becomes of the test."""
    made = []

    def distribute(plain, client=cluster, **options):
        coded = fk.distribute(plain, client, **{"fallback": "raise", **options})
        made.append(weakref.ref(coded))
        return coded

    yield distribute
    for coded in made:
        if coded() is not None:
            fk.close(coded())
    nothing_is_left(cluster)


def model():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(8, 3, name=f"conv_{i}") for i in range(LAYERS)]
    return keras.Sequential([keras.Input((24, 24, 3)), *layers])


def images(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 24, 24, 3)).astype("float32")


def check(plain, coded, calls=1):
    with fk.trace(coded) as trace:
        for call in range(calls):
            x = images(call)
            np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
    return trace


def left(client):
    """What there is of ours: keys, by where they are."""

    def on_scheduler(dask_scheduler):
        keys = [*dask_scheduler.tasks, *dask_scheduler.unrunnable]
        return [str(key) for key in keys] + [
            f"an actor on {w}" for w, s in dask_scheduler.workers.items() if s.actors
        ]

    def on_worker(dask_worker):
        return [str(key) for key in (*dask_worker.data, *dask_worker.state.tasks)]

    found = {
        "scheduler": client.run_on_scheduler(on_scheduler),
        **client.run(on_worker),
        "client": [str(key) for key in client.futures],
    }
    ours = {
        place: {k for k in keys if "fcdcc" in k or "actor" in k}
        for place, keys in found.items()
    }
    return {place: keys for place, keys in ours.items() if keys}


def nothing_is_left(client):
    try:
        until(lambda: not left(client))
    except AssertionError:
        pytest.fail(f"left: {left(client)}")


def only_kernels_are_left(client, workers=WORKERS):
    def only_kernels():
        keys = left(client).get("scheduler", set())
        return len(keys) == LAYERS * workers and all(":kernel:" in k for k in keys)

    until(only_kernels)


@contextmanager
def stopped(client, address):
    pid = client.run(os.getpid, workers=[address])[address]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


TRANSPORTS = pytest.mark.parametrize("transport", ["tasks", "direct"])


def test_workers_load_tensorflow_without_keras(cluster):
    """Which would take longer, and much of a small board's memory."""

    def loaded():
        import os
        import sys

        from fcdcc_keras.worker.loading import prepare_tensorflow

        prepare_tensorflow()
        setting = os.environ.get("TF_USE_LEGACY_KERAS")
        return [name in sys.modules for name in ("tensorflow", "keras")], setting

    worker, *_ = cluster.nthreads()
    assert cluster.submit(loaded, workers=worker).result() == ([True, False], None)
    # Tasks of others may want it.
    version = cluster.submit(
        lambda: __import__("tensorflow").keras.__version__, workers=worker
    )
    assert version.result() == keras.__version__


@TRANSPORTS
def test_closed(cluster, distribute, transport):
    plain = model()
    coded = distribute(plain, transport=transport)
    check(plain, coded, 3)
    only_kernels_are_left(cluster)
    fk.close(coded)
    nothing_is_left(cluster)


@TRANSPORTS
def test_garbage_collected(cluster, distribute, transport):
    coded = distribute(model(), transport=transport)
    coded.predict(images(), verbose=0)
    del coded
    until(lambda: gc.collect() >= 0 and not left(cluster))


@TRANSPORTS
def test_the_client_is_closed(cluster, distribute, transport):
    plain = model()
    address = cluster.scheduler.address
    with Client(address, set_as_default=False, direct_to_workers=True) as own:
        coded = distribute(plain, own, transport=transport, fallback="local")
        check(plain, coded)
    nothing_is_left(cluster)
    with pytest.warns(RuntimeWarning, match="the client is closed"):
        assert check(plain, coded).local_convolutions == LAYERS


def test_the_process_of_the_client_is_killed(cluster):
    script = f"""
    import keras, numpy as np
    import fcdcc_keras as fk
    from distributed import Client
    client = Client({cluster.scheduler.address!r}, direct_to_workers=True)
    layers = [keras.layers.Conv2D(8, 3) for _ in range({LAYERS})]
    model = keras.Sequential([keras.Input((24, 24, 3)), *layers])
    coded = fk.distribute(model, client, fallback="raise")
    x = np.zeros((2, 24, 24, 3), "float32")
    coded(x)
    print("started", flush=True)
    while True:
        coded(x)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", LEAN + textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "started\n"
        assert left(cluster)
        process.kill()
    nothing_is_left(cluster)


def test_the_cluster_is_restarted(cluster, distribute):
    plain = model()
    coded = distribute(plain, fallback="local")
    check(plain, coded)
    before = set(cluster.nthreads())
    cluster.restart()
    assert before.isdisjoint(cluster.nthreads())

    def on_workers_again():
        with warnings.catch_warnings():
            # New workers load their engine first; until then the client computes.
            warnings.simplefilter("ignore", RuntimeWarning)
            return check(plain, coded).local_convolutions == 0

    def all_new():  # one of the old may keep its share for a while: it is not missed
        check(plain, coded)
        return before.isdisjoint(addresses(coded))

    until(on_workers_again)
    until(all_new)
    until(lambda: check(plain, coded) and len(set(addresses(coded))) == WORKERS)


def addresses(coded):
    return coded.layers[0].session.executor.addresses


@TRANSPORTS
def test_an_exception_in_the_middle_of_a_layer(
    cluster, distribute, transport, monkeypatch
):
    plain = model()
    coded = distribute(plain, transport=transport)
    check(plain, coded)

    def fail(*args):
        raise RuntimeError("no memory for this")

    for method in ("encode", "decode"):
        with monkeypatch.context() as patch:
            patch.setattr(LayerCodec, method, fail)
            with pytest.raises(RuntimeError, match="no memory for this"):
                coded(images())
        only_kernels_are_left(cluster)
        assert check(plain, coded, 2).local_convolutions == 0


@TRANSPORTS
def test_ctrl_c_in_the_middle_of_a_layer(cluster, distribute, transport):
    plain = model()
    coded = distribute(plain, transport=transport, stragglers=0)
    check(plain, coded)
    executor = coded.layers[0].session.executor
    with stopped(cluster, executor.addresses[1]):
        with ctrl_c(executor), pytest.raises(KeyboardInterrupt):
            coded(images())
        until(lambda: not executor._calls)  # though the layer's time is not up
    until(lambda: len(executor.free) == WORKERS)
    only_kernels_are_left(cluster)
    assert check(plain, coded, 2).local_convolutions == 0


@contextmanager
def ctrl_c(executor):
    """Interrupts this thread as soon as a layer waits for its last answer."""

    def waits():
        survivors = [call.collector.survivors for call in executor._calls]
        return any(len(found) == WORKERS - 1 for found in survivors)

    def interrupt():
        until(waits)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        thread.join()  # or it might interrupt another test


@TRANSPORTS
@pytest.mark.parametrize("how", ["model", "model and its client", "client"])
def test_closed_in_the_middle_of_a_layer(cluster, transport, how):
    """By another thread; the layer would wait for a stopped worker for a minute."""
    plain, address = model(), cluster.scheduler.address
    with Client(address, set_as_default=False, direct_to_workers=True) as own:
        options = {"transport": transport, "stragglers": 0, "timeout": 1000.0}
        # Whoever closes a model wants no error, and no warning.
        options["fallback"] = "local" if how == "client" else "raise"
        where = address if how == "model and its client" else own
        coded = fk.distribute(plain, where, **options)
        check(plain, coded)
        executor = coded.layers[0].session.executor
        came = []
        thread = threading.Thread(target=lambda: came.append(coded(images())))
        with stopped(cluster, executor.addresses[1]), warnings.catch_warnings():
            if how == "client":
                warnings.filterwarnings("ignore", ".*the client is closed")
            thread.start()
            until(lambda: executor._calls)
            own.close() if how == "client" else fk.close(coded)
            thread.join(60)
            assert not thread.is_alive()
        np.testing.assert_allclose(came[0], plain(images()), atol=1e-5)
        assert check(plain, coded).local_convolutions == LAYERS
        fk.close(coded)
    nothing_is_left(cluster)


@TRANSPORTS
@pytest.mark.parametrize("how", ["model", "client"])
def test_closed_while_threads_predict(cluster, transport, how):
    plain, address = model(), cluster.scheduler.address
    with Client(address, set_as_default=False, direct_to_workers=True) as own:
        options = {"transport": transport, "timeout": 1000.0, "fallback": "local"}
        coded = fk.distribute(plain, address if how == "model" else own, **options)
        expected, failed = plain(images()), []
        enough = [threading.Event() for _ in range(4)]
        closed = threading.Event()

        def predict(enough):
            try:
                last = False
                while not last:
                    last = closed.is_set()
                    np.testing.assert_allclose(coded(images()), expected, atol=1e-5)
                    enough.set()
            except BaseException as error:
                failed.append(error)
                enough.set()

        threads = [threading.Thread(target=predict, args=[e]) for e in enough]
        with warnings.catch_warnings():
            if how == "client":
                warnings.filterwarnings("ignore", ".*the client is closed")
            for thread in threads:
                thread.start()
            for event in enough:
                event.wait(60)
            fk.close(coded) if how == "model" else own.close()
            closed.set()
            for thread in threads:
                thread.join(60)
        assert not failed
        assert not any(thread.is_alive() for thread in threads)
        fk.close(coded)
    nothing_is_left(cluster)


@TRANSPORTS
def test_a_worker_answers_late(cluster, distribute, transport):
    plain = model()
    coded = distribute(plain, transport=transport)
    check(plain, coded)
    executor = coded.layers[0].session.executor
    with stopped(cluster, executor.addresses[0]):
        assert check(plain, coded, 2).local_convolutions == 0
    until(lambda: len(executor.free) == WORKERS)
    only_kernels_are_left(cluster)
    with stopped(cluster, executor.addresses[0]):
        check(plain, coded, 2)
        fk.close(coded)  # does not wait for it
    nothing_is_left(cluster)


@pytest.mark.parametrize("seed", range(4))
def test_closed_while_shares_are_on_their_way(cluster, distribute, seed):
    plain = model()
    coded = distribute(plain)
    for layer in coded.layers:  # new kernels are placed beside the loop
        layer.kernel.assign(layer.kernel * 2)
        layer.coded.place(layer.kernel_array())
    time.sleep(seed / 1000)  # at another step of each placing
    fk.close(coded)
    nothing_is_left(cluster)
