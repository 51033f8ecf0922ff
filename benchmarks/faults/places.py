"""Where workers run, and what can be done to them from outside.

Each has a nanny, as ``fcdcc-keras worker`` starts it: on this machine's loopback, or on
the devices of the edge lab, which have links and quotas besides.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.scheduler import QUIET, scheduler, spawn
from cluster.edge_lab import edge_lab
from cluster.edge_lab.isolation import with_packages
from fcdcc_keras.worker import process as worker_process

SLOWER = 10.0
"""Times that a slowed worker is slower."""
MEMORY_LIMIT = "1600MB"
"""Of a worker; its nanny ends it at 95% of that."""
_STARTING_CPU = 0.4
"""Share of a core for a worker that starts on a device. With a whole one it would take
those of the others, which it does not on devices of their own."""
_JOIN_TIMEOUT = 120.0


class Place:
    """One worker with its nanny, on loopback."""

    has_link = False
    """Whether its link can go down."""
    has_quota = False
    """Whether it can be given less of a processor."""

    def __init__(self, index: int, scheduler: str) -> None:
        self.index = index
        self.name = f"place-{index}"
        """Of its worker, the same when it has restarted."""
        self._scheduler = scheduler
        self._nanny: Any = None

    def start(self) -> None:
        """Starts nanny and worker, without waiting for them."""
        command = worker_process.command(
            self._scheduler, name=self.name, memory_limit=MEMORY_LIMIT
        )
        environment = {**worker_process.environment(), **QUIET}
        self._nanny = self._spawn(command, with_packages(environment))

    def worker(self) -> psutil.Process:
        """Returns the worker's own process, a child of its nanny."""
        for child in psutil.Process(self._nanny.pid).children():
            with suppress(psutil.Error):
                if any("spawn_main" in word for word in child.cmdline()):
                    return child
        raise psutil.NoSuchProcess(self._nanny.pid, self.name)

    def ended(self) -> bool:
        """Returns whether nanny and worker are gone."""
        return self._nanny is None or self._nanny.poll() is not None

    def terminate(self) -> None:
        """Tells the nanny to end."""
        os.kill(self._nanny.pid, signal.SIGTERM)

    def end(self) -> int | None:
        """Kills what is left; returns the nanny's exit status, if there was one."""
        if self._nanny is None:
            return None
        if self._nanny.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._nanny.pid, signal.SIGKILL)
            self._nanny.wait()
        status: int | None = self._nanny.poll()
        return status

    def link(self, up: bool) -> None:
        """Plugs its network cable in, or pulls it out."""
        raise NotImplementedError("a worker on loopback has no link")

    def slow(self, factor: float) -> None:
        """Divides its share of a processor; 1 restores it."""
        raise NotImplementedError("a worker on loopback has no quota")

    def starting(self) -> AbstractContextManager[None]:
        """Gives it somewhat more of a processor for a while."""
        return nullcontext()

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> Any:
        return spawn(command, environment)


class DevicePlace(Place):
    """One worker with its nanny, on a device of the edge lab."""

    has_link = has_quota = True

    def __init__(self, index: int, scheduler: str, device: Any) -> None:
        super().__init__(index, scheduler)
        self._device = device

    def link(self, up: bool) -> None:
        self._device.link(up)

    def slow(self, factor: float) -> None:
        self._device.slow(factor)

    @contextmanager
    def starting(self) -> Iterator[None]:
        self._device.set_cpu(_STARTING_CPU)
        try:
            yield
        finally:
            self._device.slow(1)

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> Any:
        return self._device.start(command, env=environment)


@dataclass(frozen=True)
class Site:
    """A scheduler and its workers."""

    address: str
    """Of the scheduler."""
    scheduler: psutil.Process
    places: list[Place]
    client: Any = None
    """The device where the client belongs; None: with this process."""


@contextmanager
def loopback(workers: int) -> Iterator[Site]:
    """Starts scheduler and workers on this machine's loopback."""
    with scheduler("127.0.0.1") as (address, process):
        places = [Place(i, address) for i in range(workers)]
        with _started(places):
            yield Site(address, process, places)


@contextmanager
def lab(workers: int, cpu: float, client: str = "free") -> Iterator[Site]:
    """Starts scheduler and workers in a lab; for an isolated process.

    Args:
        workers: One for each device.
        cpu: Share of a core that each device gets, when its worker has started.
        client: Where client and scheduler belong; see ``edge_lab``.
    """
    from cluster.edge_lab.network import CLIENT

    with warnings.catch_warnings():
        # That they do not all get their share at once is no matter here.
        warnings.filterwarnings("ignore", message=".*will not get them all at once")
        up = edge_lab(workers, cpu=cpu, workers=False, client=client)
        there = up.__enter__()
    board, devices = there.client, list(there.devices)
    host = CLIENT if board is None else board.host
    try:
        with scheduler(host, board) as (address, process):
            places: list[Place] = [DevicePlace(d.index, address, d) for d in devices]
            boards = [*devices, *filter(None, [board])]
            for device in boards:
                device.set_cpu(None)
            with _started(places):
                for device in boards:
                    device.set_cpu(cpu)
                yield Site(address, process, places, board)
    finally:
        up.__exit__(*sys.exc_info())


@contextmanager
def _started(places: Sequence[Place]) -> Iterator[None]:
    from distributed import Client

    try:
        for place in places:
            place.start()
        address = places[0]._scheduler
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(len(places), timeout=_JOIN_TIMEOUT)
        yield
    finally:
        for place in places:
            place.end()
