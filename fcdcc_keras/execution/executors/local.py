"""Workers in this process, with scripted faults: for tests and experiments."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from heapq import heappop, heappush

import numpy as np

from fcdcc_keras.coding.finite import NOT_FINITE, UNBOUNDED
from fcdcc_keras.coding.job import Encode as EncodeShares
from fcdcc_keras.coding.job import Job, Placement
from fcdcc_keras.coding.tiles import TileJob, Work
from fcdcc_keras.coding.verify import collector_for, judge
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Answered,
    Command,
    Compare,
    Compared,
    CrewChanged,
    Distrusted,
    Encode,
    Encoded,
    Event,
    Failed,
    Judge,
    Judged,
    Keep,
    Look,
    Send,
    Tick,
)
from fcdcc_keras.dispatch.piece_round import PieceRound
from fcdcc_keras.dispatch.pieces import PieceCollector
from fcdcc_keras.dispatch.round import Round
from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.programs import from_text
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
        self,
        name: str,
        encode: EncodeShares,
        *,
        wait: bool = False,
        alike: bool = False,
    ) -> Placement:
        """Gives every worker its share; see ``Executor.place``."""
        placement = Placement(name, encode, alike=alike)
        for slot, share in enumerate(encode(range(self.workers))):
            place = placement.place(slot, self._addresses[slot])
            arrays = share if isinstance(share, tuple) else (share,)
            placement.held[place] = Weights(*arrays)
        self.placements.append(placement)
        return placement

    def run(self, job: Job) -> tuple[Collector, list[np.ndarray]]:
        """Computes answers in the order of their delays until they suffice."""
        collector = collector_for(job, self.addresses)
        crew = self._crew([job.kind])
        made = Round(
            collector,
            crew,
            lambda slot, worker: True,
            kind=job.kind,
            timeout=job.timeout,
            hedged=job.hedged,
            tries=1,  # every worker is scripted: none stands in for another
            looks=False,
        )
        results = self._results(job, made)
        return collector, [results[answer] for answer in collector.answers]

    def run_tiles(self, job: TileJob) -> PieceCollector:
        """Computes tiles in the order of their workers' delays."""
        pieces = job.pieces()
        collector = PieceCollector(pieces, self.addresses, job.spare)
        made = PieceRound(
            collector,
            self._crew({piece.kind for piece in pieces}),
            lambda slot, worker: True,
            timeout=job.timeout,
            copies=job.copies,
            looks=False,
        )
        self._results(job, made)
        return collector

    def team(self, kind: Hashable) -> dict[str, float]:
        """Returns the workers that did not lie, all as fast; see ``Executor.team``."""
        return {a: 1.0 for a in self._addresses if a not in self._distrusted}

    def release(self, placement: Placement) -> None:
        """Frees a layer's shares."""
        placement.held.clear()
        if placement in self.placements:
            self.placements.remove(placement)

    def close(self) -> None:
        """Frees all shares."""
        for placement in list(self.placements):
            self.release(placement)

    def _crew(self, kinds: Iterable[Hashable]) -> Crew:
        crew = Crew(self.addresses)
        for health in crew.health.values():
            # Whoever is slow is late at once.
            for kind in kinds:
                health.begin("before", 0.0, None)
                health.end("before", 0.0, kind)
        for address in tuple(self._distrusted):
            crew.distrust(address, 0.0)
        return crew

    def _results(
        self, job: Work, made: Round | PieceRound
    ) -> dict[tuple[int, str], np.ndarray]:
        """Runs a layer or chain to its end; returns its results by slot and worker."""
        with self._lock:
            call = self._calls
            self._calls += 1
        faults = [self._fault(call, worker) for worker in range(self.workers)]
        script = dict(zip(self.addresses, faults, strict=True))
        running = _Running(job, made, script, self.engine)
        self._distrusted.update(running.run())
        return running.results

    def _fault(self, call: int, worker: int) -> LocalFault:
        if isinstance(self.faults, Mapping):
            return self.faults.get(worker, LocalFault())
        return self.faults(call, worker) or LocalFault()


class _Running:
    """A layer or chain: carries out what its round commands, on a virtual clock."""

    def __init__(
        self,
        job: Work,
        made: Round | PieceRound,
        faults: Mapping[str, LocalFault],
        engine: str,
    ) -> None:
        self.results: dict[tuple[int, str], np.ndarray] = {}
        """By slot and worker."""
        self._collector: Collector | PieceCollector = made.collector
        self._job = job
        self._faults = faults
        self._engine = engine
        self._round = made
        self._now = 0.0
        self._inputs: dict[int, np.ndarray] = {}
        self._arrivals: list[tuple[float, int, str]] = []
        """A heap of when answers come: time, slot, worker."""
        self._distrusted: set[str] = set()

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
                    record = self._collector.record(slot, worker)
                    record.bytes_sent += self._inputs[slot].nbytes
                    arrival = self._now + self._faults[worker].delay
                    heappush(self._arrivals, (arrival, slot, worker))
                case Judge(given):
                    assert isinstance(self._job, Job)  # tiles are compared one by one
                    results = {
                        slot: self.results[slot, worker]
                        for worker, slots in given.items()
                        for slot in slots
                    }
                    self._tell(Judged(judge(self._job, given, results)))
                case Compare(slot, workers):
                    assert isinstance(self._job, TileJob)
                    of = {worker: self.results[slot, worker] for worker in workers}
                    agreeing = self._job.compare(slot, of)
                    self._tell(Compared(slot, workers, agreeing))
                case Keep(slot, worker):
                    self._job.keep(slot, self.results.pop((slot, worker)))
                case Distrusted(worker):
                    self._distrusted.add(worker)

    def _answer(self, slot: int, worker: str) -> Iterator[Event]:
        """Computes what a worker answers, now that it comes."""
        job, fault, now = self._job, self._faults[worker], self._now
        placement = job.placement_of(slot)
        share = placement.held.get(placement.place(slot, worker))
        if fault.error is not None or share is None:
            # Without a share: the model was closed meanwhile.
            yield Failed(slot, worker, fault.error or LOST_SHARE, now)
            return
        program = _program(job.text_of(slot))
        engine = engine_for(program, self._engine)
        inputs = self._inputs[slot]
        reply = Reply.of(lambda: share.run(inputs, program, engine), catch=Exception)
        if fault.alter is not None and reply.array is not None:
            reply = replace(reply, array=fault.alter(reply.array))
        wrong = job.check(reply, slot)
        if wrong == NOT_FINITE and job.may_be_infinite(slot, worker):
            yield Abandoned(UNBOUNDED)
        if wrong is None:
            assert reply.array is not None  # or that would be wrong
            self.results[slot, worker] = reply.array
            times = reply.started, reply.finished
            self._collector.record(slot, worker).engine = engine.name
            yield Answered(slot, worker, reply.array.nbytes, now, *times)
        else:
            yield Failed(slot, worker, wrong or "no result", now)


_program = lru_cache(maxsize=256)(from_text)
