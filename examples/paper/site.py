"""Where an experiment takes place: in the edge lab, or on this machine's loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Literal

from benchmarks.figures.interleave import Contender
from benchmarks.figures.lab import isolate
from cluster.edge_lab import Device, EdgeLab, edge_lab, is_isolated
from cluster.edge_lab.isolation import with_packages
from fcdcc_keras.commands.faults import Saboteur, orderly_end
from fcdcc_keras.errors import FcdccError
from fcdcc_keras.execution.cluster.embedded import (
    start_local_cluster,
    stop_local_cluster,
)
from fcdcc_keras.worker.process import environment

Where = Literal["auto", "lab", "loopback"]
RATE = "1gbit"
"""Of each device's link."""
_REST = 0.5
"""Seconds for what a straggler still owes, which the next turn must not wait for."""
_JOIN_TIMEOUT = 30.0
_SINGLE_NODE = [sys.executable, "-m", "examples.paper.single_node"]


class Site(ABC):
    """A cluster, what can happen to its workers, and perhaps a node that has none."""

    def __init__(
        self, name: str, cluster: Any, node: Any, device: Device | None
    ) -> None:
        """Takes what was brought up.

        Args:
            name: For people.
            cluster: For ``fk.distribute``.
            node: The process of the single node, or None.
            device: What it runs on, if on a device.
        """
        self.name, self.cluster = name, cluster
        self._node, self._device = node, device

    @abstractmethod
    def hang(self, workers: int) -> None:
        """Stops the first few workers: they are silent, but their links stay up."""

    @abstractmethod
    def resume(self) -> None:
        """Lets stopped workers go on."""

    def single_node(self, network: str, side: int) -> Callable[[], dict[str, float]]:
        """Returns what computes a network by plain Keras on a node like the workers'.

        Each call returns seconds: of each convolution, and of the "whole".
        """

        def ask() -> dict[str, float]:
            with suppress(BrokenPipeError):  # it has ended, which reading tells
                self._node.stdin.write(f"{network} {side}\n")
                self._node.stdin.flush()
            answer = self._node.stdout.readline()
            if not answer:
                raise FcdccError(
                    "Plain Keras must run on a node by itself. Received: it ended "
                    f"without an answer for {network}. Look whether there is the "
                    "memory for another process."
                )
            seconds: dict[str, float] = json.loads(answer)
            return seconds

        with nullcontext() if self._device is None else self._device.at_full_speed():
            ask()
        return ask

    def late(self, workers: int, delay: float, turn: Callable[[], object]) -> Contender:
        """Returns a turn in which some workers hang at first.

        Args:
            workers: How many.
            delay: Seconds from the start of the turn for which they do.
            turn: What to time.
        """

        def timed() -> float | None:
            if not workers:
                turn()
                return None  # all of the time counts
            waker = threading.Timer(delay, self.resume)
            self.hang(workers)
            waker.start()
            try:
                start = time.perf_counter()
                turn()
                seconds = time.perf_counter() - start
            finally:
                waker.join()
            time.sleep(_REST)
            return seconds

        return timed


class _Lab(Site):
    def __init__(self, lab: EdgeLab, node: Any, device: Device | None) -> None:
        settings = lab.settings
        name = f"edge lab: devices of {settings.cpu:g} of a core at {settings.rate}/s"
        super().__init__(name, lab.scheduler_address, node, device)
        self._devices = lab.devices

    def hang(self, workers: int) -> None:
        for device in self._devices[:workers]:
            device.stop()

    def resume(self) -> None:
        for device in self._devices:
            device.resume()


class _Loopback(Site):
    def __init__(self, client: Any, node: Any, saboteur: Saboteur) -> None:
        name = "workers of one thread each on this machine"
        super().__init__(name, client, node, None)
        self._saboteur = saboteur
        self._hung: list[int] = []

    def hang(self, workers: int) -> None:
        for worker in range(workers):
            self._hung.append(worker)
            self._saboteur.stop(worker)

    def resume(self) -> None:
        while self._hung:
            self._saboteur.resume(self._hung.pop())


def settle(where: Where) -> Literal["lab", "loopback"]:
    """Returns where an experiment can take place; first of all, for it may restart it.

    The lab's user must not reach any other network: the program is started anew
    without one.

    Args:
        where: "lab", "loopback", or "auto": in the lab if one can be brought up.

    Raises:
        FcdccError: There can be no lab here, and it is asked for.
    """
    if where != "loopback":
        isolate(required=where == "lab")
        if is_isolated():
            return "lab"
    return "loopback"


@contextmanager
def site(
    where: Literal["lab", "loopback"],
    workers: int,
    *,
    spare: bool = False,
    share: float = 0.25,
) -> Iterator[Site]:
    """Brings workers up for the duration of a ``with`` block.

    Args:
        where: What ``settle`` returned.
        workers: How many.
        spare: Whether a further device is there for a single node.
        share: Of a core, for each device of a lab.
    """
    bring_up = _lab if where == "lab" else _loopback
    with orderly_end(), bring_up(workers, spare, share) as there:
        yield there


@contextmanager
def _lab(workers: int, spare: bool, share: float) -> Iterator[Site]:
    with edge_lab(
        devices=workers + spare,
        cpu=share,
        rate=RATE,
        pin_client=min(os.sched_getaffinity(0)),
    ) as lab:
        if not spare:
            yield _Lab(lab, None, None)
            return
        device = lab.devices[-1]
        device.kill()  # its worker, which would take of its time
        _wait_for_workers(lab.scheduler_address, workers)
        with device.start(_SINGLE_NODE, env=environment(), pipes=True) as node:
            yield _Lab(lab, node, device)


@contextmanager
def _loopback(workers: int, spare: bool, share: float) -> Iterator[Site]:
    client = start_local_cluster(workers)
    try:
        with (
            Saboteur(client) as saboteur,
            _process() if spare else nullcontext() as node,
        ):
            yield _Loopback(client, node, saboteur)
    finally:
        stop_local_cluster(client)


@contextmanager
def _process() -> Iterator[Any]:
    process = subprocess.Popen(
        _SINGLE_NODE,
        env=with_packages(environment()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for this process, which then ends it
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _wait_for_workers(address: str, workers: int) -> None:
    from distributed import Client

    until = time.monotonic() + _JOIN_TIMEOUT
    with Client(address, set_as_default=False) as client:
        while len(client.nthreads()) != workers and time.monotonic() < until:
            time.sleep(0.1)
