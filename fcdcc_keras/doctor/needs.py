"""What workers need, and what they have: of memory, and of versions. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fcdcc_keras.doctor.findings import WorkerFound
from fcdcc_keras.worker.installed import MEMORY

HELD = {"light": 3, "tensorflow": 2}
"""Times as many bytes as its kernels have that an engine takes, what it computes in
included: the light one holds them twice. See docs/deploying.md."""
_PAUSED = 0.8
"""Of its limit, from which on a worker takes no more work."""


def room_of(
    worker: WorkerFound, engine: str, workers: Sequence[WorkerFound]
) -> float | None:
    """Returns the bytes that a worker has for kernels; None: nobody knows.

    Args:
        worker: The worker.
        engine: What it computes by.
        workers: All, for those of one machine share its memory.
    """
    rooms = []
    used, limit = worker.memory.used, worker.memory.limit
    if limit:
        rooms.append(_PAUSED * limit - max(used, MEMORY[engine]))
    software = worker.software
    if software is not None and software.available is not None:
        others = sum(
            1
            for other in workers
            if other.software is not None and other.software.machine == software.machine
        )
        yet = max(MEMORY[engine] - used, 0.0)
        rooms.append(software.available / max(others, 1) - yet)
    return max(min(rooms), 0.0) if rooms else None


def is_older(version: str, least: str) -> bool:
    """Returns whether a version is less than another, by their numbers."""
    return _numbers(version) < _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall("[0-9]+", version)[:3]))
