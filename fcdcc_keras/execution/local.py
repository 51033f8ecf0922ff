"""Workers in this process, with scripted faults: for tests and experiments."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush

import numpy as np

from fcdcc_keras.coding.finite import NOT_FINITE, UNBOUNDED
from fcdcc_keras.coding.job import Encode as EncodeShares
from fcdcc_keras.coding.job import Job, Placement
from fcdcc_keras.coding.verify import collector_for, judge
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Answered,
    Command,
    CrewChanged,
    Distrusted,
    Encode,
    Encoded,
    Event,
    Failed,
    Judge,
    Judged,
    Look,
    Send,
    Tick,
)
from fcdcc_keras.dispatch.round import Round
from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.base import Executor
from fcdcc_keras.worker.engines.base import Engine
from fcdcc_keras.worker.engines.choice import NAMES, engine_for
from fcdcc_keras.worker.installed import resolve
from fcdcc_keras.worker.reply import LOST_SHARE, Reply
from fcdcc_keras.worker.weights import Weights


@dataclass(frozen=True)
class LocalFault:
    """What is wrong with one worker during one layer."""

    delay: float = 0.0
    """Virtual seconds by which its answer is late; ``math.inf``: it never comes."""
    error: str | None = None
    """Text of an exception that its subtask raises."""
    alter: Callable[[np.ndarray], np.ndarray] | None = None
    """Gives what it answers in place of its result."""


LOST = LocalFault(delay=math.inf)
"""The worker never answers."""

Script = Mapping[int, LocalFault] | Callable[[int, int], LocalFault | None]
"""LocalFault of each worker for all calls, or a function of (call, worker)."""


class LocalExecutor(Executor):
    """Runs subtasks one after another, in the order in which answers would come.

    Time is virtual: an answer comes after its fault's delay, so nothing sleeps,
    and every run is the same. Subtasks that would come too late are not computed.
    """

    def __init__(
        self,
        workers: int,
        faults: Script | None = None,
        engine: str = "tensorflow",
    ) -> None:
        """Takes what the workers are.

        Args:
            workers: n.
            faults: What is wrong with them.
            engine: What they compute with: "tensorflow", "light" (float64 then by
                NumPy, as on such workers), or "numpy".

        Raises:
            PlanError: There are no such workers.
            ClusterError: What they compute with is not installed.
        """
        if workers < 1:
            raise PlanError(
                f"An executor needs at least one worker. Received: workers={workers}. "
                "Give a positive number."
            )
        if engine not in NAMES:
            raise PlanError(
                f"An engine must be one of {', '.join(NAMES)}. Received: "
                f"engine={engine!r}. Choose one of these."
            )
        if engine != "numpy":
            resolve(engine)
        self._addresses = tuple(f"local-{w}" for w in range(workers))
        self._calls = 0
        self._lock = threading.Lock()
        self._distrusted: set[str] = set()
        self.engine = engine
        """What the workers compute with; may be replaced between calls."""
        self.faults: Script = faults or {}
        """The script; may be replaced between calls."""
        self.placements: list[Placement] = []
        """What the workers hold."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Names of the workers."""
        return self._addresses

    def place(
        self, name: str, encode: EncodeShares, *, wait: bool = False
    ) -> Placement:
        """Gives every worker its share; see ``Executor.place``."""
        placement = Placement(name, encode)
        shares = encode(range(self.workers))
        placement.held = {w: Weights(share) for w, share in enumerate(shares)}
        self.placements.append(placement)
        return placement

    def run(self, job: Job) -> tuple[Collector, list[np.ndarray]]:
        """Computes answers in the order of their delays until they suffice."""
        with self._lock:
            call = self._calls
            self._calls += 1
        faults = [self._fault(call, worker) for worker in range(self.workers)]
        crew = Crew(self.addresses)
        for health in crew.health.values():
            # Whoever is slow is late at once.
            health.begin("before", 0.0, None)
            health.end("before", 0.0, job.kind)
        for address in tuple(self._distrusted):
            crew.distrust(address, 0.0)
        engine = engine_for(job.program, self.engine)
        script = dict(zip(self.addresses, faults, strict=True))
        layer = _Layer(job, crew, script, engine)
        self._distrusted.update(layer.run())
        return layer.collector, layer.results

    def release(self, placement: Placement) -> None:
        """Frees a layer's shares."""
        placement.held.clear()
        if placement in self.placements:
            self.placements.remove(placement)

    def close(self) -> None:
        """Frees all shares."""
        for placement in list(self.placements):
            self.release(placement)

    def _fault(self, call: int, worker: int) -> LocalFault:
        if isinstance(self.faults, Mapping):
            return self.faults.get(worker, LocalFault())
        return self.faults(call, worker) or LocalFault()


class _Layer:
    """One layer under way: carries out what its round commands, on a virtual clock."""

    def __init__(
        self, job: Job, crew: Crew, faults: Mapping[str, LocalFault], engine: Engine
    ) -> None:
        self.collector = collector_for(job, crew.roster.addresses)
        self._job = job
        self._faults = faults
        self._engine = engine
        self._round = Round(
            self.collector,
            crew,
            lambda slot, worker: True,
            kind=job.kind,
            timeout=job.timeout,
            hedged=job.hedged,
            tries=1,  # every worker is scripted: none stands in for another
            looks=False,
        )
        self._now = 0.0
        self._inputs: dict[int, np.ndarray] = {}
        self._arrivals: list[tuple[float, int, str]] = []
        """A heap of when answers come: time, slot, worker."""
        self._distrusted: set[str] = set()
        self._results: dict[int, np.ndarray] = {}

    @property
    def results(self) -> list[np.ndarray]:
        """The survivors' results."""
        return [self._results[slot] for slot in self.collector.survivors]

    def run(self) -> set[str]:
        """Runs it to its end, and returns who is not to be used any more."""
        self._carry_out(self._round.start(self._now))
        while not self._round.over:
            wake = self._round.wake_at()
            if self._arrivals and self._arrivals[0][0] <= wake:
                self._now, slot, worker = heappop(self._arrivals)
                for event in self._answer(slot, worker):
                    self._tell(event)
            else:
                self._now = wake
                self._tell(Tick())
        return self._distrusted

    def _tell(self, event: Event) -> None:
        self._carry_out(self._round.handle(event, self._now))

    def _carry_out(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case Look():
                    self._tell(CrewChanged())
                case Encode(slots):
                    self._inputs.update(
                        zip(slots, self._job.encode(slots), strict=True)
                    )
                    self._tell(Encoded(slots))
                case Send(slot, worker):
                    nbytes = self._inputs[slot].nbytes
                    self.collector.records[slot].bytes_sent += nbytes
                    arrival = self._now + self._faults[worker].delay
                    heappush(self._arrivals, (arrival, slot, worker))
                case Judge(given):
                    asked = [slot for slots in given.values() for slot in slots]
                    results = {slot: self._results[slot] for slot in asked}
                    self._tell(Judged(judge(self._job, given, results)))
                case Distrusted(worker):
                    self._distrusted.add(worker)

    def _answer(self, slot: int, worker: str) -> Iterator[Event]:
        """Computes what a worker answers, now that it comes."""
        job, fault, now = self._job, self._faults[worker], self._now
        share = job.placement.held.get(slot)
        if fault.error is not None or share is None:
            # Without a share: the model was closed meanwhile.
            yield Failed(slot, worker, fault.error or LOST_SHARE, now)
            return
        coded = self._inputs[slot]
        reply = Reply.of(
            lambda: share.run(coded, job.program, self._engine), catch=Exception
        )
        if fault.alter is not None and reply.array is not None:
            reply = replace(reply, array=fault.alter(reply.array))
        wrong = job.check(reply)
        if wrong == NOT_FINITE and not job.bounded():
            yield Abandoned(UNBOUNDED)
        if wrong is None:
            assert reply.array is not None  # or that would be wrong
            self._results[slot] = reply.array  # each slot is sent to once
            times = reply.started, reply.finished
            self.collector.records[slot].engine = self._engine.name
            yield Answered(slot, worker, reply.array.nbytes, now, *times)
        else:
            yield Failed(slot, worker, wrong or "no result", now)
