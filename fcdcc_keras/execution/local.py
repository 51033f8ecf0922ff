"""Workers in this process, with scripted faults: for tests and experiments."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.base import Encode, Executor, Job, Placement
from fcdcc_keras.execution.collector import Collector
from fcdcc_keras.execution.finite import NOT_FINITE, UNBOUNDED
from fcdcc_keras.execution.subtask import LOST_SHARE, KernelShare, run_subtask
from fcdcc_keras.execution.targets import choose_few
from fcdcc_keras.execution.verify import DISTRUSTED, collector_for


@dataclass(frozen=True)
class Fault:
    """What is wrong with one worker during one layer."""

    delay: float = 0.0
    """Virtual seconds by which its answer is late; ``math.inf``: it never comes."""
    error: str | None = None
    """Text of an exception that its subtask raises."""
    alter: Callable[[np.ndarray], np.ndarray] | None = None
    """Gives what it answers in place of its result."""


LOST = Fault(delay=math.inf)
"""The worker never answers."""

Script = Mapping[int, Fault] | Callable[[int, int], Fault | None]
"""Fault of each worker for all calls, or a function of (call, worker)."""


class LocalExecutor(Executor):
    """Runs subtasks one after another, in the order in which answers would come.

    Time is virtual: an answer comes after its fault's delay, so nothing sleeps,
    and every run is the same. Subtasks that would come too late are not computed.
    """

    def __init__(self, workers: int, faults: Script | None = None) -> None:
        if workers < 1:
            raise PlanError(
                f"An executor needs at least one worker. Received: workers={workers}. "
                "Give a positive number."
            )
        self._addresses = tuple(f"local-{w}" for w in range(workers))
        self._calls = 0
        self._lock = threading.Lock()
        self._distrusted: set[int] = set()
        self.faults: Script = faults or {}
        """The script; may be replaced between calls."""
        self.placements: list[Placement] = []
        """What the workers hold."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Names of the workers."""
        return self._addresses

    def place(self, name: str, encode: Encode, *, wait: bool = False) -> Placement:
        """Gives every worker its share; see ``Executor.place``."""
        placement = Placement(name, encode)
        shares = encode(range(self.workers))
        placement.held = {w: KernelShare(share) for w, share in enumerate(shares)}
        self.placements.append(placement)
        return placement

    def run(self, job: Job) -> Collector:
        """Computes answers in the order of their delays until they suffice."""
        with self._lock:
            call = self._calls
            self._calls += 1
        collector = collector_for(job, self.addresses)
        faults = [self._fault(call, worker) for worker in range(self.workers)]
        for worker in tuple(self._distrusted):
            collector.failed(worker, 0.0, DISTRUSTED)
        for targets in self._waves(job, collector, faults):
            if collector.complete or collector.abandoned:
                break
            self._wave(job, collector, targets, faults)
        return collector

    def _wave(
        self, job: Job, collector: Collector, targets: list[int], faults: list[Fault]
    ) -> None:
        """Sends to some workers, and takes their answers until they suffice."""
        inputs = dict(zip(targets, job.encode(targets), strict=True))
        arrivals: list[tuple[float, int, Fault]] = []
        for worker, coded in inputs.items():
            collector.sent(worker, 0.0, coded.nbytes)
            if faults[worker].delay <= job.timeout:
                arrivals.append((faults[worker].delay, worker, faults[worker]))
        for now, worker, fault in sorted(arrivals, key=lambda arrival: arrival[:2]):
            if collector.complete or collector.abandoned:
                break
            self._answer(job, collector, worker, inputs[worker], fault, now)
            while (question := collector.question()) is not None:
                for address in collector.judged(question()):
                    self._distrusted.add(self._addresses.index(address))

    def release(self, placement: Placement) -> None:
        """Frees a layer's shares."""
        placement.held.clear()
        if placement in self.placements:
            self.placements.remove(placement)

    def close(self) -> None:
        """Frees all shares."""
        for placement in list(self.placements):
            self.release(placement)

    def _fault(self, call: int, worker: int) -> Fault:
        if isinstance(self.faults, Mapping):
            return self.faults.get(worker, Fault())
        return self.faults(call, worker) or Fault()

    def _waves(
        self, job: Job, collector: Collector, faults: list[Fault]
    ) -> list[list[int]]:
        """Returns whom to send to at first, and whom to send to if they do not do."""
        everyone = [w for w in range(self.workers) if w not in self._distrusted]
        if not job.hedged:
            return [everyone]
        few = choose_few(collector, everyone, dict.fromkeys(everyone, 1.0))
        # Whoever is slow or fails is late at once: the others are sent to as well.
        if any(faults[w].delay or faults[w].error is not None for w in few):
            return [everyone]
        return [few, [w for w in everyone if w not in few]]

    @staticmethod
    def _answer(
        job: Job,
        collector: Collector,
        worker: int,
        coded: np.ndarray,
        fault: Fault,
        now: float,
    ) -> None:
        if fault.error is not None:
            collector.failed(worker, now, fault.error)
            return
        share = job.placement.held.get(worker)
        if share is None:  # the model was closed meanwhile
            collector.failed(worker, now, LOST_SHARE)
            return
        reply = run_subtask(share, coded, job.convolution)
        if fault.alter is not None and reply["array"] is not None:
            reply["array"] = fault.alter(reply["array"])
        wrong = job.check(reply)
        if wrong == NOT_FINITE and not job.bounded():
            collector.abandoned = UNBOUNDED
        if wrong is not None or reply["array"] is None:
            collector.failed(worker, now, wrong or "no result")
            return
        collector.answered(
            worker, now, reply["array"], reply["started"], reply["finished"]
        )
