"""Direct ways to workers that are cut, while scheduler and workers are well."""

import asyncio
import logging
import time

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.execution.cluster import members
from fcdcc_keras.execution.executors import connect
from fcdcc_keras.wire import routes
from fcdcc_keras.wire.requests import PlainRequests
from fcdcc_keras.wire.tasks import TaskTransport
from fcdcc_keras.worker.connection import Connection
from tests.waiting import until


@pytest.fixture
def dropping(monkeypatch):
    """Addresses to which nothing that is sent directly arrives, and nothing fails."""
    addresses = set()
    line, plain = Connection.ask, PlainRequests.ask

    async def ask_line(self, op, **message):
        answer = await line(self, op, **message)
        return await _lost() if self._address in addresses else answer

    async def ask(self, address, op, **message):
        if address in addresses:
            await _lost()
        return await plain(self, address, op, **message)

    monkeypatch.setattr(Connection, "ask", ask_line)
    monkeypatch.setattr(PlainRequests, "ask", ask)
    monkeypatch.setattr(routes, "_TRY_AGAIN", 0.1)
    return addresses


async def _lost():
    await asyncio.Event().wait()


def model(layers=2):
    keras.utils.set_random_seed(0)
    convolutions = [keras.layers.Conv2D(8, 3) for _ in range(layers)]
    return keras.Sequential([keras.Input((24, 24, 3)), *convolutions])


def check(plain, coded):
    x = np.random.default_rng(0).normal(size=(2, 24, 24, 3)).astype("float32")
    with fk.trace(coded) as trace:
        np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
    return trace


@pytest.mark.parametrize("cut", [4, 1])
def test_a_direct_way_is_cut(client, dropping, caplog, cut, monkeypatch):
    # On a machine that is busy no worker is to be taken for lost meanwhile.
    monkeypatch.setattr(members, "PING_TIMEOUT", 60.0)
    monkeypatch.setattr(routes, "_PATIENCE", 60.0)
    plain = model()
    # All are needed, so that it is the cut ones that answer.
    options = {"stragglers": 0, "code": "uncoded", "fallback": "raise"}
    with fk.closing(fk.distribute(plain, client, **options)) as coded:
        assert check(plain, coded).records[-1].transport == "direct"
        executor = coded.layers[0].session.executor
        gone = executor.addresses[:cut]
        dropping.update(gone)
        began = time.monotonic()
        with caplog.at_level(logging.WARNING):
            trace = check(plain, coded)
        assert time.monotonic() - began < 30  # half of the timeout
        assert trace.records[-1].transport == "direct, tasks"
        assert sorted(trace.summary().outcomes) == sorted(executor.addresses)
        for address in gone:
            assert f"{address} answers the scheduler, but not this" in caplog.text
        # New kernels find their way, too.
        for one in plain.layers, coded.layers:
            one[0].kernel.assign(one[0].kernel + 1)
        check(plain, coded)
        dropping.clear()
        until(lambda: check(plain, coded).records[-1].transport == "direct")


def test_a_way_that_is_cut_from_the_start(client, dropping, monkeypatch):
    monkeypatch.setattr(connect, "REACH_TIMEOUT", 0.3)
    plain, gone = model(), min(client.nthreads())
    dropping.add(gone)
    with pytest.raises(fk.ClusterError, match=f"Received: no answer from {gone}"):
        fk.distribute(plain, client, transport="direct")
    with fk.closing(fk.distribute(plain, client, fallback="raise")) as coded:
        assert check(plain, coded).records[-1].transport == "tasks"


def test_within_gamma_such_a_worker_is_used_again(client, dropping):
    plain = model()
    with fk.closing(fk.distribute(plain, client, fallback="raise")) as coded:
        check(plain, coded)
        gone = coded.layers[0].session.executor.addresses[0]
        dropping.add(gone)
        # No layer waits for it, and still it is found out.
        until(lambda: check(plain, coded).records[-1].transport == "direct, tasks")
        records = []

        def answers():  # not soon enough to be used, perhaps
            records.extend(check(plain, coded).records)
            return any(record.subtasks[0].received for record in records)

        until(answers)


def test_who_has_kept_a_layer_waiting_does_not_keep_the_next():
    """Though it was sent its part anew, when a connection had broken in between."""
    crew = Crew("ab")
    crew.health["a"].begin("part", 0.0, None)
    assert crew.alive(1.0, 60) == [0, 1]
    crew.health["a"].overtake("part", given_up=True)
    assert crew.alive(1.0, 60) == [1]


def test_a_silent_cluster_takes_one_timeout(client, dropping, monkeypatch):
    """Whatever is silent: no layer after the first waits for as long again."""

    async def silent(self, *args, **kwargs):
        await _lost()

    monkeypatch.setattr(TaskTransport, "ping", silent)
    plain, timeout = model(6), 2.0
    with fk.closing(fk.distribute(plain, client, timeout=timeout)) as coded:
        check(plain, coded)
        dropping.update(coded.layers[0].session.executor.addresses)
        with pytest.warns(RuntimeWarning, match="The client computes"):
            trace = check(plain, coded)
        assert trace.local_convolutions == 6
        waited = [record.collect for record in trace.records]
        assert waited[0] > 0.9 * timeout
        assert max(waited[1:]) < 0.9 * timeout
