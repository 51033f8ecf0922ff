"""How many cores a process may use."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def cores(proc: Path = _PROC, groups: Path = _GROUPS) -> int:
    """Returns how many cores this process may use, at least 1.

    Those that it may run on, or fewer where a quota (of a container, of systemd) allows
    less: more threads than that would wait for each other.

    Args:
        proc: The file that says which groups this process is in.
        groups: Where Linux has its control groups (version 2).
    """
    allowed = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min(allowed, _quota(proc, groups))))


def _quota(proc: Path, groups: Path) -> float:
    """Returns the least quota of the groups that this process is in, in cores."""
    least = math.inf
    with suppress(OSError, ValueError):
        (own,) = (
            line.removeprefix("0::/")
            for line in proc.read_text("utf-8").splitlines()
            if line.startswith("0::/")
        )
        group = groups / own
        while group.is_relative_to(groups):
            with suppress(OSError, ValueError):
                quota, period = (group / "cpu.max").read_text("utf-8").split()
                least = min(least, int(quota) / int(period))
            group = group.parent
    return least
