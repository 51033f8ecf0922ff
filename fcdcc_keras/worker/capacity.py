"""How many workers a machine can have."""

from __future__ import annotations

from fcdcc_keras.dask_internals import memory_here
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.worker.cores import cores
from fcdcc_keras.worker.installed import MEMORY

KERNELS = 120e6
"""Bytes that a worker gets for kernels, beside its engine, where nobody says more."""


def most_workers(
    cores: int, nthreads: int, memory: float, needed: float, limit: float = 0.0
) -> int:
    """Returns how many workers there are to be: at least 1.

    Args:
        cores: That this machine has for them.
        nthreads: Of each worker.
        memory: Bytes that are free.
        needed: Bytes that a worker takes at least.
        limit: Bytes that each may take, where that was said; 0: it was not.
    """
    return max(1, min(cores // nthreads, int(memory // max(needed, limit))))


def workers_here(nthreads: int, memory_limit: str, engine: str) -> int:
    """Returns how many workers this machine can have now.

    Args:
        nthreads: Of each.
        memory_limit: As for ``dask worker``.
        engine: What they compute with: "light" or "tensorflow".

    Raises:
        ClusterError: The limit is none.
    """
    total, free = memory_here()
    needed = MEMORY[engine] + KERNELS
    limit = limit_of(memory_limit, total)
    return most_workers(cores(), nthreads, free, needed, limit)


def limit_of(text: str, total: float) -> float:
    """Returns the bytes that each worker may take; 0: that is not said.

    Args:
        text: As for ``dask worker``: a size, a share of all memory, "auto", or "0".
        total: Bytes that the machine has.

    Raises:
        ClusterError: It is none of these.
    """
    from dask.utils import parse_bytes

    if text == "auto":
        return 0.0
    try:
        said = float(text)
    except ValueError:
        try:
            return float(parse_bytes(text))
        except ValueError:
            said = -1.0
    if not said >= 0:  # NaN is neither
        raise ClusterError(
            "A worker's memory limit must be a size, a share of the machine's memory, "
            f"auto, or 0 for none. Received: {text!r}. Write for example "
            "--memory-limit 1.5GB."
        )
    return said * total if said <= 1 else said
