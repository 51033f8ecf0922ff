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
from fcdcc_keras.execution.subtask import KernelShare, run_subtask
from fcdcc_keras.execution.targets import choose_few


@dataclass(frozen=True)
class Fault:
    """What is wrong with one worker during one layer."""

    delay: float = 0.0
    """Virtual seconds by which its answer is late; ``math.inf``: it never comes."""
    error: str | None = None
    """Text of an exception that its subtask raises."""


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
        collector = Collector(job.code, self.addresses, job.limit)
        faults = [self._fault(call, worker) for worker in range(self.workers)]
        targets = self._targets(job, collector, faults)
        inputs = dict(zip(targets, job.encode(targets), strict=True))
        arrivals: list[tuple[float, int, Fault]] = []
        for worker, coded in inputs.items():
            collector.sent(worker, 0.0, coded.nbytes)
            if faults[worker].delay <= job.timeout:
                arrivals.append((faults[worker].delay, worker, faults[worker]))
        for now, worker, fault in sorted(arrivals, key=lambda arrival: arrival[:2]):
            if collector.complete:
                break
            self._answer(job, collector, worker, inputs[worker], fault, now)
        return collector

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

    def _targets(
        self, job: Job, collector: Collector, faults: list[Fault]
    ) -> list[int]:
        everyone = list(range(self.workers))
        if not job.hedged:
            return everyone
        few = choose_few(collector, everyone, dict.fromkeys(everyone, 1.0))
        # Whoever has a fault is late at once: the others are sent to as well.
        return few if all(faults[w] == Fault() for w in few) else everyone

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
            collector.failed(worker, now, "the worker has lost its kernel share")
            return
        reply = run_subtask(share, coded, job.convolution)
        wrong = job.check(reply)
        if wrong is not None or reply["array"] is None:
            collector.failed(worker, now, wrong or "no result")
            return
        collector.answered(
            worker, now, reply["array"], reply["started"], reply["finished"]
        )
