"""Runs coded layers on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.execution.base import Encode, Executor, Job, Placement
from fcdcc_keras.execution.collector import Collector, choose_targets
from fcdcc_keras.execution.tasks import TaskTransport

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

PLACE_TIMEOUT = 30.0
"""Seconds that a worker gets to take its kernel share."""
_LOOK_EVERY = 0.5
"""Seconds between looks at which workers the scheduler still has."""


class DaskExecutor(Executor):
    """Holds shares on n Dask workers and runs coded layers on them.

    A subtask that is late keeps its worker marked as unfinished until Dask says
    that it ended: cancelling would not stop it, only hide it.
    """

    def __init__(self, client: Client, addresses: Sequence[str]) -> None:
        """Takes the workers as they are; ``execution.connect`` checks them first.

        Args:
            client: A synchronous client.
            addresses: Address of each of the n workers.
        """
        self.client = client
        self._addresses = tuple(addresses)
        self._transport = TaskTransport(client)
        self._unfinished: list[set[Future[Any]]] = [set() for _ in addresses]
        self._lost: set[int] = set()
        self._silent: set[int] = set()  # let a layer time out, and still owe it
        self._calls: set[_Call] = set()
        self._placements: set[Placement] = set()
        self._background: set[asyncio.Task[None]] = set()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Dask address of each worker."""
        return self._addresses

    @property
    def free(self) -> list[int]:
        """Workers that are there and have no unfinished work."""
        return [w for w in self._alive if not self._unfinished[w]]

    def place(self, name: str, encode: Encode) -> Placement:
        """Gives every free worker its share, all at once; see ``Executor.place``."""
        placement = Placement(name, encode)
        self._placements.add(placement)
        workers = self.free
        if workers:
            self.client.sync(self._place, placement, workers, list(encode(workers)))
        return placement

    def run(self, job: Job) -> Collector:
        """Sends to the workers that are free, and collects; see ``Executor.run``."""
        call = _Call(job, Collector(job.code, self.addresses, job.limit))
        if self.client.status != "running":
            for worker in range(self.workers):
                call.collector.failed(worker, time.time(), "the client is closed")
            return call.collector
        alive = self._alive
        if not job.code.decodable(alive):
            for worker in set(range(self.workers)) - set(alive):
                gone = (
                    "left the cluster" if worker in self._lost else "has not answered"
                )
                call.collector.failed(worker, time.time(), f"the worker {gone}")
            return call.collector
        targets = choose_targets(job.code, self.free, alive)
        self.client.sync(self._run, call, targets, list(job.encode(targets)))
        return call.collector

    def release(self, placement: Placement) -> None:
        """Frees a layer's shares on the workers."""
        self._placements.discard(placement)
        for future in placement.held.values():
            future.release()
        placement.held.clear()

    def close(self) -> None:
        """Frees all shares and lets go of unfinished subtasks."""
        for placement in list(self._placements):
            self.release(placement)
        if self.client.status == "running":
            self.client.sync(self._close)

    @property
    def _alive(self) -> list[int]:
        gone = self._lost | self._silent
        return [w for w in range(self.workers) if w not in gone]

    async def _place(
        self, placement: Placement, workers: Sequence[int], shares: Sequence[np.ndarray]
    ) -> None:
        async def place_one(worker: int, share: np.ndarray) -> None:
            address = self._addresses[worker]
            placing = self._transport.place(placement.name, address, share)
            try:
                future = await asyncio.wait_for(placing, PLACE_TIMEOUT)
            except Exception as error:  # whatever it was, the share is not there
                logger.warning("%s took no share: %r", address, error)
                return
            if placement in self._placements:
                placement.held[worker] = future
            else:
                future.release()  # released while the share was on its way

        await asyncio.gather(*map(place_one, workers, shares))

    async def _run(
        self, call: _Call, targets: Sequence[int], inputs: Sequence[np.ndarray]
    ) -> None:
        self._calls.add(call)
        try:
            self._send(call, targets, inputs)
            await self._until_over(call)
        finally:
            self._calls.discard(call)
            call.over.set()

    async def _until_over(self, call: _Call) -> None:
        deadline = time.monotonic() + call.job.timeout
        while not call.over.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                self._silent |= {w for w, owed in enumerate(self._unfinished) if owed}
                return
            try:
                await asyncio.wait_for(call.over.wait(), min(left, _LOOK_EVERY))
            except asyncio.TimeoutError:
                await self._look_for_lost(call, min(left, _LOOK_EVERY))

    async def _look_for_lost(self, call: _Call, patience: float) -> None:
        try:
            scheduler: Any = self.client.scheduler
            known = await asyncio.wait_for(scheduler.ncores(), patience)
        except (asyncio.TimeoutError, OSError):
            return  # the scheduler is slow or gone: the call's own timeout decides
        self._lost = {w for w, a in enumerate(self._addresses) if a not in known}
        for worker in self._lost:
            self._fail(call, worker, "the worker left the cluster")

    def _send(
        self, call: _Call, targets: Sequence[int], inputs: Sequence[np.ndarray]
    ) -> None:
        held = call.job.placement.held
        ready = []
        for worker, coded in zip(targets, inputs, strict=True):
            call.collector.sent(worker, time.time(), coded.nbytes)
            # Dask takes data back when a cluster restarts: that share is lost.
            if worker in held and held[worker].status == "finished":
                ready.append((worker, coded))
            else:
                self._spawn(self._place_and_send(call, worker, coded))
        if not ready:
            return
        futures = self._transport.submit(
            call.job.name,
            [self._addresses[worker] for worker, _ in ready],
            [held[worker] for worker, _ in ready],
            [coded for _, coded in ready],
            call.job.convolution,
        )
        owners = {f: worker for f, (worker, _) in zip(futures, ready, strict=True)}
        for future, worker in owners.items():
            self._unfinished[worker].add(future)
        self._spawn(self._watch(call, owners))

    async def _place_and_send(
        self, call: _Call, worker: int, coded: np.ndarray
    ) -> None:
        placement = call.job.placement
        await self._look_for_lost(call, _LOOK_EVERY)
        if worker in self._lost:
            return
        await self._place(placement, [worker], list(placement.encode([worker])))
        if worker not in placement.held:
            self._fail(call, worker, "the worker took no kernel share")
        elif not call.over.is_set():
            self._send(call, [worker], [coded])

    async def _watch(self, call: _Call, owners: dict[Future[Any], int]) -> None:
        """Follows subtasks to their end, however late, and frees their workers."""
        from distributed import as_completed

        async for future in as_completed(list(owners), loop=self.client.loop):
            worker = owners.pop(future)
            self._unfinished[worker].discard(future)
            self._silent.discard(worker)
            if not call.over.is_set():
                if future.status == "finished":
                    self._spawn(self._fetch(call, worker, future))
                else:
                    self._fail(call, worker, f"the subtask was {future.status}")
            self._offer(worker)

    async def _fetch(self, call: _Call, worker: int, future: Future[Any]) -> None:
        try:
            reply = await self._transport.fetch(self._addresses[worker], future)
        except OSError as error:
            self._fail(call, worker, f"the result could not be fetched: {error}")
            return
        wrong = call.job.check(reply)
        if wrong is not None or reply["array"] is None:
            self._fail(call, worker, wrong or "no result")
            return
        call.collector.answered(
            worker, time.time(), reply["array"], reply["started"], reply["finished"]
        )
        if call.collector.complete:
            call.over.set()

    def _offer(self, worker: int) -> None:
        """Gives a worker that is free again its share of the layers under way."""
        if self._unfinished[worker]:
            return
        for call in self._calls:
            if worker in call.collector.unsent() and not call.over.is_set():
                self._send(call, [worker], list(call.job.encode([worker])))

    def _fail(self, call: _Call, worker: int, why: str) -> None:
        call.collector.failed(worker, time.time(), why)
        if call.collector.hopeless:
            call.over.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # The loop keeps only weak references to its tasks.
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _close(self) -> None:
        for task in list(self._background):
            task.cancel()
        for unfinished in self._unfinished:
            for future in unfinished:
                future.release()
            unfinished.clear()


class _Call:
    """One layer under way. Made in any thread, used on the client's loop."""

    def __init__(self, job: Job, collector: Collector) -> None:
        self.job = job
        self.collector = collector
        self.over = asyncio.Event()
        """Set when the answers suffice, or never will, or time is up."""
