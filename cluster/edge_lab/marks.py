"""Finding the processes of a lab by a variable in their environment."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from cluster.edge_lab.protocol import MARK


def marked(name: str) -> list[int]:
    """Returns the ids of the processes with a lab's mark, except the caller's."""
    mark = f"\0{MARK}={name}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has just ended
            pid = int(path.parent.name)
            if mark in b"\0" + path.read_bytes() + b"\0" and pid != os.getpid():
                found.append(pid)
    return found


def kill_marked(name: str, patience: float = 5.0) -> None:
    """Kills the processes with a lab's mark, and those that they start meanwhile.

    Args:
        name: The lab's.
        patience: Seconds after which those that are left are left.
    """
    deadline = time.monotonic() + patience
    while (pids := marked(name)) and time.monotonic() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
