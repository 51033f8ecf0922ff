"""What a worker takes, by its engine: memory, time to start, processor."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from benchmarks.figures.estimate import median, ratio
from benchmarks.figures.figure import Outcome
from benchmarks.figures.interleave import interleave
from benchmarks.figures.models import build, random_images
from benchmarks.figures.run import Run
from benchmarks.figures.worker_side import Subtask, cpu_seconds, keep
from benchmarks.scheduler import scheduler
from fcdcc_keras.errors import FcdccError
from fcdcc_keras.execution.executors.local import LocalExecutor
from fcdcc_keras.programs import to_text

if TYPE_CHECKING:
    from distributed import Client

    from fcdcc_keras.coding.job import Job

LIGHT, TENSORFLOW = "light", "tensorflow"
WORKERS, STRAGGLERS = 6, 2
_JOIN_TIMEOUT = 120.0


def idle_memory(run: Run) -> Outcome:
    """Measures ``worker_idle_mb``."""
    rounds = run.rounds(3)
    _, resident = _started(run, rounds)
    return Outcome(
        median(resident[LIGHT]),
        rounds,
        parts={f"{name}_mb": median(mb).to_json() for name, mb in resident.items()},
    )


def start(run: Run) -> Outcome:
    """Measures ``worker_start``."""
    rounds = run.rounds(5)
    seconds, _ = _started(run, rounds)
    return Outcome(
        ratio(seconds[LIGHT], seconds[TENSORFLOW]),
        rounds,
        parts={f"{name}_s": median(s).to_json() for name, s in seconds.items()},
    )


def cpu_vgg16(run: Run) -> Outcome:
    """Measures ``worker_cpu_vgg16``."""
    return _cpu(run, "VGG16")


def cpu_resnet50(run: Run) -> Outcome:
    """Measures ``worker_cpu_resnet50``."""
    return _cpu(run, "ResNet50")


def _started(
    run: Run, rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Starts workers by the command, one after another.

    Returns:
        Of each engine the seconds from the command until a worker has joined and is
        ready for subtasks, and the megabytes that it has in memory then.
    """
    client = run.shared("scheduler", _head)
    resident: dict[str, list[float]] = {LIGHT: [], TENSORFLOW: []}

    def started(engine: str) -> float:
        began = time.perf_counter()
        with _worker(client, engine) as process:
            seconds = time.perf_counter() - began
            resident[engine].append(process.memory_info().rss / 1e6)
        return seconds

    turns = {name: partial(started, name) for name in resident}
    seconds = interleave(turns, rounds, step=run.step)
    return seconds, {name: mb[1:] for name, mb in resident.items()}


def _cpu(run: Run, application: str) -> Outcome:
    rounds = run.rounds(9)
    client = run.shared("scheduler", _head)
    subtasks = _subtasks(application)
    with ExitStack() as stack:
        for engine in (LIGHT, TENSORFLOW):
            stack.enter_context(_worker(client, engine))
        client.run(keep, subtasks)

        def seconds(engine: str) -> float:
            (address,) = _addresses(client, engine)
            return float(client.run(cpu_seconds, workers=[address])[address])

        samples = interleave(
            {name: partial(seconds, name) for name in (LIGHT, TENSORFLOW)},
            rounds,
            step=run.step,
        )
    return Outcome(
        ratio(samples[LIGHT], samples[TENSORFLOW]),
        rounds,
        parts={
            f"{name}_ms": median(s).scaled(1e3).to_json() for name, s in samples.items()
        },
    )


class _Noting(LocalExecutor):
    """Notes the first worker's part of every layer."""

    def __init__(self) -> None:
        super().__init__(WORKERS)
        self.subtasks: list[Subtask] = []

    def run(self, job: Job) -> Any:
        (coded,) = job.encode([0])
        share = job.placement.held[0]
        self.subtasks.append((share, np.array(coded), to_text(job.program)))
        return super().run(job)


def _subtasks(application: str) -> list[Subtask]:
    import fcdcc_keras as fk

    executor = _Noting()
    coded = fk.distribute(build(application), executor, stragglers=STRAGGLERS)
    with fk.closing(coded):
        coded.predict_on_batch(random_images(1))
        return executor.subtasks


@contextmanager
def _head() -> Iterator[Client]:
    from distributed import Client

    with (
        scheduler("127.0.0.1") as (address, _),
        Client(address, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _worker(client: Client, engine: str) -> Iterator[psutil.Process]:
    """Starts a worker by the command, and gives its process when it is ready."""
    from fcdcc_keras.execution.cluster.probe import prepare

    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from fcdcc_keras.cli import main; main()"),
            *("worker", client.scheduler_info()["address"], "--no-nanny"),
            *("--engine", engine, "--name", engine),
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + _JOIN_TIMEOUT
        while not (joined := _addresses(client, engine)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise FcdccError(
                    "A worker must join its scheduler. Received: none with "
                    f"--engine {engine}. Install it: pip install "
                    "'fcdcc-keras[worker,cpu]'."
                )
            time.sleep(0.01)
        client.sync(prepare, client, joined)
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()
        while _addresses(client, engine):
            time.sleep(0.01)


def _addresses(client: Client, engine: str) -> list[str]:
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return [a for a, worker in workers.items() if worker["name"] == engine]
