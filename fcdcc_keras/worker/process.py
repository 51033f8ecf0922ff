"""How a worker process is set up, embedded or by ``fcdcc-keras worker``.

Everything is said in the environment and on the command line, so that a worker
started here and one started on a board are the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from fcdcc_keras.worker.address import check_address
from fcdcc_keras.worker.installed import ENGINE, resolve

WAIT = 300.0
"""Seconds that a worker waits for its scheduler: boards boot before the head node."""

IN_FILE = "-"
"""In place of the scheduler's address, which ``--scheduler-file`` says."""

TICK = "1s"
"""How often Dask looks whether an event loop of ours is late."""

# Without these, glibc maps every large array from the kernel and faults it anew.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""Environment for glibc's allocator, read when a process starts."""


def environment(
    nthreads: int = 1, gpu: int | None = None, engine: str | None = None
) -> dict[str, str]:
    """Returns the environment that a worker process is started with.

    Args:
        nthreads: Threads for the engine's kernels.
        gpu: Index of the worker's only GPU; None leaves the choice to TensorFlow.
        engine: What is to compute; see ``engines.choice.resolve``. None: what this
            process's environment says, or "auto".

    Returns:
        This process's environment with the worker's settings added.
    """
    settings = {
        **ALLOCATOR,
        ENGINE: engine or os.environ.get(ENGINE) or "auto",
        "OMP_NUM_THREADS": str(nthreads),
        "OPENBLAS_NUM_THREADS": str(nthreads),
        "TF_NUM_INTRAOP_THREADS": str(nthreads),
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # The profiler would look at every thread a hundred times a second.
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
        # So does the watch over the event loop, fifty times a second: of what an idle
        # worker and its nanny take, most.
        "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": TICK,
        # Workers share a GPU's memory with others, and TF32's 10-bit mantissa
        # would void every error bound.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "NVIDIA_TF32_OVERRIDE": "0",
    }
    if gpu is not None:
        settings["CUDA_VISIBLE_DEVICES"] = str(gpu)
    return {**os.environ, **settings}


def command(
    address: str,
    *,
    name: str | None = None,
    nthreads: int = 1,
    memory_limit: str = "auto",
    nanny: bool = True,
) -> list[str]:
    """Returns the command line of one worker.

    Args:
        address: Address of the scheduler, as ``tcp://host:8786``.
        name: Name of the worker; default: made by Dask.
        nthreads: Threads for the engine's kernels; subtasks run one at a time.
        memory_limit: As for ``dask worker``; "0" for no limit.
        nanny: Whether a second process restarts the worker when it dies.
    """
    return [
        *(sys.executable, "-m", "distributed.cli.dask_worker", address),
        *("--nworkers", "1", "--nthreads", str(nthreads)),
        *("--memory-limit", memory_limit, "--no-dashboard"),
        "--nanny" if nanny else "--no-nanny",
        *(("--name", name) if name is not None else ()),
    ]


def lasting_command(
    address: str | None,
    *,
    wait: float = WAIT,
    tls: Mapping[str, str] | None = None,
    network: Mapping[str, str] | None = None,
    **options: Any,
) -> list[str]:
    """Returns the command line of a worker that comes back when it was cut off.

    Args:
        address: Address of the scheduler; None: "scheduler-file" says it.
        wait: Seconds to wait for the scheduler at first; when the worker comes back it
            waits as long as it takes.
        tls: Paths of "ca-file", "cert" and "key", in PEM.
        network: Further options of ``dask worker``, by name: "host", "interface",
            "worker-port", "nanny-port", "listen-address", "contact-address",
            "scheduler-file".
        **options: As for ``command``.
    """
    interpreter, flag, _, *arguments = command(address or IN_FILE, **options)
    more = {f"tls-{name}": path for name, path in (tls or {}).items()}
    more |= network or {}
    module = "fcdcc_keras.worker.main"
    given = [f"--{name}={value}" for name, value in more.items()]
    return [interpreter, flag, module, str(wait), *arguments, *given]


def serve(
    address: str | None,
    *,
    nthreads: int = 1,
    gpu: int | None = None,
    engine: str = "auto",
    **options: Any,
) -> None:
    """Becomes a worker until it is told to end; see ``lasting_command`` for arguments.

    The process is replaced, for the allocator and TensorFlow read their settings
    only once.

    Raises:
        ClusterError: The address is none, or there is no engine.
    """
    if gpu is not None and engine == "auto":
        engine = "tensorflow"  # no other uses one
    engine = resolve(engine)
    if address is not None:
        check_address(address)
    line = lasting_command(address, nthreads=nthreads, **options)
    os.execve(line[0], line, environment(nthreads, gpu, engine))
