"""Runs coded layers on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.execution.base import Encode, Executor, Job, Placement
from fcdcc_keras.execution.call import CLOSED, Call
from fcdcc_keras.execution.collector import Collector
from fcdcc_keras.execution.members import Members
from fcdcc_keras.execution.patience import while_scheduler_answers
from fcdcc_keras.execution.shares import Key, Shares
from fcdcc_keras.execution.targets import choose_few, choose_targets
from fcdcc_keras.execution.tasks import TaskTransport
from fcdcc_keras.execution.transport import Transport, on_this_machine
from fcdcc_keras.execution.verify import collector_for
from fcdcc_keras.partition.micro_batches import FAR, NEAR, Way

if TYPE_CHECKING:
    from distributed import Client

_PLACING = 5.0
"""Seconds after which a worker that takes its share counts as late."""


class DaskExecutor(Executor):
    """Holds shares on n Dask workers and runs coded layers on them.

    A subtask that is late keeps its worker marked as unfinished until it ends:
    cancelling would not stop it, only hide it.
    """

    def __init__(
        self,
        client: Client,
        addresses: Sequence[str],
        transport: Transport | None = None,
        processes: Mapping[str, str] | None = None,
    ) -> None:
        """Takes the workers as they are; ``execution.connect`` checks them first.

        Args:
            client: A synchronous client.
            addresses: Address of each of the n workers.
            transport: How subtasks reach the workers; default: as Dask tasks.
            processes: What Dask calls the process at each address.
        """
        self.client = client
        self.transport = transport or TaskTransport(client)
        self.members = Members(client, addresses, self.transport, self._fill, processes)
        self.shares = Shares(self.transport, self.spawn, self._begin, self._end)
        self._calls: set[Call] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing can be asked of workers any more."""
        return self._closed or self.client.status != "running"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Dask address of each share's worker."""
        return self.members.roster.addresses

    def left(self, *, look: bool = False) -> int:
        """Returns how many workers there are; see ``Executor.left``."""
        if look and self.client.status == "running":
            self.client.sync(self.members.look)
        return self.members.left()

    @property
    def transport_name(self) -> str:
        """How subtasks reach the workers: "direct", "tasks", or each for some."""
        return self.transport.way

    @property
    def way(self) -> Way:
        """Far, where a worker is on another machine than the client."""
        return NEAR if all(map(on_this_machine, self.addresses)) else FAR

    @property
    def free(self) -> list[int]:
        """Shares whose workers are there and owe nothing."""
        gone = self.members.gone()
        slots = range(self.workers)
        return [s for s in slots if s not in gone and not self.members.of(s).owes]

    def place(self, name: str, encode: Encode, *, wait: bool = False) -> Placement:
        """Starts giving every free worker its share; see ``Executor.place``."""
        placement = self.shares.new(name, encode)
        try:
            slots = self.free
            if slots and not self.closed:
                shares = list(encode(slots))
                self._on_loop(self._place, placement, slots, shares, wait)
        except BaseException:
            self.release(placement)
            raise
        return placement

    def run(self, job: Job) -> Collector:
        """Sends to the workers that are free, and collects; see ``Executor.run``."""
        collector = collector_for(job, self.addresses)
        if self.closed or not self._ran(job, collector):
            for slot in range(self.workers):
                collector.failed(slot, time.time(), CLOSED)
        return collector

    def release(self, placement: Placement) -> None:
        """Frees a layer's shares on the workers."""
        self.shares.release(placement)

    def close(self) -> None:
        """Ends layers under way, frees all shares, lets go of unfinished subtasks."""
        self._closed = True
        if self.client.status == "running":
            self._on_loop(self._close)
        self.shares.release_all()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts a task on the client's loop, on which this runs."""
        # The loop keeps only weak references to its tasks.
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def offer(self, address: str) -> None:
        """Tells the layers under way that a worker may be free again."""
        for call in list(self._calls):
            call.offer(address)

    def _ran(self, job: Job, collector: Collector) -> bool:
        """Runs a layer, and returns whether it ended before the client was closed."""
        call, members = Call(job, collector, self), self.members
        if not collector.enough(members.alive(job.timeout)):
            if not self._on_loop(members.look):  # some may be back
                return False
            if not members.sound() and not collector.enough(members.alive(job.timeout)):
                self._give_up(collector, job.timeout)
                return True
        elif members.needs_look:
            loop: Any = self.client.loop
            loop.add_callback(members.look)
        targets, hedging = self._targets(job, collector)
        inputs = job.encode(targets, self.transport.memory)
        return self._on_loop(self._run, call, targets, list(inputs), hedging)

    def _on_loop(
        self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any
    ) -> bool:
        """Runs something on the client's loop, and returns whether it came to its end.

        Where the client is closed meanwhile its loop may be gone, and what is under
        way there be cancelled, of which Dask makes exceptions of many kinds.
        """
        try:
            self.client.sync(work, *args)
        except Exception:
            if self.client.status == "running":
                raise
            return False
        return True

    def _give_up(self, collector: Collector, timeout: float) -> None:
        for slot in set(range(self.workers)) - set(self.members.alive(timeout)):
            why = self.members.gone().get(slot, "the worker does not answer")
            collector.failed(slot, time.time(), why)

    def _targets(self, job: Job, collector: Collector) -> tuple[list[int], bool]:
        """Returns the slots to send to, and whether others may be sent to later."""
        free = self.members.accepting()
        if job.hedged and collector.enough(free):
            now = time.monotonic()
            paces = {slot: self.members.of(slot).pace(job.kind, now) for slot in free}
            known = {slot: pace.mean for slot, pace in paces.items() if pace}
            # Until it is known how long they take, nobody can be said to be late.
            if collector.enough(known):
                return choose_few(collector, known, known), True
        return choose_targets(collector, free, self.members.alive(job.timeout)), False

    async def _place(
        self,
        placement: Placement,
        slots: Sequence[int],
        shares: Sequence[np.ndarray],
        wait: bool,
    ) -> None:
        if self._closed:
            return
        tasks = [
            self.shares.start((placement, slot, self.addresses[slot]), share)
            for slot, share in zip(slots, shares, strict=True)
        ]
        if wait:
            await while_scheduler_answers(self.client, asyncio.gather, *tasks)

    async def _run(
        self,
        call: Call,
        targets: Sequence[int],
        inputs: Sequence[np.ndarray],
        hedging: bool,
    ) -> None:
        self._calls.add(call)
        try:
            if self._closed:
                call.fail_all(CLOSED)
            else:
                await call.run(targets, inputs, hedging)
        finally:
            self._calls.discard(call)
            call.end()

    def _fill(self, slot: int) -> None:
        """Gives a slot's new worker the shares of all layers, in the background."""
        address, roster = self.addresses[slot], self.members.roster
        self.spawn(
            self.shares.fill(slot, address, lambda: roster.address(slot) == address)
        )

    def _begin(self, address: str, key: Key) -> None:
        if address in self.members.health:
            self.members.health[address].begin(key, time.monotonic(), _PLACING)

    def _end(self, address: str, key: Key) -> None:
        if address in self.members.health:
            self.members.health[address].end(key, time.monotonic())
        self.offer(address)

    async def _close(self) -> None:
        for call in list(self._calls):
            call.fail_all(CLOSED)
        while self._calls:
            await asyncio.sleep(0)
        for task in list(self._background):
            task.cancel()
        self.members.close()
        await self.transport.close()
