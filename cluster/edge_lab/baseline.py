"""Running a command on a device by itself, as a baseline to compare with."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from cluster.edge_lab.process import DeviceProcess
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.worker import process as worker_process

if TYPE_CHECKING:
    from cluster.edge_lab.device import Device

_WARM = b"edge-lab: warm\n"
_SHOWN = 2000
"""Characters of what a failed program said that its error shows."""


class ProgramFailed(subprocess.CalledProcessError):
    """A program on a device failed; says what it said."""

    def __str__(self) -> str:
        return f"{super().__str__()} It said: {self.stderr[-_SHOWN:]}"


def warm() -> None:
    """Says, in a command run with ``warm_up=True``, that the quota may be set.

    Returns when it is.
    """
    sys.stdout.flush()
    sys.stdout.buffer.write(_WARM)
    sys.stdout.flush()
    sys.stdin.readline()


def run_on(
    device: Device,
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    *,
    warm_up: bool = False,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a command on a device; see ``EdgeLab.run_on_device``.

    Raises:
        ClusterError: It succeeded, but never was warm: it has run without quota.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    process = device.start(
        argv,
        env=worker_process.environment() if env is None else env,
        cwd=cwd,
        pipes=True,
    )
    assert process.stdin is not None
    try:
        said, warm = b"", not warm_up
        if warm_up:
            with device.at_full_speed():
                said = _read(process, timeout, deadline, until=_WARM)
            warm = said.endswith(_WARM)
            said = said.removesuffix(_WARM)
        with suppress(BrokenPipeError):  # it has ended: what it said tells why
            process.stdin.write("\n" if warm_up else "")
            process.stdin.close()
        said += _read(process, timeout, deadline)
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        code = process.wait(left)
    finally:
        process.close()
    if code == 0 and not warm:
        raise ClusterError(
            "A program that warms up must call `cluster.edge_lab.warm()`. Received: "
            f"{list(argv)}, which ended without. Call it, or leave warm_up out."
        )
    return subprocess.CompletedProcess(list(argv), code, said.decode(), process.log())


def _read(
    process: DeviceProcess,
    timeout: float | None,
    deadline: float | None,
    until: bytes | None = None,
) -> bytes:
    """Reads until the output, or the process, ends, or the output with something."""
    assert process.stdout is not None
    output, alive = process.stdout.fileno(), os.pidfd_open(process.pid)
    poll = select.poll()
    poll.register(output, select.POLLIN)
    poll.register(alive, select.POLLIN)
    said = b""
    try:
        while until is None or not said.endswith(until):
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            ready = dict(poll.poll(None if left is None else left * 1e3))
            if not ready:
                raise subprocess.TimeoutExpired(process.argv, timeout or 0, said)
            # A child that it has left behind may hold its output open.
            more = os.read(output, 1 << 16) if output in ready else b""
            if not more:
                break
            said += more
    finally:
        os.close(alive)
    return said
