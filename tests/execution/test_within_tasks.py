"""Distributing from within a Dask task, whose worker is one of those that are asked."""

import pytest


def distributed_within(where, address):
    """Returns the largest error of a model distributed in a task, and its trace."""
    import keras
    import numpy as np
    from distributed import get_client, worker_client

    import fcdcc_keras as fk

    keras.utils.set_random_seed(0)
    # The second takes so long that a worker computes it in a thread of its own.
    layers = [keras.layers.Conv2D(64, 3), keras.layers.Conv2D(384, 5)]
    plain = keras.Sequential([keras.Input((34, 34, 32)), *layers])
    x = np.random.default_rng(0).normal(size=(2, 34, 34, 32)).astype("float32")

    def attempt(cluster, **options):
        options |= {"stragglers": 0, "code": "uncoded", "fallback": "raise"}
        with fk.closing(fk.distribute(plain, cluster, **options)) as coded:
            with fk.trace(coded) as trace:
                error = float(np.abs(coded.predict(x, verbose=0) - plain(x)).max())
            used = {t.address for r in trace.records for t in r.subtasks if t.received}
            return error, trace.local_convolutions, len(used)

    if where == "worker_client":
        with worker_client(separate_thread=True) as client:
            return attempt(client)
    if where == "embedded":
        return attempt(None, workers=2)
    return attempt(get_client() if where == "get_client" else address)


@pytest.mark.parametrize(
    "where", ["address", "get_client", "worker_client", "embedded"]
)
def test_distributed_within_a_task(client, where):
    workers = 2 if where == "embedded" else len(client.nthreads())
    task = client.submit(
        distributed_within,
        where,
        client.scheduler.address,
        workers=[min(client.nthreads())],  # one that has loaded Keras need not again
        pure=False,
    )
    error, local, used = task.result(timeout=100)
    assert error < 1e-3
    assert (local, used) == (0, workers)
