"""Ports at which all is amiss that may be; and what the doctor's tests leave."""

import gc
import socket
from contextlib import ExitStack
from functools import cache

import pytest

from fcdcc_keras.doctor import asking, halos, on_worker, probes
from fcdcc_keras.doctor.asking import all_at_once
from tests.doctor.examining import wait


@pytest.fixture
def patient(monkeypatch):
    """Has the doctor wait for whatever may be slow, and measure for a moment only."""
    monkeypatch.setattr(on_worker, "_LEAST", 0.0)
    monkeypatch.setattr(halos, "RUNS", 2)
    monkeypatch.setattr(halos, "MANY", 3)
    monkeypatch.setattr(on_worker, "_measured", _measured)
    monkeypatch.setattr(asking, "_LARGEST", asking._SMALLEST)
    monkeypatch.setattr(probes, "all_at_once", _a_little_at_once)
    wait(monkeypatch)


def _a_little_at_once(ways, nbytes):
    return all_at_once(ways, min(nbytes, asking._SMALLEST))


_measured = cache(on_worker._measured)
"""Of the workers in this process, which are equally fast."""


@pytest.fixture(scope="module")
def freed():
    """Frees what was left to be: Dask's connections that are called off while they
    shake hands. What Python then says no other test is to hear."""
    yield
    gc.collect()


@pytest.fixture
def dead_port():
    """A port at which nothing listens, and that nobody else takes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def full_port():
    """A port that drops whatever comes: its queue is full."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]
