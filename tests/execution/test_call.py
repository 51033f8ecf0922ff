"""A layer under way on workers that only exist on paper."""

import asyncio
import time

import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution import call
from fcdcc_keras.execution.base import Job
from fcdcc_keras.execution.dask import DaskExecutor
from fcdcc_keras.execution.operation import Convolution
from fcdcc_keras.execution.subtask import Reply

WORKERS = "abcd"
RESULT = np.zeros((2, 1, 1, 2), np.float32)


class _Client:
    """Runs what is to run on its loop, and nothing else."""

    status = "running"

    def sync(self, function, *args):
        return asyncio.run(function(*args))


class _Future:
    status = "finished"

    def release(self):
        self.status = "released"


class _Transport:
    """Workers answer at once, but those that are silent."""

    name = "paper"

    def __init__(self, silent=()):
        self.silent = silent

    def memory(self, nbytes):
        return None

    async def ping(self, address):
        pass

    def start(self, name, subtasks, conv):
        return [asyncio.ensure_future(self._answer(s.address)) for s in subtasks]

    async def _answer(self, address):
        if address in self.silent:
            await asyncio.Event().wait()
        now = time.time()
        return Reply(array=RESULT, started=now, finished=now, error=None)


def run(executor, encode):
    placement = executor.shares.new("layer", lambda slots: np.zeros((len(slots), 1)))
    for slot, address in enumerate(WORKERS):
        placement.held[slot] = address, _Future()
    job = Job(
        name="layer",
        code=fk.codes.get("crme")(1, 6, 4),
        placement=placement,
        encode=encode,
        convolution=Convolution((1, 1), (1, 1), ((0, 0), (0, 0))),
        result_shape=RESULT.shape,
        dtype=RESULT.dtype,
        timeout=5.0,
    )
    return executor.run(job)


@pytest.fixture
def nobody_looks(monkeypatch):
    """Only what happens can bring a layer on, within its timeout."""
    monkeypatch.setattr(call, "LOOK_EVERY", 1000.0)


@pytest.mark.usefixtures("nobody_looks")
def test_a_worker_that_is_free_again_as_a_layer_begins_is_used():
    executor = DaskExecutor(_Client(), WORKERS, _Transport(silent="a"))
    busy, item = executor.members.health["d"], object()
    busy.begin(item, time.monotonic(), None)
    busy.overtake(item)
    encoded = []

    def encode(slots, allocate=None):
        encoded.extend(slots)
        busy.end(item, time.monotonic())  # nobody is told: the layer is not under way
        return np.zeros((len(slots), 2, 1, 1, 1), np.float32)

    collector = run(executor, encode)
    assert encoded == [0, 1, 2, 3]  # the last one when the layer began
    assert collector.complete
    assert collector.survivors == (1, 2, 3)
