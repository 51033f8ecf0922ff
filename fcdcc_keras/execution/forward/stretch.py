"""A stretch of a model from input to output: chains in tiles, on any executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from fcdcc_keras.coding.exchange import ExchangeJob
from fcdcc_keras.coding.job import Placement
from fcdcc_keras.coding.tiles import TileJob
from fcdcc_keras.dispatch.exchange_round import Reluctance
from fcdcc_keras.dispatch.pieces import PieceCollector
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.execution.forward.coded_convolution import CLOSED, kept
from fcdcc_keras.execution.forward.cuts import Team, TeamCut
from fcdcc_keras.execution.forward.cutting import At, ChainRun, Cutting
from fcdcc_keras.execution.forward.held import HeldStretch
from fcdcc_keras.execution.forward.trouble import fall_back, warn_of_liars
from fcdcc_keras.execution.records import LayerRecord, Notes, Policy, next_call
from fcdcc_keras.planning.chains.plan import StretchPlan
from fcdcc_keras.planning.chains.tile_time import Rates
from fcdcc_keras.worker.engines.base import Prepared
from fcdcc_keras.worker.engines.choice import client_engine, client_threads
from fcdcc_keras.worker.weights import Weights

T = TypeVar("T")
Arrays = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
"""Gives a stretch's weights, by what a model's variables hold."""


class DistributedStretch:
    """A stretch whose weights are on the workers; call it with inputs."""

    def __init__(
        self,
        plan: StretchPlan,
        at: At,
        arrays: Arrays,
        executor: Executor,
        policy: Policy,
        notes: Notes | None = None,
        stragglers: int = 0,
        rates: Rates | None = None,
    ) -> None:
        """Takes what is computed where; nothing is placed yet.

        Args:
            plan: Its chains, and who computes each.
            at: The stretch.
            arrays: Its weights.
            executor: The workers.
            policy: What to do in trouble.
            notes: The model's.
            stragglers: γ.
            rates: What tiles are chosen by; default: ``Rates()``.
        """
        self.plan = plan
        self._arrays = arrays
        self._executor: Executor | None = executor
        self._policy = policy
        self._notes = Notes() if notes is None else notes
        self._stragglers = stragglers
        self._cutting = Cutting(plan, at, rates)
        self._held: HeldStretch | None = None
        self._users: dict[HeldStretch, int] = {}
        self._lock = threading.RLock()
        self._reluctance = Reluctance()

    @property
    def plans(self) -> tuple[StretchPlan, ...]:
        """The one that it has."""
        return (self.plan,)

    def __call__(self, inputs: np.ndarray, values: Sequence[np.ndarray]) -> np.ndarray:
        """Returns what the stretch yields.

        Args:
            inputs: Shape ``(B, H, W, C)``, of the stretch's type; H and W may differ
                from those planned for.
            values: What the model's variables hold. Where it is not what the workers
                hold, they are given that first.

        Returns:
            Shape ``(B, …)``; not to be written to.

        Raises:
            NotEnoughWorkersError: Too few workers answered in time, and the policy's
                fallback is "raise".
            CorruptResultError: Likewise, where their results contradict each other
                and none can be told to be wrong.
        """
        size, call = inputs.shape[1:-1], next_call()
        with self._using(values) as (executor, held):
            for run in self._cutting.runs:
                record = LayerRecord(run.name, call, time.time())
                if not run.distributed:
                    record = replace(record, client=True)
                    inputs = self._local(run, size, inputs, held, record, None)
                elif executor is None or not inputs.size:
                    why = "not on a cluster" if inputs.size else "empty batch"
                    inputs = self._local(run, size, inputs, held, record, why)
                else:
                    inputs = self._run(run, size, inputs, held, executor, record)
        return inputs

    def place(self, values: Sequence[np.ndarray], *, wait: bool = False) -> HeldStretch:
        """Gives the workers the weights, unless they have them.

        Args:
            values: What the model's variables hold.
            wait: Whether to return only when the workers have them, or will not.
        """
        with self._lock:
            executor, old = self._executor, self._held
            if old is not None and old.is_of(values):
                return old
            own = [kept(value) for value in values]
            weights, there = self._arrays(own), list[Placement | None]()
            parts = [
                tuple(weights[number] for number in chain.weights)
                for chain in self._cutting.chains()
            ]
            for part, name, on_workers in zip(
                parts, self._cutting.names, self._cutting.distributed, strict=True
            ):
                placed = None
                if on_workers and executor is not None:
                    placed = executor.place(
                        name, partial(_for_each, part), wait=wait, alike=True
                    )
                there.append(placed)
            here = tuple(Weights(*part) for part in parts)
            self._held = HeldStretch(own, here, tuple(there))
            if old is not None and old not in self._users and executor is not None:
                old.release(executor)
            return self._held

    def rehearse(self, values: Sequence[np.ndarray], within: float) -> None:
        """Has workers run their tiles for one image, as far as there is the time.

        Args:
            values: What the model's variables hold.
            within: Seconds to wait for them.
        """
        until = time.monotonic() + within
        with self._using(values) as (executor, held):
            if executor is None:
                return
            for run in self._cutting.runs:
                team, exchanges = self._team(run, executor)
                inputs = self._cutting.one_image(run)
                for cut in self._to_rehearse(run, team, inputs) if exchanges else ():
                    left = until - time.monotonic()
                    if left <= 0:
                        return
                    if cut.exchangeable:
                        job = self._exchange_job(run, held.of(run), inputs, cut)
                        executor.rehearse(job, within=left)

    def _to_rehearse(
        self, run: ChainRun, team: Team, inputs: np.ndarray
    ) -> Iterator[TeamCut]:
        """Yields what they have now, when some are gone, and for others."""
        cuts = self._cutting.cuts(run, self.plan.size, inputs.shape)
        now = cuts.look(team)[0]
        yield now
        for gone in range(1, min(self._stragglers + 1, len(team))):
            yield cuts.of_fewer(team, gone)
        yield from map(now.turned, range(1, len(now.homes) * now.exchangeable))

    @property
    def placements(self) -> list[Placement]:
        """Where its weights are, if it has any."""
        there = () if self._held is None else self._held.there
        return [placement for placement in there if placement is not None]

    @property
    def needed(self) -> int:
        """Workers without which it cannot be computed there."""
        return int(any(self._cutting.distributed))

    def detach(self) -> None:
        """Frees the weights on the workers; from now on the client computes it."""
        with self._lock:
            held, executor = self._held, self._executor
            self._executor = None
            if held is not None and executor is not None:
                self._held = replace(held, there=(None,) * len(held.there))
                held.release(executor)

    @contextmanager
    def _using(
        self, values: Sequence[np.ndarray]
    ) -> Iterator[tuple[Executor | None, HeldStretch]]:
        """Keeps weights where they are while another thread changes them."""
        with self._lock:
            executor, held = self._executor, self.place(values)
            self._users[held] = self._users.get(held, 0) + 1
        try:
            yield executor, held
        finally:
            with self._lock:
                self._users[held] -= 1
                if not self._users[held]:
                    del self._users[held]
                    if held is not self._held and executor is not None:
                        held.release(executor)

    def _run(
        self,
        run: ChainRun,
        size: tuple[int, ...],
        inputs: np.ndarray,
        held: HeldStretch,
        executor: Executor,
        record: LayerRecord,
    ) -> np.ndarray:
        """Has the workers compute chains, in tiles."""
        team, exchanges = self._team(run, executor)
        placements = held.of(run)
        job_of = partial(self._exchange_job, run, placements, inputs)
        cuts, done = self._cutting.cuts(run, size, inputs.shape), None
        cut, better, lasts = cuts.look(team)
        if better is not None:
            # Who has none of the present tiles can do so at once, and all can when one
            # that has some does not come back.
            lasts = lasts or any(map(executor.leaves, cut.homes))
            among = better.homes if lasts else better.homes - cut.homes
            kept = exchanges and better.exchangeable
            if not kept or executor.rehearse(job_of(better), among=among):
                cuts.take(better)
                cut = better
        if exchanges and cut.exchangeable:
            done = self._exchange(job_of(cut), cut.homes <= team.keys(), executor)
        tried = done[1].records if done else []
        if done is None or not (done[1].complete or done[1].abandoned):
            job = TileJob(
                run.name,
                cut.chains,
                placements,
                inputs,
                timeout=self._policy.timeout,
                hedged=run.hedged,
                verify=self._policy.verify,
                stragglers=self._stragglers,
                sparse=self._policy.sparse,
            )
            done = job, executor.run_tiles(job)
            tried = [*tried, *done[1].records]
        job, collector = done
        record = replace(
            record,
            encode=job.encode_time,
            collect=max(0.0, time.time() - record.started - job.encode_time),
            subtasks=tuple(tried),
            survivors=collector.survivors,
            transport=executor.transport_name,
        )
        warn_of_liars(self._notes, run.name, collector.exposed)
        if collector.complete:
            self._emit(record)
            return job.outputs
        closed = CLOSED if self._executor is None else None
        reason = collector.abandoned or closed or self._fall_back(run, collector)
        return self._local(run, size, inputs, held, record, reason)

    def _team(self, run: ChainRun, executor: Executor) -> tuple[Team, bool]:
        """Returns who is there for a run, and whether they may exchange halos."""
        exchanges = (
            run.exchange and executor.exchanges and self._policy.verify != "parity"
        )
        kind = run.name if exchanges else self._cutting.names[run.numbers[0]]
        team = executor.team(TileJob.kind_of(kind))
        return team or dict.fromkeys(executor.addresses, 1.0), exchanges

    def _exchange_job(
        self,
        run: ChainRun,
        placements: tuple[Placement, ...],
        inputs: np.ndarray,
        cut: TeamCut,
    ) -> ExchangeJob:
        return ExchangeJob(
            run.name,
            cut.run(placements),
            placements,
            inputs,
            timeout=self._policy.timeout,
            verify=self._policy.verify,
            sparse=self._policy.sparse,
        )

    def _exchange(
        self, job: ExchangeJob, all_there: bool, executor: Executor
    ) -> tuple[TileJob, PieceCollector] | None:
        """Has workers exchange halos; None: it was not tried."""
        willing = self._reluctance.willing()
        if not (executor.rehearse(job) and all_there and willing):
            return None
        collector = executor.run_exchange(job)
        if not collector.begun:
            return None
        if collector.abandoned is None:
            self._reluctance.tried(collector.complete)
        return job, collector

    def _fall_back(self, run: ChainRun, collector: PieceCollector) -> str:
        """Warns that the client computes chains itself, and returns why."""
        tiles, missing = len(collector.pieces), len(collector.missing)
        if collector.disputed:
            message = (
                f"The results of {run.name!r} must agree. Received: for a tile those "
                "of workers which contradict each other, and no others to tell whose "
                "is wrong"
            )
        else:
            message = (
                f"{run.name!r} needs all of its {tiles} tiles. Received: "
                f"{tiles - missing} (timeout={self._policy.timeout:g} s)"
            )
        return fall_back(
            self._policy,
            self._notes,
            message,
            collector.records,
            disputed=collector.disputed,
        )

    def _local(
        self,
        run: ChainRun,
        size: tuple[int, ...],
        inputs: np.ndarray,
        held: HeldStretch,
        record: LayerRecord,
        reason: str | None,
    ) -> np.ndarray:
        began = time.time()
        outputs = self._compute(run, size, inputs, held)
        self._emit(replace(record, convolve=time.time() - began, local=reason))
        return outputs

    def _compute(
        self,
        run: ChainRun,
        size: tuple[int, ...],
        inputs: np.ndarray,
        held: HeldStretch,
    ) -> np.ndarray:
        """Computes chains here, by this process's own engine."""
        for number in run.numbers:
            if inputs.size:
                ready = partial(self._prepared, number, size, held)
                inputs = held.ready.get((number, size), ready)([inputs])
            else:
                program = self._cutting.chains(size)[number].program
                like = program.shapes([(1, *inputs.shape[1:])])[-1]
                inputs = np.zeros((0, *like[1:]), inputs.dtype)
        return inputs

    def _prepared(
        self, number: int, size: tuple[int, ...], held: HeldStretch
    ) -> Prepared:
        program = self._cutting.chains(size)[number].program
        own, threads = client_engine(program), client_threads()
        return held.here[number].prepared(program, own, threads)[1]

    def _emit(self, record: LayerRecord) -> None:
        for listener in tuple(self._notes.listeners):
            listener(record)


def _for_each(part: T, slots: Sequence[int]) -> list[T]:
    return [part] * len(slots)
