"""What is left when it is over: memory of processes, keys on scheduler and workers."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.faults.script import steady_places

if TYPE_CHECKING:
    from distributed import Client

    from benchmarks.faults.places import Site

_PATIENCE = 15.0
"""Seconds within which everything must be released."""


def resident(site: Site, client: psutil.Process) -> dict[str, float]:
    """Returns the resident megabytes of client, scheduler and steady workers."""
    gc.collect()
    processes = {"client": client, "scheduler": site.scheduler}
    for index in steady_places(len(site.places)):
        processes[f"worker {index}"] = site.places[index].worker()
    return {name: p.memory_info().rss / 1e6 for name, p in processes.items()}


def leftovers(client: Client) -> dict[str, list[str]]:
    """Returns what the scheduler and each worker still hold, after some patience."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = {"scheduler": client.run_on_scheduler(_on_scheduler)}
        found |= client.run(_on_worker)
        left = {where: keys for where, keys in found.items() if keys}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def _on_scheduler(dask_scheduler: Any) -> list[str]:
    return [str(key) for key in dask_scheduler.tasks]


def _on_worker(dask_worker: Any) -> list[str]:
    held = [*dask_worker.data, *dask_worker.state.actors]
    return [str(key) for key in held]
