"""A layer or chain under way on a Dask cluster: carries out what its round commands."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol
from uuid import uuid4

import numpy as np

from fcdcc_keras.coding.exchange import ExchangeJob
from fcdcc_keras.coding.finite import NOT_FINITE, UNBOUNDED
from fcdcc_keras.coding.job import Job
from fcdcc_keras.coding.tiles import TileJob, Work
from fcdcc_keras.coding.verify import judge
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.copies import CopyingRound
from fcdcc_keras.dispatch.crew import DISTRUSTED, Crew
from fcdcc_keras.dispatch.exchange_round import ExchangeRound
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Answered,
    Command,
    Compare,
    Compared,
    CrewChanged,
    Disband,
    Distrusted,
    Encode,
    Encoded,
    Event,
    Failed,
    Fill,
    Finish,
    Free,
    Freed,
    HurryShare,
    Judge,
    Judged,
    Keep,
    Look,
    PlaceShare,
    Send,
    SharePlaced,
    Tick,
    Waited,
)
from fcdcc_keras.dispatch.piece_round import PieceRound
from fcdcc_keras.dispatch.pieces import PieceCollector
from fcdcc_keras.dispatch.rehearsal import Rehearsal
from fcdcc_keras.dispatch.round import Round
from fcdcc_keras.execution.cluster.members import Members
from fcdcc_keras.execution.executors.shares import Key, Shares, key_of
from fcdcc_keras.execution.records import UnderWay
from fcdcc_keras.text import text_of
from fcdcc_keras.wire.transport import Exchanged, Subtask, Transport
from fcdcc_keras.worker.exchange import UNREACHED, WAITED
from fcdcc_keras.worker.reply import LOST_SHARE, Reply

logger = logging.getLogger(__name__)

CLOSED = "the client is closed"
Doing = Callable[..., Coroutine[Any, Any, None]]
_LARGE = 1 << 20
"""Bytes from which on a result is checked beside the loop."""
_COPIED = 4 << 20
"""Bytes up to which tiles are cut out on the loop."""


class Executing(Protocol):
    """What layers under way share: their executor."""

    crew: Crew
    members: Members
    shares: Shares
    transport: Transport

    @property
    def closed(self) -> bool:
        """Whether nothing can be asked of workers any more."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts something on the client's loop."""

    def tell_all(self, event: Event) -> None:
        """Tells all layers under way of something."""

    def fill(self, slot: int) -> None:
        """Gives a slot's new worker the shares of all layers."""


class Call:
    """Made in any thread; ``run`` and what follows it are used on the client's loop."""

    def __init__(
        self,
        job: Work,
        round_: Round | CopyingRound | PieceRound | ExchangeRound | Rehearsal,
        executor: Executing,
    ) -> None:
        """Takes what is to be done, what decides, and what they share.

        Args:
            job: What is run.
            round_: Decides for it.
            executor: Whose workers do it.
        """
        self.job = job
        self.collector: Collector | PieceCollector = round_.collector
        self.collector.epoch = time.time() - time.monotonic()
        self._round = round_
        self._executor = executor
        self._over = asyncio.Event()
        self._inputs: dict[int, np.ndarray] = {}
        """Coded inputs that are ready to be sent, by slot."""
        self._results: dict[tuple[int, str], np.ndarray] = {}
        """The results so far, by slot and worker."""
        self._exchange = uuid4().hex
        """What workers call it that exchange halos."""
        self._timer: asyncio.TimerHandle | None = None
        self._error: BaseException | None = None

    def start(self) -> Sequence[Command]:
        """Returns what is to be done first, of which the caller encodes inputs."""
        return self._round.start(time.monotonic())

    def looked(self) -> Sequence[Command]:
        """Returns the same once somebody has looked who is there."""
        return self._round.handle(CrewChanged(), time.monotonic())

    async def run(
        self, commands: Sequence[Command], first: Encode, inputs: Sequence[np.ndarray]
    ) -> None:
        """Sends inputs, and returns when the answers suffice or never will.

        Args:
            commands: What ``start`` or ``looked`` gave.
            first: The one of them that has been carried out.
            inputs: The coded inputs that it is about.

        Raises:
            Exception: What was raised by what the client does for the layer.
        """
        self._carry_out(command for command in commands if command is not first)
        self._encoded(first.slots, inputs)
        await self._over.wait()
        if self._error is not None:
            raise self._error

    def tell(self, event: Event) -> None:
        """Tells the round what happened, and does what it says."""
        self._carry_out(self._round.handle(event, time.monotonic()))
        if self._round.over:
            return
        loop = asyncio.get_running_loop()
        at = self._round.wake_at() - time.monotonic() + loop.time()
        if self._timer is None or at < self._timer.when():
            self._stop_timer()
            self._timer = loop.call_at(at, self._tick)

    def take_results(self) -> dict[tuple[int, str], np.ndarray]:
        """Returns all results by slot and worker, which are let go of, at its end.

        Subtasks that are late keep the call, for as long as their workers are silent.
        """
        results, self._results = self._results, {}
        return results

    def so_far(self) -> UnderWay:
        """Returns what has become of it until now."""
        records = self.collector.records
        sent = tuple(record for record in records if record.outcome != "skipped")
        return UnderWay(self.job.name, time.time(), sent)

    def close(self) -> None:
        """Ends the layer, as its model or client is closed."""
        self.collector.fail_all(time.monotonic(), CLOSED)
        self.abandon()

    def abandon(self, why: str | None = None) -> None:
        """Ends the layer without a result; see ``Abandoned``."""
        self.tell(Abandoned(why))

    def _carry_out(self, commands: Iterable[Command]) -> None:
        sends: list[Send] = []
        for command in commands:
            match command:
                case Send():
                    sends.append(command)
                case Encode(slots):
                    self._start(self._encode, slots)
                case Disband(workers):
                    self._executor.transport.disband(self._exchange, workers)
                case PlaceShare(slot, worker):
                    self._start(self._place, slot, worker)
                case HurryShare(slot, worker):
                    self._executor.shares.hurry(self._key(slot, worker))
                case Look(workers):
                    if self._executor.closed:
                        self.close()
                    else:
                        self._start(self._executor.members.look, workers)
                case Judge(given):
                    self._start(self._judge, given)
                case Compare(slot, workers):
                    self._start(self._compare, slot, workers)
                case Keep(slot, worker):
                    self.job.keep(slot, self._results.pop((slot, worker)))
                case Distrusted(worker):
                    logger.warning("%s is not used any more: %s", worker, DISTRUSTED)
                case Fill(slot):
                    self._executor.fill(slot)
                case Free(worker):
                    self._executor.tell_all(Freed(worker))
                case Finish():
                    # What was commanded before is sent, or its workers would owe it
                    # for ever.
                    self._send(sends)
                    sends = []
                    self._finish()
        self._send(sends)

    def _finish(self) -> None:
        self._stop_timer()
        self._inputs.clear()
        self._over.set()

    def _send(self, sends: Sequence[Send]) -> None:
        if not sends:
            return
        subtasks = []
        for send in sends:
            slot, worker = send.slot, send.worker
            coded = self._inputs[slot]
            share = self._executor.shares.held(self._key(slot, worker))
            nbytes, program = self.job.nbytes_of(slot), self.job.text_of(slot)
            moved, transport = coded.nbytes + nbytes, self._executor.transport
            sparse = self.job.sparse and transport.leaves_zeros(worker, moved)
            after = self._after(send)
            subtasks.append(
                Subtask(worker, share, coded, nbytes, program, after, sparse)
            )
            self.collector.record(slot, worker).bytes_sent += subtasks[-1].sent
        tasks = self._executor.transport.start(self.job.name, subtasks)
        for send, subtask, task in zip(sends, subtasks, tasks, strict=True):
            self._start(self._follow, send.slot, subtask, task)

    def _after(self, send: Send) -> Exchanged | None:
        """Returns what a worker does after the first of several chains."""
        if send.among is None:
            return None
        assert isinstance(self.job, ExchangeJob)  # others have no such sends
        workers, patience = send.among.workers, send.among.patience
        shares = tuple(
            self._executor.shares.held(key_of(placement, send.slot, send.worker))
            for placement in self.job.placements_after()
        )
        keys = tuple(str(share.key) for share in shares if share is not None)
        stages = self.job.run.stages(send.slot, workers, keys)
        return Exchanged(self._exchange, send.slot, patience, stages, shares)

    async def _follow(
        self, slot: int, subtask: Subtask, task: asyncio.Task[Reply]
    ) -> None:
        """Follows a subtask to its end, however late."""
        reply, worker = await task, subtask.address
        arrived = time.monotonic()
        wrong: str | None = "it could not be checked"
        try:
            if self.job.verify == "parity" and reply.shared:
                # What a worker of this machine has mapped it could alter afterwards.
                reply = await asyncio.to_thread(_own, reply)
            wrong = await self._wrong(reply, slot, worker)
        finally:
            lost = reply.error == LOST_SHARE
            if lost:
                self._forget(slot, subtask, reply.lost)
            if wrong is None:
                record = self.collector.record(slot, worker)
                record.engine, record.waited = reply.engine, reply.waited
                assert reply.array is not None  # or that would be wrong
                times = reply.started, reply.finished
                nbytes = reply.received or reply.array.nbytes
                if not self._round.over:
                    self._results.setdefault((slot, worker), reply.array)
                took = *times, reply.waited
                self.tell(Answered(slot, worker, nbytes, arrived, *took))
            else:
                began, waited, why = bool(reply.started), None, reply.error or ""
                if why.startswith((WAITED, UNREACHED)):
                    cut_off = why.startswith(UNREACHED)
                    times = reply.waited, reply.computed
                    waited = Waited(reply.chains, *times, cut_off)
                self.tell(Failed(slot, worker, wrong, arrived, lost, began, waited))

    def _forget(self, slot: int, subtask: Subtask, key: str) -> None:
        """Notes that a worker has lost a share, which it will be given again."""
        placements, shares = [self.job.placement_of(slot)], [subtask.share]
        if isinstance(self.job, ExchangeJob) and subtask.after is not None:
            placements += self.job.placements_after()
            shares += subtask.after.shares
        for placement, share in zip(placements, shares, strict=True):
            if share.key == key:
                self._executor.shares.forget(placement, share)

    async def _wrong(self, reply: Reply, slot: int, worker: str) -> str | None:
        """Returns what is wrong with a reply, or None."""
        if reply.array is None or reply.array.nbytes < _LARGE:
            wrong = self.job.check(reply, slot)
        else:
            wrong = await asyncio.to_thread(self.job.check, reply, slot)
        if wrong == NOT_FINITE and not self._round.over:
            if await asyncio.to_thread(self.job.may_be_infinite, slot, worker):
                self.abandon(UNBOUNDED)
        return wrong

    async def _judge(self, given: Mapping[str, frozenset[int]]) -> None:
        if self._round.over:
            return  # results may have been taken
        results = {
            slot: self._results[slot, worker]
            for worker, slots in given.items()
            for slot in slots
        }
        assert isinstance(self.job, Job)  # tiles are compared one by one
        verdict = await asyncio.to_thread(judge, self.job, given, results)
        self.tell(Judged(verdict))

    async def _compare(self, slot: int, workers: frozenset[str]) -> None:
        if self._round.over:
            return
        results = {worker: self._results[slot, worker] for worker in workers}
        assert isinstance(self.job, TileJob)
        agreeing = await asyncio.to_thread(self.job.compare, slot, results)
        self.tell(Compared(slot, workers, agreeing))

    async def _place(self, slot: int, worker: str) -> None:
        shares, key = self._executor.shares, self._key(slot, worker)
        await shares.encode_and_start(key, slot)
        self.tell(SharePlaced(slot, worker, shares.held(key) is not None))

    async def _encode(self, slots: tuple[int, ...]) -> None:
        if not self._round.over:
            job, encode = self.job, partial(self._list_inputs, slots)
            # To ask a thread takes longer than to copy a little, most of all where the
            # processor's time is rationed.
            few = isinstance(job, TileJob) and job.upload_of(slots) <= _COPIED
            inputs = encode() if few else await asyncio.to_thread(encode)
            self._encoded(slots, inputs)

    def _list_inputs(self, slots: tuple[int, ...]) -> list[np.ndarray]:
        return list(self.job.encode(slots))

    def _encoded(self, slots: tuple[int, ...], inputs: Sequence[np.ndarray]) -> None:
        if not self._round.over:
            self._inputs.update(zip(slots, inputs, strict=True))
        self.tell(Encoded(slots))

    def _tick(self) -> None:
        self._timer = None
        self.tell(Tick())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _start(self, work: Doing, *args: Any) -> None:
        self._executor.spawn(self._watched(work, *args))

    async def _watched(self, work: Doing, *args: Any) -> None:
        """Has what something raises come out of the layer, which would wait for it."""
        try:
            await work(*args)
        except Exception as error:
            if self._round.over:
                logger.exception("%s: after its end", self.job.name)
            else:
                self._error = error
                self.abandon(text_of(error))

    def _key(self, slot: int, worker: str) -> Key:
        return key_of(self.job.placement_of(slot), slot, worker)


def _own(reply: Reply) -> Reply:
    return replace(reply, array=np.array(reply.array))
