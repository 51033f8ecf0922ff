"""A worker's process ends, and another begins at its address before anybody looks."""

import time

import keras
import numpy as np
import pytest
from distributed import Client, LocalCluster, Worker

import fcdcc_keras as fk


@pytest.fixture
def cluster():
    """Two workers in this process, and a third that is started and ended by itself."""
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            dashboard_address="127.0.0.1:0",
        ) as workers,
        Client(workers, set_as_default=False, direct_to_workers=True) as client,
    ):
        client.third = client.sync(start, client, 0)
        client.wait_for_workers(3, timeout=60)
        yield client
        client.sync(client.third.close)


async def start(client, port):
    return await Worker(
        client.scheduler.address,
        host="127.0.0.1",
        port=port,
        nthreads=1,
        dashboard_address="127.0.0.1:0",
    )


async def restart(client):
    """Has another worker at the address of one: what held its state is gone."""
    address, process = client.third.address, client.third.id
    await client.third.close()
    client.third = await start(client, int(address.rpartition(":")[2]))
    assert client.third.address == address
    assert client.third.id != process


@pytest.mark.parametrize("transport", ["tasks", "direct"])
def test_a_worker_is_restarted_at_its_old_address(cluster, transport):
    keras.utils.set_random_seed(0)
    plain = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3), keras.layers.Conv2D(4, 3)]
    )
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    expected = plain.predict_on_batch(x)
    options = {"transport": transport, "stragglers": 1, "fallback": "raise"}
    with fk.closing(fk.distribute(plain, cluster, **options)) as coded:
        executor = coded.layers[0].session.executor
        slot = executor.addresses.index(cluster.third.address)

        def answered():
            """Whether the third worker did, in the end, in the last of some calls."""
            with fk.trace(coded) as trace:
                for _ in range(3):
                    y = coded.predict_on_batch(x)
                    np.testing.assert_allclose(y, expected, atol=1e-5)
            assert trace.local_convolutions == 0
            tasks = [record.subtasks[slot] for record in trace.records]
            return any(t.outcome != "failed" and t.started for t in tasks)

        def until_answered():
            deadline = time.monotonic() + 90
            while not answered():
                assert time.monotonic() < deadline, "it does not serve again"

        until_answered()
        cluster.sync(restart, cluster)
        until_answered()
        assert executor.addresses[slot] == cluster.third.address
