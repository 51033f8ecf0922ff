"""A Dask scheduler for what is measured, on this machine or on a device of a lab."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from cluster.edge_lab.isolation import with_packages
from fcdcc_keras.worker import process as worker_process

QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical"}
"""Environment of Dask's processes whose workers are lost on purpose."""
_START_TIMEOUT = 120.0
_PORT = 8786
"""Of a scheduler on a device, where it is the only server."""


@contextmanager
def scheduler(host: str, device: Any = None) -> Iterator[tuple[str, psutil.Process]]:
    """Starts a scheduler; gives its address and its process.

    Args:
        host: Its own address.
        device: Of a lab; None: this machine.
    """
    port = free_port(host) if device is None else _PORT
    command = [
        *(sys.executable, "-m", "distributed.cli.dask_scheduler"),
        *("--host", host, "--port", str(port), "--no-dashboard"),
    ]
    environment = {**worker_process.environment(), **QUIET}
    if device is None:
        process = spawn(command, with_packages(environment))
    else:
        process = device.start(command, env=environment)
    try:
        _wait_for_port(host, port, process)
        yield f"tcp://{host}:{port}", psutil.Process(process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def spawn(
    command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Starts a process that neither reads nor says anything, in a group of its own."""
    return subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def free_port(host: str) -> int:
    """Returns a port for a server to be started, below those that systems give away.

    Of those, another program might be given the same one before the server has it.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server((host, port)):
            return port


def _wait_for_port(host: str, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the scheduler did not start")
        time.sleep(0.05)
