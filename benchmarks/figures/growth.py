"""What grows: overhead with the number of workers, memory with the number of images."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.figures.anatomy import Watched
from benchmarks.figures.estimate import median, slope
from benchmarks.figures.figure import Outcome
from benchmarks.figures.idle_layer import SMALL, IdleLayer, OwnTime, waves
from benchmarks.figures.interleave import Contender, interleave
from benchmarks.figures.run import Run

if TYPE_CHECKING:
    from distributed import Client

SIZES = (2, 4, 8, 16, 32)
"""n of the points that the slope is fitted through."""
HOSTS = 4
"""Processes that hold the workers."""
_WARM_UP = 5


def overhead_slope(run: Run) -> Outcome:
    """Measures ``overhead_slope_ms_per_worker``."""
    rounds = run.rounds(30, _WARM_UP)
    client = run.shared("crowd", lambda: _crowd(max(SIZES)))
    with ExitStack() as stack:
        layers = {n: stack.enter_context(IdleLayer(client, n, SMALL)) for n in SIZES}
        contenders: dict[str, Contender] = {
            str(n): layer.whole for n, layer in layers.items()
        }
        contenders["convolution"] = OwnTime(client, layers[SIZES[0]])
        samples = interleave(contenders, rounds, warm_up=_WARM_UP, step=run.step)
    own = float(np.median(samples["convolution"]))
    beyond = {
        float(n): [seconds - waves(n) * own for seconds in samples[str(n)]]
        for n in SIZES
    }
    transport = {
        n: [record.collect for record in layer.records[-rounds:]]
        for n, layer in layers.items()
    }
    return Outcome(
        slope(beyond).scaled(1e3),
        rounds,
        sum(layer.client_convolutions for layer in layers.values()),
        {
            "overhead_ms": _points(beyond),
            "of_this_transport_ms": _points(transport),
        },
    )


def _points(samples: Mapping[Any, Sequence[float]]) -> dict[str, Any]:
    return {
        f"{n:g}": median(seconds).scaled(1e3).to_json()
        for n, seconds in samples.items()
    }


def client_memory(run: Run) -> Outcome:
    """Measures ``client_memory_growth``: the last fifth of images over the first."""
    import keras
    import psutil

    import fcdcc_keras as fk
    from benchmarks.figures.models import random_images

    images = max(run.images, 10)
    run.rounds(images)
    client = run.loopback(4)
    keras.utils.set_random_seed(0)
    model = keras.applications.VGG16(weights=None)
    process = psutil.Process(os.getpid())
    resident: list[float] = []
    coded = fk.distribute(model, client, stragglers=1, code="crme")
    with fk.closing(coded):
        watched = Watched(coded, random_images(1))
        for _ in range(3):
            watched.predict()
        run.step()
        for _ in range(images):
            watched.predict()
            gc.collect()
            resident.append(process.memory_info().rss / 1e6)
            run.step()
    fifth = images // 5
    first, last = resident[:fifth], resident[-fifth:]
    usual = median(first).value
    return Outcome(
        median([mb / usual - 1 for mb in last]).scaled(100),
        images,
        watched.client_convolutions,
        {
            "first_mb": usual,
            "last_mb": median(last).value,
            "most_mb": max(resident),
            "images": images,
        },
    )


@contextmanager
def _crowd(workers: int) -> Iterator[Client]:
    """Many workers in few processes: 32 processes with TensorFlow fit few machines."""
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=0,
                processes=False,
                dashboard_address="127.0.0.1:0",
                protocol="tcp://",
                host="127.0.0.1",
                silence_logs=logging.CRITICAL,
            )
        )
        for _ in range(HOSTS):
            stack.enter_context(_host(cluster.scheduler_address, workers // HOSTS))
        client = Client(cluster, set_as_default=False, direct_to_workers=True)
        with client:
            client.wait_for_workers(workers, timeout=120)
            yield client


@contextmanager
def _host(scheduler: str, workers: int) -> Iterator[Any]:
    from fcdcc_keras.worker.process import environment

    command = [sys.executable, "-m", "benchmarks.figures.worker_host"]
    process = subprocess.Popen(
        [*command, scheduler, str(workers)],
        env={**environment(), "DASK_LOGGING__DISTRIBUTED": "critical"},
        stdin=subprocess.PIPE,
        # Ctrl-C is for the client.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
