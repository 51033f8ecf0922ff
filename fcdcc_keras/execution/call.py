"""One layer under way on a Dask cluster, from the first input sent to its decoding."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.execution.base import Job
from fcdcc_keras.execution.collector import Collector
from fcdcc_keras.execution.finite import NOT_FINITE, UNBOUNDED
from fcdcc_keras.execution.members import LOOK_EVERY
from fcdcc_keras.execution.substitution import Substitution
from fcdcc_keras.execution.subtask import LOST_SHARE, Reply
from fcdcc_keras.execution.transport import Subtask
from fcdcc_keras.execution.verify import DISTRUSTED

if TYPE_CHECKING:
    from fcdcc_keras.execution.dask import DaskExecutor

logger = logging.getLogger(__name__)

CLOSED = "the client is closed"
Work = Callable[..., Coroutine[Any, Any, None]]
_LARGE = 1 << 20
"""Bytes from which on a result is checked beside the loop."""
_RECHECK = 0.01
"""Least seconds between looks at whether somebody is late."""


class Call:
    """Made in any thread, used on the client's loop."""

    def __init__(self, job: Job, collector: Collector, executor: DaskExecutor) -> None:
        self.job = job
        self.collector = collector
        self.over = asyncio.Event()
        """Set when the answers suffice, or never will, or time is up."""
        self._executor = executor
        self._members = executor.members
        self._unfinished: dict[tuple[int, str], object] = {}
        self._substitution = Substitution(collector, executor.members)
        self._hedging = False
        self._judging = False
        self._error: Exception | None = None

    async def run(
        self, targets: Sequence[int], inputs: Sequence[np.ndarray], hedging: bool
    ) -> None:
        """Sends inputs, and returns when the answers suffice or never will.

        Args:
            targets: Slots to send to at once.
            inputs: Their coded inputs.
            hedging: Whether the other slots are sent to when one is late.

        Raises:
            Exception: What was raised by what the client does for the layer.
        """
        self._hedging = hedging
        for slot, why in self._members.gone().items():
            self.collector.failed(slot, time.time(), why)
        self.send(dict(zip(targets, inputs, strict=True)))
        # Who became free while the targets' inputs were encoded was offered nothing.
        for slot in self._members.accepting():
            self.offer(self._members.roster.address(slot))
        self._replace_missing()
        deadline = time.monotonic() + self.job.timeout
        looked = time.monotonic()
        while not self.over.is_set():
            now = time.monotonic()
            if now >= deadline:
                break
            wait = min(deadline, looked + LOOK_EVERY, self._late_at(now)) - now
            try:
                await asyncio.wait_for(self.over.wait(), max(wait, _RECHECK))
            except asyncio.TimeoutError:
                self._hedge()
                if time.monotonic() - looked >= LOOK_EVERY:
                    looked = time.monotonic()
                    self._start(self._look, min(deadline - now, LOOK_EVERY))
        self.end(given_up=not self.over.is_set())
        if self._error is not None:
            raise self._error

    def end(self, given_up: bool = False) -> None:
        """Ends the call: what is still unfinished, nobody waits for any more.

        Args:
            given_up: Whether time is up.
        """
        self.over.set()
        self.collector.stop()
        for (_, address), item in self._unfinished.items():
            if address in self._members.health:
                self._members.health[address].overtake(item, given_up)

    def send(self, inputs: Mapping[int, np.ndarray]) -> None:
        """Sends coded inputs to those slots whose workers take new work."""
        ready: list[tuple[int, Subtask]] = []
        now = time.monotonic()
        expected = math.prod(self.job.result_shape) * self.job.dtype.itemsize
        for slot, coded in inputs.items():
            address, health = self._members.roster.address(slot), self._members.of(slot)
            key = self.job.placement, slot, address
            share = self._executor.shares.held(key)
            if share is None:
                # With its share on the way it is offered the layer when that is there.
                self._executor.shares.hurry(key)
                if not health.owes and not health.absent:
                    self._note_sent(slot, address, coded)
                    self._start(self._place_and_send, slot, address, coded)
            elif health.accepts(now):
                self._note_sent(slot, address, coded)
                ready.append((slot, Subtask(address, share, coded, expected)))
        if not ready:
            return
        tasks = self._executor.transport.start(
            self.job.name, [subtask for _, subtask in ready], self.job.convolution
        )
        for (slot, subtask), task in zip(ready, tasks, strict=True):
            late_after = self._late_after(slot, now)
            health = self._members.health[subtask.address]
            health.begin(task, now, late_after)
            self._unfinished[slot, subtask.address] = task
            self._start(self._follow, slot, subtask, task)

    def offer(self, address: str) -> None:
        """Gives a worker that is free again the parts that it was not sent."""
        for slot in self._members.roster.slots(address):
            waiting = slot in self.collector.unsent() and not self._hedging
            if waiting and not self.over.is_set():
                self._start(self._encode_and_send, slot)

    def fail(self, slot: int, why: str) -> None:
        """Notes that a slot's worker will not answer; another is tried."""
        self.collector.failed(slot, time.time(), why)
        if self.over.is_set():
            return
        self._hedge(at_once=True)
        self._replace_missing()

    def fail_all(self, why: str) -> None:
        """Ends the call without a result."""
        for slot in range(len(self._members.roster.addresses)):
            self.collector.failed(slot, time.time(), why)
        self.end()

    def _start(self, work: Work, *args: Any) -> None:
        self._executor.spawn(self._watched(work, *args))

    async def _watched(self, work: Work, *args: Any) -> None:
        """Has what something raises come out of the layer, which would wait for it."""
        try:
            await work(*args)
        except Exception as error:
            if self.over.is_set():
                logger.exception("%s: after its end", self.job.name)
            else:
                self._error = error
                self.over.set()

    async def _follow(
        self, slot: int, subtask: Subtask, task: asyncio.Task[Reply]
    ) -> None:
        """Follows a subtask to its end, however late, and frees its worker."""
        reply, address = await task, subtask.address
        received, arrived = time.time(), time.monotonic()
        self._unfinished.pop((slot, address), None)
        wrong: str | None = "it could not be checked"
        try:
            wrong = await self._wrong(reply)
        finally:
            health = self._members.health.get(address)
            if health is not None:
                health.end(task, arrived, None if wrong else self.job.kind)
                if not wrong:
                    health.pinged(True)
                elif self.collector.abandoned is None:
                    health.fail(arrived)
        if not self._members.trusts(address):
            wrong = DISTRUSTED
        array = reply["array"]
        if wrong is None and array is not None:
            times = reply["started"], reply["finished"]
            self.collector.answered(slot, received, array, *times, address)
            if self.collector.complete:
                self.over.set()
            elif self.collector.spare and not self._judging:
                self._start(self._judge)
        elif self._members.roster.address(slot) == address:
            self.fail(slot, wrong or "no result")
        if reply["error"] == LOST_SHARE:
            self._executor.shares.forget(self.job.placement, subtask.share)
        elif not reply["started"]:
            self._members.doubt(address)  # it did not even begin
        self._executor.offer(address)

    async def _wrong(self, reply: Reply) -> str | None:
        """Returns what is wrong with a reply, or None."""
        array = reply["array"]
        if array is None or array.nbytes < _LARGE:
            wrong = self._check(reply)
        else:
            wrong = await asyncio.to_thread(self._check, reply)
        if wrong != NOT_FINITE or self.over.is_set():
            return wrong
        if not await asyncio.to_thread(self.job.bounded):
            self.collector.abandoned = UNBOUNDED
            self.over.set()
        return wrong

    def _check(self, reply: Reply) -> str | None:
        if self.job.verify == "parity" and reply["array"] is not None:
            # What a worker of this machine has mapped it could alter afterwards.
            reply["array"] = reply["array"].copy()
        return self.job.check(reply)

    async def _judge(self) -> None:
        """Finds out whether the answers agree, as long as there are new ones."""
        self._judging = True
        try:
            while not self.over.is_set():
                question = self.collector.question()
                if question is None:
                    break
                verdict = await asyncio.to_thread(question)
                for address in self.collector.judged(verdict):
                    self._members.distrust(address)
                if self.collector.complete:
                    self.over.set()
                else:
                    self._hedge(at_once=True)
                    self._replace_missing()
        finally:
            self._judging = False

    async def _place_and_send(self, slot: int, address: str, coded: np.ndarray) -> None:
        shares, placement = self._executor.shares, self.job.placement
        key = placement, slot, address
        await shares.encode_and_start(key)
        if shares.held(key) is None:
            self._members.doubt(address)
        if self.over.is_set() or self._members.roster.address(slot) != address:
            return
        if shares.held(key) is None:
            self.fail(slot, "the worker took no kernel share")
        else:
            self.collector.again(slot)  # sent, or offered when the worker is free
            self.send({slot: coded})

    async def _encode_and_send(self, slot: int) -> None:
        coded = await asyncio.to_thread(self.job.encode, [slot])
        # Meanwhile it may have been sent something else, or be offered this again.
        if slot in self.collector.unsent() and not self.over.is_set():
            self.send({slot: coded[0]})

    async def _look(self, patience: float) -> None:
        """Asks who is there, and whether those who owe an answer are well."""
        if self._executor.closed:
            self.fail_all(CLOSED)
            return
        members = self._members
        answered, gone = self.collector.survivors, members.gone()
        waiting = {
            members.roster.address(slot)
            for slot in range(self._executor.workers)
            if slot not in answered and slot not in gone
        }
        await asyncio.gather(members.look(patience), *map(members.ping, waiting))
        if self.over.is_set():
            return
        for slot, why in members.gone().items():
            self.collector.failed(slot, time.time(), why)
        self._replace_missing()
        for address in members.sound():
            self.offer(address)

    def _replace_missing(self) -> None:
        """Places missing shares on sound workers where the others do not suffice."""
        for slot in self._substitution.move_missing():
            self.collector.again(slot)
            self._start(self._encode_and_send, slot)
        if self.collector.hopeless:
            self.over.set()

    def _hedge(self, at_once: bool = False) -> None:
        """Sends to all other slots when one of those sent to is late, or has failed."""
        if not self._hedging:
            return
        now = time.monotonic()
        if at_once or self._late_at(now) <= now:
            self._hedging = False
            for slot in self.collector.unsent():
                self._start(self._encode_and_send, slot)

    def _late_at(self, now: float) -> float:
        """Returns when the first of the slots sent to is late, if one waits for it."""
        if not self._hedging:
            return float("inf")
        times = [
            health.deadline(item)
            for (_, address), item in self._unfinished.items()
            if (health := self._members.health.get(address)) is not None
        ]
        return min((t for t in times if t is not None), default=now)

    def _late_after(self, slot: int, now: float) -> float | None:
        pace = self._members.of(slot).pace(self.job.kind, now)
        return None if pace is None else pace.late_after

    def _note_sent(self, slot: int, address: str, coded: np.ndarray) -> None:
        self.collector.sent(slot, time.time(), coded.nbytes, address)
