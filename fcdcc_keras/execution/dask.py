"""Runs coded layers on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.execution.base import Encode, Executor, Job, Placement
from fcdcc_keras.execution.collector import Collector, choose_targets
from fcdcc_keras.execution.shares import Shares
from fcdcc_keras.execution.tasks import TaskTransport

if TYPE_CHECKING:
    from distributed import Client, Future

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
        # Of each worker, what it owes and since when: subtasks, and shares that are
        # on their way to it.
        self._owed: list[dict[object, float]] = [{} for _ in addresses]
        self._lost: set[int] = set()
        self._calls: set[_Call] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._shares = Shares(
            self._transport, self._addresses, self._owed, self._spawn, self._offer
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Dask address of each worker."""
        return self._addresses

    @property
    def free(self) -> list[int]:
        """Workers that are there and owe nothing."""
        lost = self._lost
        return [w for w, owed in enumerate(self._owed) if not owed and w not in lost]

    def place(self, name: str, encode: Encode, *, wait: bool = False) -> Placement:
        """Starts giving every free worker its share; see ``Executor.place``."""
        placement = self._shares.new(name, encode)
        workers = self.free
        if workers and self.client.status == "running":
            shares = list(encode(workers))
            self.client.sync(self._place, placement, workers, shares, wait)
        return placement

    def run(self, job: Job) -> Collector:
        """Sends to the workers that are free, and collects; see ``Executor.run``."""
        call = _Call(job, Collector(job.code, self.addresses, job.limit))
        if self.client.status != "running":
            for worker in range(self.workers):
                call.collector.failed(worker, time.time(), "the client is closed")
            return call.collector
        alive = self._alive(job.timeout)
        if not call.collector.enough(alive):
            self.client.sync(self._look_for_lost)  # some may be back
            alive = self._alive(job.timeout)
        if not call.collector.enough(alive):
            for worker in set(range(self.workers)) - set(alive):
                why = "left the cluster" if worker in self._lost else "does not answer"
                call.collector.failed(worker, time.time(), f"the worker {why}")
            return call.collector
        targets = choose_targets(call.collector, self.free, alive)
        self.client.sync(self._run, call, targets, list(job.encode(targets)))
        return call.collector

    def release(self, placement: Placement) -> None:
        """Frees a layer's shares on the workers."""
        self._shares.release(placement)

    def close(self) -> None:
        """Ends layers under way, frees all shares, lets go of unfinished subtasks."""
        if self.client.status == "running":
            self.client.sync(self._close)
        self._shares.release_all()

    def _alive(self, timeout: float) -> list[int]:
        """Workers that are there and owe nothing for longer than a timeout."""
        now = time.monotonic()
        return [
            w
            for w, owed in enumerate(self._owed)
            if w not in self._lost
            and all(now - since <= timeout for since in list(owed.values()))
        ]

    async def _place(
        self,
        placement: Placement,
        workers: Sequence[int],
        shares: Sequence[np.ndarray],
        wait: bool,
    ) -> None:
        tasks = [
            self._shares.start(placement, worker, share)
            for worker, share in zip(workers, shares, strict=True)
        ]
        if wait:
            await asyncio.gather(*tasks)

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
                return
            try:
                await asyncio.wait_for(call.over.wait(), min(left, _LOOK_EVERY))
            except asyncio.TimeoutError:
                await self._look_for_lost(min(left, _LOOK_EVERY))

    async def _look_for_lost(self, patience: float = _LOOK_EVERY) -> None:
        scheduler: Any = self.client.scheduler
        try:
            known = await asyncio.wait_for(scheduler.ncores(), patience)
        except (asyncio.TimeoutError, OSError, AttributeError):
            return  # the scheduler is slow or gone: the call's own timeout decides
        self._lost = {w for w, a in enumerate(self._addresses) if a not in known}
        for call in list(self._calls):
            for worker in self._lost:
                self._fail(call, worker, "the worker left the cluster")

    def _send(
        self, call: _Call, targets: Sequence[int], inputs: Sequence[np.ndarray]
    ) -> None:
        placement = call.job.placement
        held, ready = placement.held, []
        for worker, coded in zip(targets, inputs, strict=True):
            # Dask takes data back when a cluster restarts: that share is lost.
            holds = worker in held and held[worker].status == "finished"
            if not holds and self._owed[worker].keys() - {(placement, worker)}:
                continue  # it is offered the layer when it owes nothing else
            call.collector.sent(worker, time.time(), coded.nbytes)
            if holds:
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
            self._owed[worker][future] = time.monotonic()
        self._spawn(self._watch(call, owners))

    async def _place_and_send(
        self, call: _Call, worker: int, coded: np.ndarray
    ) -> None:
        placement = call.job.placement
        if not self._shares.on_the_way(placement, worker):
            await self._look_for_lost()
            if worker in self._lost:
                return
        share = await asyncio.to_thread(placement.encode, [worker])
        await self._shares.start(placement, worker, share[0])
        if worker not in placement.held:
            self._fail(call, worker, "the worker took no kernel share")
        elif not call.over.is_set():
            self._send(call, [worker], [coded])

    async def _watch(self, call: _Call, owners: dict[Future[Any], int]) -> None:
        """Follows subtasks to their end, however late, and frees their workers."""
        from distributed import as_completed

        async for future in as_completed(list(owners), loop=self.client.loop):
            worker = owners.pop(future)
            self._owed[worker].pop(future, None)
            if not call.over.is_set():
                if future.status == "finished":
                    self._spawn(self._fetch(call, worker, future))
                else:
                    self._fail(call, worker, f"the subtask was {future.status}")
            self._offer(worker)

    async def _fetch(self, call: _Call, worker: int, future: Future[Any]) -> None:
        try:
            reply = await self._transport.fetch(self._addresses[worker], future)
            wrong = call.job.check(reply)
        except Exception as error:  # whatever it was, there is no result
            self._fail(call, worker, f"the result could not be fetched: {error!r}")
            return
        if wrong is not None or reply["array"] is None:
            self._fail(call, worker, wrong or "no result")
            return
        call.collector.answered(
            worker, time.time(), reply["array"], reply["started"], reply["finished"]
        )
        if call.collector.complete:
            call.over.set()

    def _offer(self, worker: int) -> None:
        """Gives a worker that owes nothing its share of the layers under way."""
        for call in list(self._calls):
            unsent = worker in call.collector.unsent() and not call.over.is_set()
            if unsent and not self._owed[worker]:
                self._spawn(self._encode_and_send(call, worker))

    async def _encode_and_send(self, call: _Call, worker: int) -> None:
        coded = await asyncio.to_thread(call.job.encode, [worker])
        # Meanwhile it may have been sent something else, or be offered this again.
        if worker in call.collector.unsent() and not call.over.is_set():
            self._send(call, [worker], list(coded))

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
        for call in list(self._calls):
            for worker in range(self.workers):
                call.collector.failed(worker, time.time(), "the model was closed")
            call.over.set()
        while self._calls:
            await asyncio.sleep(0)
        for task in list(self._background):
            task.cancel()
        for owed in self._owed:
            for item in owed:
                if not isinstance(item, tuple):
                    item.release()  # type: ignore[attr-defined]
            owed.clear()


class _Call:
    """One layer under way. Made in any thread, used on the client's loop."""

    def __init__(self, job: Job, collector: Collector) -> None:
        self.job = job
        self.collector = collector
        self.over = asyncio.Event()
        """Set when the answers suffice, or never will, or time is up."""
