"""Runs coded layers on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.coding.exchange import ExchangeJob
from fcdcc_keras.coding.job import Encode, Job, Placement
from fcdcc_keras.coding.tiles import TileJob
from fcdcc_keras.coding.verify import collector_for
from fcdcc_keras.dask_internals import run_on_loop
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.copies import CopyingRound
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.dispatch.exchange_round import ExchangeRound
from fcdcc_keras.dispatch.messages import Command, CrewChanged, Event, Freed
from fcdcc_keras.dispatch.messages import Encode as EncodeSlots
from fcdcc_keras.dispatch.piece_round import PieceRound
from fcdcc_keras.dispatch.pieces import PieceCollector
from fcdcc_keras.dispatch.rehearsal import Rehearsal
from fcdcc_keras.dispatch.round import PLACING, Round
from fcdcc_keras.execution.cluster.members import Members
from fcdcc_keras.execution.cluster.patience import while_scheduler_answers
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.execution.executors.call import CLOSED, Call
from fcdcc_keras.execution.executors.shares import Key, Shares, key_of
from fcdcc_keras.execution.records import UnderWay
from fcdcc_keras.partition.micro_batches import FAR, NEAR, Batching
from fcdcc_keras.wire.tasks import TaskTransport
from fcdcc_keras.wire.transport import Share, Transport, on_this_machine

if TYPE_CHECKING:
    from distributed import Client

_LOOK_AGAIN = 0.02
"""Seconds between looks whether all have rehearsed that are waited for."""


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
        """Takes the workers as they are; ``executors.connect`` checks them first.

        Args:
            client: A synchronous client.
            addresses: Address of each of the n workers.
            transport: How subtasks reach the workers; default: as Dask tasks.
            processes: What Dask calls the process at each address.
        """
        self.client = client
        self.transport = transport or TaskTransport(client)
        self.crew = Crew(addresses, time.monotonic(), processes)
        self.members = Members(
            client,
            self.crew,
            self.transport,
            self.fill,
            self._crew_changed,
            self._fill_spare,
        )
        self.shares = Shares(self.transport, self.spawn, self._begin, self._end)
        self._calls: set[Call] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._filling: set[str] = set()
        """Workers that are being given what they lack."""
        self._closed = False
        self.on_begin: Callable[[], None] = lambda: None
        """Called on the client's loop as a layer or chain begins."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be asked of workers any more."""
        return self._closed or self.client.status != "running"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Dask address of each share's worker."""
        return self.crew.roster.addresses

    def left(self, *, look: bool = False) -> int:
        """Returns how many workers there are; see ``Executor.left``."""
        if look and not self.closed:
            self._on_loop(self.members.look)
        return self.crew.left()

    @property
    def transport_name(self) -> str:
        """How subtasks reach the workers: "direct", "tasks", or each for some."""
        return self.transport.way

    @property
    def batching(self) -> Batching:
        """Far, where a worker is on another machine than the client."""
        return NEAR if all(map(on_this_machine, self.addresses)) else FAR

    @property
    def free(self) -> list[int]:
        """Shares whose workers are there and owe nothing."""
        gone = self.crew.gone()
        return [
            s for s in self.crew.slots if s not in gone and not self.crew.of(s).owes
        ]

    def place(
        self, name: str, encode: Encode, *, wait: bool = False, alike: bool = False
    ) -> Placement:
        """Starts giving every free worker its share; see ``Executor.place``."""
        placement = self.shares.new(name, encode, alike=alike)
        try:
            slots = self.free
            if slots and not self.closed:
                shares = list(encode(slots))
                self._on_loop(self._place, placement, slots, shares, wait)
        except BaseException:
            self.release(placement)
            raise
        return placement

    def run(self, job: Job) -> tuple[Collector, list[np.ndarray]]:
        """Sends to the workers that are free, and collects; see ``Executor.run``."""
        collector = collector_for(job, self.addresses)
        results = self._results(Call(job, self.round_of(job, collector), self))
        return collector, [results[answer] for answer in collector.answers]

    def run_tiles(self, job: TileJob) -> PieceCollector:
        """Sends tiles, and collects; see ``Executor.run_tiles``."""
        collector = PieceCollector(job.pieces(), self.addresses, job.spare)
        shares = self.shares

        def holds(slot: int, worker: str) -> bool:
            return shares.held(key_of(job.placement_of(slot), slot, worker)) is not None

        timeout, copies = job.timeout, job.copies
        made = PieceRound(collector, self.crew, holds, timeout=timeout, copies=copies)
        self._results(Call(job, made, self))
        return collector

    @property
    def exchanges(self) -> bool:
        """Whether workers can give each other what they have computed."""
        return self.transport.exchanges

    def leaves(self, address: str) -> bool:
        """Returns whether a worker will not be asked; see ``Executor.leaves``."""
        return self.crew.leaves(address)

    def rehearse(
        self,
        job: ExchangeJob,
        *,
        among: Collection[str] | None = None,
        within: float = 0.0,
    ) -> bool:
        """Has workers run their programs once; see ``Executor.rehearse``."""
        until = time.monotonic() + within
        run, crew, holds = job.run, self.crew, self._holds_all(job)
        while True:
            collector = PieceCollector(job.pieces(), self.addresses)
            made = Rehearsal(
                collector, crew, holds, run.sizes, run.rehearsed,
                timeout=job.timeout, among=among,
            )  # fmt: skip
            self._results(Call(job, made, self), look=False)
            if made.ready or self.closed or time.monotonic() >= until:
                return made.ready
            time.sleep(_LOOK_AGAIN)

    def run_exchange(self, job: ExchangeJob) -> PieceCollector:
        """Has workers exchange halos; see ``Executor.run_exchange``."""
        collector = PieceCollector(job.pieces(), self.addresses)
        made = ExchangeRound(
            collector, self.crew, self._holds_all(job),
            job.run.sizes, job.run.rehearsed, timeout=job.timeout,
        )  # fmt: skip
        if made.begins(time.monotonic()):
            self._results(Call(job, made, self))
        return collector

    def _holds_all(self, job: ExchangeJob) -> Callable[[int, str], bool]:
        shares = self.shares

        def holds(slot: int, worker: str) -> bool:
            placements = job.placement_of(slot), *job.placements_after()
            keys = (key_of(placement, slot, worker) for placement in placements)
            return all(shares.held(key) is not None for key in keys)

        return holds

    def team(self, kind: Hashable) -> dict[str, float]:
        """Returns who is there, with their speeds; see ``Executor.team``.

        Who lacks weights is given them. They are not among the team, unless most do,
        with slots.
        """
        team, spare = self.crew.team(kind, time.monotonic()), self.crew.spare()
        lacking = {address for address in team if not self.shares.ready(address)}
        self._fill_lacking(lacking)
        left_out = lacking if 2 * len(lacking) <= len(team) else lacking & {*spare}
        return {a: speed for a, speed in team.items() if a not in left_out}

    def round_of(self, job: Job, collector: Collector) -> Round | CopyingRound:
        """Returns what decides for a layer."""
        # It must not refer to its call, or results would wait for the garbage
        # collector.
        shares, placement = self.shares, job.placement
        return Round(
            collector,
            self.crew,
            lambda slot, worker: shares.held((placement, slot, worker)) is not None,
            kind=job.kind,
            timeout=job.timeout,
            hedged=job.hedged,
        )

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

    def tell_all(self, event: Event) -> None:
        """Tells the layers under way of something."""
        for call in list(self._calls):
            call.tell(event)

    def fill(self, slot: int) -> None:
        """Gives a slot's new worker the shares of all layers, in the background."""
        address, roster = self.addresses[slot], self.crew.roster
        self.spawn(
            self.shares.fill(slot, address, lambda: roster.address(slot) == address)
        )

    def _fill_spare(self, address: str) -> None:
        """Gives a worker without a slot what is alike for all, in the background."""
        crew = self.crew
        if address in crew.spare():
            self.spawn(self.shares.fill_spare(address, lambda: address in crew.spare()))

    def _fill_lacking(self, lacking: set[str]) -> None:
        """Gives workers the weights that they lack, in the background.

        They may have been away, or lost them: nobody would give them any while others
        have them.
        """
        lacking = lacking & {*self.crew.sound(time.monotonic())} - self._filling
        if lacking and not self.closed:
            self._on_loop(self._fill, lacking)

    async def _fill(self, addresses: set[str]) -> None:
        for address in addresses - self._filling:
            self._filling.add(address)
            filling = self.spawn(
                self.shares.fill_spare(address, partial(self._is_sound, address))
            )
            filling.add_done_callback(partial(self._filled, address))

    def _filled(self, address: str, filling: asyncio.Task[None]) -> None:
        self._filling.discard(address)

    def _is_sound(self, address: str) -> bool:
        return address in self.crew.sound(time.monotonic())

    def under_way(self) -> list[UnderWay]:
        """Returns what has become of layers and chains so far; on the client's loop."""
        return [call.so_far() for call in self._calls]

    def _results(
        self, call: Call, *, look: bool = True
    ) -> dict[tuple[int, str], np.ndarray]:
        """Runs a layer or chain to its end; returns its results by slot and worker.

        Where it cannot begin, somebody is to ``look`` who is there first.
        """
        if self.closed or not self._ran(call, look):
            call.collector.fail_all(time.monotonic(), CLOSED)
        return call.take_results()

    def _ran(self, call: Call, look: bool) -> bool:
        """Runs a layer, and returns whether it ended before the client was closed."""
        commands = call.start()
        if look and not _first(commands):
            if not self._on_loop(self.members.look):
                return False
            commands = call.looked()
        first = _first(commands)
        if first is None:
            return True  # nobody is left, or has anything to do
        inputs = list(call.job.encode(first.slots, self.transport.memory))
        return self._on_loop(self._run, call, commands, first, inputs)

    def _on_loop(
        self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any
    ) -> bool:
        """Runs something on the client's loop, and returns whether it came to its end.

        Where the client is closed meanwhile its loop may be gone, and what is under
        way there be cancelled, of which Dask makes exceptions of many kinds.
        """
        try:
            run_on_loop(self.client, work, *args)
        except Exception:
            if self.client.status == "running":
                raise
            return False
        return True

    async def _place(
        self,
        placement: Placement,
        slots: Sequence[int],
        shares: Sequence[Share],
        wait: bool,
    ) -> None:
        if self.closed:
            return
        tasks = [
            self.shares.start(key_of(placement, slot, self.addresses[slot]), share)
            for slot, share in zip(slots, shares, strict=True)
        ]
        if placement.alike:
            for address in self.crew.spare():
                self._fill_spare(address)
        if wait:
            await while_scheduler_answers(self.client, asyncio.gather, *tasks)

    async def _run(
        self,
        call: Call,
        commands: Sequence[Command],
        first: EncodeSlots,
        inputs: Sequence[np.ndarray],
    ) -> None:
        self._calls.add(call)
        self.on_begin()
        try:
            if self.closed:
                call.close()
            else:
                await call.run(commands, first, inputs)
        finally:
            self._calls.discard(call)
            call.abandon()

    def _crew_changed(self) -> None:
        self.tell_all(CrewChanged())

    def _begin(self, address: str, key: Key) -> None:
        if address in self.crew.health:
            self.crew.health[address].begin(key, time.monotonic(), PLACING)

    def _end(self, address: str, key: Key) -> None:
        if address in self.crew.health:
            self.crew.health[address].end(key, time.monotonic())
        self.tell_all(Freed(address))

    async def _close(self) -> None:
        for call in list(self._calls):
            call.close()
        while self._calls:
            await asyncio.sleep(0)
        for task in list(self._background):
            task.cancel()
        self.members.close()
        await self.transport.close()


def _first(commands: Sequence[Command]) -> EncodeSlots | None:
    """Returns what to encode before anything is sent, if anything is."""
    return next((c for c in commands if isinstance(c, EncodeSlots)), None)
