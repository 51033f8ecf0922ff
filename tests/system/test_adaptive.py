"""A cluster in this process that grows and shrinks while a model is distributed."""

import time

import keras
import numpy as np
import pytest
from distributed import Client, LocalCluster

import fcdcc_keras as fk
from fcdcc_keras.planning import Plan
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan

WORKERS, STRAGGLERS = 3, 1
SIZE = (48, 48)


@pytest.fixture
def cluster():
    """Brings as many workers up as it is told to, and keeps those that hold kernels."""
    options = {"n_workers": 0, "processes": False, "threads_per_worker": 1}
    with LocalCluster(dashboard_address="127.0.0.1:0", **options) as cluster:
        adapt(cluster, WORKERS)
        with Client(cluster, set_as_default=False) as client:
            client.wait_for_workers(WORKERS, timeout=60)
            yield client


def adapt(cluster, minimum):
    cluster.adapt(minimum=minimum, maximum=3 * WORKERS, interval="50ms", wait_count=1)


def model():
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(8, 3, padding="same", activation="relu", name=f"conv_{i}")
        for i in range(2)
    ]
    return keras.Sequential([keras.Input((*SIZE, 3), name="photo"), *layers])


def in_tiles(plain):
    stretch = StretchPlan("", "photo", SIZE, (ChainPlan("conv_1", "workers", False),))
    return Plan(plain.name, WORKERS, STRAGGLERS, (), stretches=(stretch,))


class Long:
    """A prediction that goes on and on, each part of which is compared."""

    def __init__(self, plain, coded):
        self.plain, self.coded = plain, coded
        self.x = np.random.default_rng(0).normal(size=(2, *SIZE, 3)).astype("float32")
        self.expected = plain.predict_on_batch(self.x)

    def used(self):
        """Returns the workers whose results one more part has used."""
        with fk.trace(self.coded) as trace:
            y = self.coded.predict_on_batch(self.x)
        np.testing.assert_allclose(y, self.expected, atol=1e-5)
        assert trace.local_convolutions == 0
        subtasks = [task for record in trace.records for task in record.subtasks]
        return {task.address for task in subtasks if task.outcome == "used"}

    def until(self, condition):
        deadline = time.monotonic() + 60
        while not condition(self.used()):
            assert time.monotonic() < deadline, "it did not happen in time"


def taken_away(client, addresses):
    """Has workers leave, without asking who needs them."""
    closing = [w for w in client.cluster.workers.values() if w.address in addresses]
    assert len(closing) == len(addresses)
    for worker in closing:
        client.sync(worker.close)


def test_who_joins_an_adaptive_cluster_takes_tiles(cluster):
    client, plain = cluster, model()
    with fk.closing(
        fk.distribute(
            plain, client, plan=in_tiles(plain), transport="tasks", fallback="raise"
        )
    ) as coded:
        long = Long(plain, coded)
        long.until(lambda used: len(used) == WORKERS)
        first = set(client.nthreads())
        # Up to twice as many as it was planned for, and no more.
        adapt(client.cluster, 3 * WORKERS)
        long.until(lambda used: len(used) == 2 * WORKERS)
        assert len(client.nthreads()) == 3 * WORKERS
        # Those that were there at first leave, all at once.
        taken_away(client, first)
        long.until(lambda used: len(used) == 2 * WORKERS and not used & first)


def test_spare_workers_of_an_adaptive_cluster_take_the_shares_of_the_dead(cluster):
    client, plain = cluster, model()
    options = {"workers": WORKERS, "stragglers": STRAGGLERS, "transport": "tasks"}
    adapt(client.cluster, 2 * WORKERS)
    client.wait_for_workers(2 * WORKERS, timeout=60)
    with fk.closing(
        fk.distribute(plain, client, fallback="raise", objective="price", **options)
    ) as coded:
        executor = coded.layers[0].session.executor
        long = Long(plain, coded)
        long.used()
        first = set(executor.addresses)
        long.until(lambda _: len(executor.crew.spare()) == WORKERS)
        taken_away(client, first)
        long.until(lambda used: used and not used & first)
        assert set(executor.addresses).isdisjoint(first)
        assert len(set(executor.addresses)) == WORKERS


def test_an_adaptive_cluster_shrinks_by_as_many_as_may_be_missing(cluster):
    """Nobody comes instead, and no layer waits, or is computed by the client."""
    client, plain = cluster, model()
    with fk.closing(
        fk.distribute(
            plain, client, stragglers=STRAGGLERS, fallback="raise", transport="tasks"
        )
    ) as coded:
        long = Long(plain, coded)
        executor = coded.layers[0].session.executor
        # A smaller minimum alone takes none away that hold kernels.
        adapt(client.cluster, WORKERS - STRAGGLERS)
        gone = set(executor.addresses[:STRAGGLERS])
        taken_away(client, gone)
        long.until(lambda _: executor.left() == WORKERS - STRAGGLERS)
        assert len(long.used() - gone) == WORKERS - STRAGGLERS
        assert set(client.nthreads()).isdisjoint(gone)
