"""How a worker process is set up, embedded or by ``fcdcc-keras worker``.

Everything is said in the environment and on the command line, so that a worker
started here and one started on a board are the same.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.worker.address import check_address
from fcdcc_keras.worker.allocator import ALLOCATOR
from fcdcc_keras.worker.capacity import workers_here
from fcdcc_keras.worker.installed import ENGINE, resolve

WAIT = 300.0
"""Seconds that a worker waits for its scheduler: boards boot before the head node."""

GRACE = 20.0
"""Seconds that a worker goes on for when it is told to end: Kubernetes kills after 30,
Slurm too."""
IN_GRACE = "FCDCC_GRACE"
"""Where a worker's process finds that, in its environment."""

PRELOAD = "fcdcc_keras.preload"
"""What Dask loads into our workers and their nannies."""

IN_FILE = "-"
"""In place of the scheduler's address, which ``--scheduler-file`` says."""

TICK = "1s"
"""How often Dask looks whether an event loop of ours is late."""

CONFIGURED = {
    # The profiler would look at every thread a hundred times a second.
    "distributed.worker.profile.enabled": False,
    # So does the watch over the event loop, fifty times a second: of what an idle
    # worker and its nanny take, most.
    "distributed.admin.tick.interval": TICK,
}
"""What is set in Dask's configuration."""

ENVIRONMENT = {
    **ALLOCATOR,
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # Workers share a GPU's memory with others, and TF32's 10-bit mantissa
    # would void every error bound.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "NVIDIA_TF32_OVERRIDE": "0",
    **{
        f"DASK_{name.upper().replace('.', '__')}": str(value)
        for name, value in CONFIGURED.items()
    },
}
"""What is set in the environment of every worker."""


def variables(
    nthreads: int = 1,
    gpu: int | None = None,
    engine: str | None = None,
    grace: float | None = None,
) -> dict[str, str]:
    """Returns what is set in the environment of a worker.

    Args:
        nthreads: Threads for the engine's kernels.
        gpu: Index of the worker's only GPU; None leaves the choice to TensorFlow.
        engine: What is to compute; see ``engines.choice.resolve``. None: what this
            process's environment says, or "auto".
        grace: Seconds that it goes on for when it is told to end. None: likewise, or
            ``GRACE``.
    """
    return {
        **ENVIRONMENT,
        ENGINE: engine or os.environ.get(ENGINE) or "auto",
        IN_GRACE: str(grace_of(os.environ) if grace is None else grace),
        "OMP_NUM_THREADS": str(nthreads),
        "OPENBLAS_NUM_THREADS": str(nthreads),
        "TF_NUM_INTRAOP_THREADS": str(nthreads),
        **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": str(gpu)}),
    }


def environment(**said: Any) -> dict[str, str]:
    """Returns this process's environment with what ``variables`` sets, as said."""
    return {**os.environ, **variables(**said)}


def grace_of(variables: Mapping[str, str]) -> float:
    """Returns the seconds that a worker goes on for when it is told to end."""
    return float(variables.get(IN_GRACE, GRACE))


def command(
    address: str,
    *,
    name: str | None = None,
    workers: int = 1,
    nthreads: int = 1,
    memory_limit: str = "auto",
    nanny: bool = True,
    dashboard: bool = False,
) -> list[str]:
    """Returns the command line of workers.

    Args:
        address: Address of the scheduler, as ``tcp://host:8786``.
        name: Name of the worker, or what those of several begin with; default: made
            by Dask.
        workers: How many.
        nthreads: Threads for the engine's kernels; subtasks run one at a time.
        memory_limit: As for ``dask worker``; "0" for no limit.
        nanny: Whether a second process restarts the worker when it dies.
        dashboard: Whether it has a page of its own.
    """
    return [
        *(sys.executable, "-m", "distributed.cli.dask_worker", address),
        *("--nworkers", str(workers), "--nthreads", str(nthreads)),
        *("--memory-limit", memory_limit),
        "--dashboard" if dashboard else "--no-dashboard",
        "--nanny" if nanny else "--no-nanny",
        *(("--name", name) if name is not None else ()),
    ]


def lasting_command(
    address: str | None,
    *,
    wait: float = WAIT,
    wait_again: float = math.inf,
    more: Sequence[tuple[str, str]] = (),
    **options: Any,
) -> list[str]:
    """Returns the command line of workers that come back when they were cut off.

    Args:
        address: Address of the scheduler; None: "scheduler-file" says it.
        wait: Seconds to wait for the scheduler at first.
        wait_again: The same when they come back.
        more: Further options of ``dask worker``, each with its name.
        **options: As for ``command``.
    """
    interpreter, flag, _, *arguments = command(address or IN_FILE, **options)
    module = "fcdcc_keras.worker.main"
    given = [f"--{name}={value}" for name, value in more]
    waits = str(wait), str(wait_again)
    return [interpreter, flag, module, *waits, *arguments, *given]


def serve(
    address: str | None,
    *,
    workers: int | None = 1,
    nthreads: int = 1,
    memory_limit: str = "auto",
    nanny: bool = True,
    gpu: int | None = None,
    engine: str = "auto",
    grace: float = GRACE,
    **options: Any,
) -> None:
    """Becomes workers until they are told to end.

    The process is replaced, for the allocator and TensorFlow read their settings
    only once.

    Args:
        address: See ``lasting_command``, as for what is not named here.
        workers: How many; None: as many as this machine can have.
        nthreads: See ``variables``.
        memory_limit: See ``command``.
        nanny: Likewise.
        gpu: See ``variables``.
        engine: Likewise.
        grace: Likewise.
        **options: See ``lasting_command``.

    Raises:
        ClusterError: The address is none, or there is no engine, or several workers
            would have nobody to watch over them.
    """
    if gpu is not None and engine == "auto":
        engine = "tensorflow"  # no other uses one
    engine = resolve(engine)
    if address is not None:
        check_address(address)
    if workers is None:
        workers = workers_here(nthreads, memory_limit, engine) if nanny else 1
    elif workers > 1 and not nanny:
        raise ClusterError(
            "Several workers need a process that starts and watches over them. "
            f"Received: --nworkers {workers} with --no-nanny. Leave --no-nanny out."
        )
    line = lasting_command(
        address,
        workers=workers,
        nthreads=nthreads,
        memory_limit=memory_limit,
        nanny=nanny,
        **options,
    )
    said = {"nthreads": nthreads, "gpu": gpu, "engine": engine, "grace": grace}
    os.execve(line[0], line, environment(**said))
