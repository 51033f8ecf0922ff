"""The edge lab as the figures use it: weak devices, emulated on this machine."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import AbstractContextManager, suppress
from typing import Any

from cluster import edge_lab
from fcdcc_keras.errors import FcdccError
from fcdcc_keras.worker.process import environment

_LEAVE_TIMEOUT = 30.0
MODELS = "benchmarks.figures.edge_device"
SHARE, RATE = 0.25, "1gbit"
"""Share of a core of each device, and its link."""


def isolate(*, required: bool) -> None:
    """Starts this command anew where it reaches no network, if it has not yet.

    Args:
        required: Whether it is an error where no lab can be brought up. Otherwise
            nothing is done there.

    Raises:
        FcdccError: No lab can be brought up here.
    """
    try:
        edge_lab.check_requirements()
        edge_lab.isolate()
    except FcdccError:
        if required:
            raise


def weak_devices(number: int) -> AbstractContextManager[edge_lab.EdgeLab]:
    """Brings devices up, beside a client that has a core to itself."""
    return edge_lab.edge_lab(
        devices=number,
        cpu=SHARE,
        rate=RATE,
        pin_client=min(os.sched_getaffinity(0)),
    )


def home_devices(number: int) -> AbstractContextManager[edge_lab.EdgeLab]:
    """Brings devices up, with light workers, and one more like them for the client."""
    return edge_lab.edge_lab(
        devices=number, cpu=SHARE, rate=RATE, engine="light", client="device"
    )


def lone(lab: edge_lab.EdgeLab) -> edge_lab.Device:
    """Returns the last device, when its worker has ended, which would take its time."""
    from distributed import Client

    *others, device = lab.devices
    device.kill()
    until = time.monotonic() + _LEAVE_TIMEOUT
    with Client(lab.scheduler_address, set_as_default=False) as client:
        while len(client.nthreads()) != len(others) and time.monotonic() < until:
            time.sleep(0.1)
    return device


class Remote:
    """A program on a device that does what it is told; see ``edge_device.obey``."""

    def __init__(
        self, device: edge_lab.Device, *arguments: str, module: str = MODELS
    ) -> None:
        """Starts it.

        Args:
            device: Where.
            *arguments: Of its command line.
            module: Which.
        """
        self._device = device
        command = [sys.executable, "-m", module, *arguments]
        self._process = device.start(command, env=environment(), pipes=True)
        self.pid = self._process.pid
        """As this process sees it."""

    def ask(self, do: str, **arguments: Any) -> Any:
        """Has it do something, and returns what it says.

        Raises:
            FcdccError: It has ended.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, which reading tells
            process.stdin.write(f"{json.dumps({'do': do, **arguments})}\n")
            process.stdin.flush()
        answer = process.stdout.readline()
        if answer.endswith("\n"):
            return json.loads(answer)
        raise FcdccError(
            "A program on a device must do what it is told. Received: it ended with "
            f"{process.wait()}, told to {do}, saying {process.log()[-2000:]!r}. Look "
            "whether this machine has the memory for it."
        )

    def prepare(self, do: str, **arguments: Any) -> Any:
        """Has it do something that is not measured, with a whole core."""
        with self._device.at_full_speed():
            return self.ask(do, **arguments)

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.close()
