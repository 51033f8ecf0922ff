"""The peer that straggler-proof systems without codes use: speculative copies.

An uncoded split over all workers, on the same transport as coded layers. When half of
a layer's subtasks are done and one takes over three times as long as they did, a copy
of it is launched on another worker, and the first answer counts (Zaharia et al., OSDI
2008). Every worker holds all the kernel, so that any can take over any subtask, and a
worker that still computes what nobody waits for is given new work last.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fcdcc_keras.coding.job import Encode, Job, Placement
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.execution.base import Executor
from fcdcc_keras.execution.dask import DaskExecutor
from fcdcc_keras.wire.transport import Subtask
from fcdcc_keras.worker.reply import Reply

PATIENCE = 3.0
"""Times the median of the done ones that a subtask may take before it is copied."""


def copies_due(
    sent: Mapping[int, float], durations: Sequence[float], waiting: Collection[int]
) -> dict[int, float]:
    """Returns when each subtask that is waited for should be copied.

    Args:
        sent: When each subtask of the layer was sent.
        durations: How long those took that are done.
        waiting: Those that are neither done nor copied.

    Returns:
        The time for each of ``waiting``; nothing while less than half are done.
    """
    if 2 * len(durations) < len(sent):
        return {}
    usual = float(np.median(durations))
    return {slot: sent[slot] + PATIENCE * usual for slot in waiting}


class SpeculativeExecutor(Executor):
    """Runs uncoded layers with speculative copies on the workers of a cluster."""

    def __init__(self, executor: DaskExecutor) -> None:
        """Takes the executor whose client, workers and transport it uses."""
        self._client = executor.client
        self._addresses = executor.addresses
        self._transport = executor.transport
        self._owed: Counter[str] = Counter()
        self.copies = 0
        """Copies launched so far."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Address of each worker."""
        return self._addresses

    @property
    def transport_name(self) -> str:
        """How subtasks reach the workers."""
        return self._transport.name

    def place(self, name: str, encode: Encode, *, wait: bool = False) -> Placement:
        """Gives every worker all parts of the kernel, and waits for them."""
        placement = Placement(name, encode)
        shares = encode(range(self.workers))
        placement.held = self._client.sync(self._place, name, shares)
        return placement

    def run(self, job: Job) -> Collector:
        """Sends every part to one worker, and copies of late ones to others."""
        collector = Collector(job.code, self.addresses, job.limit)
        inputs = job.encode(range(self.workers))
        self._client.sync(_Layer(self, job, collector, list(inputs)).run)
        return collector

    def release(self, placement: Placement) -> None:
        """Frees a layer's shares on the workers."""
        held: dict[int, Any] = dict(placement.held)
        placement.held.clear()
        for futures in held.values():
            for future in futures.values():
                future.release()

    def close(self) -> None:
        """Does nothing: shares go with their layers, the client is another's."""

    def freest(self, slot: int, carried: Mapping[str, int], not_on: str = "") -> str:
        """Returns the worker for a subtask: with least to do, its own if equal.

        Args:
            slot: The subtask.
            carried: What workers owed already when the layer began.
            not_on: A worker that it must not be.
        """
        own = self.addresses[slot]
        choices = [a for a in self.addresses if a != not_on]
        return min(choices, key=lambda a: (self._owed[a], carried.get(a, 0), a != own))

    def start(
        self, job: Job, slot: int, address: str, coded: np.ndarray
    ) -> asyncio.Task[Reply]:
        """Sends a subtask to a worker."""
        share = job.placement.held[slot][address]
        nbytes = math.prod(job.result_shape) * job.dtype.itemsize
        subtask = Subtask(address, share, coded, nbytes)
        (task,) = self._transport.start(job.name, [subtask], job.program)
        self._owed[address] += 1
        task.add_done_callback(lambda _: self._owed.subtract([address]))
        return task

    def owed(self) -> dict[str, int]:
        """Returns how many subtasks each worker has not finished."""
        return dict(self._owed)

    async def _place(
        self, name: str, shares: Sequence[np.ndarray]
    ) -> dict[int, dict[str, Any]]:
        held: dict[int, dict[str, Any]] = {}
        for slot, share in enumerate(shares):
            # Parts that differ in the input alone have the same kernel.
            twin = next((s for s in held if np.array_equal(shares[s], share)), None)
            if twin is None:
                placing = [
                    self._transport.place(name, address, share)
                    for address in self.addresses
                ]
                futures = await asyncio.gather(*placing)
                held[slot] = dict(zip(self.addresses, futures, strict=True))
            else:
                held[slot] = held[twin]
        return held


class _Layer:
    """One layer under way; used on the client's loop."""

    def __init__(
        self,
        executor: SpeculativeExecutor,
        job: Job,
        collector: Collector,
        inputs: Sequence[np.ndarray],
    ) -> None:
        self._executor = executor
        self._job = job
        self._collector = collector
        self._inputs = inputs
        self._sent: dict[int, float] = {}
        self._attempts: dict[asyncio.Task[Reply], tuple[int, str]] = {}
        self._durations: list[float] = []
        self._copied: set[int] = set()

    async def run(self) -> None:
        carried = self._executor.owed()
        # Those whose own workers are free first, so that they keep them.
        slots = sorted(
            range(len(self._inputs)),
            key=lambda s: carried.get(self._executor.addresses[s], 0),
        )
        for slot in slots:
            self._send(slot, self._executor.freest(slot, carried))
        deadline = time.monotonic() + self._job.timeout
        while not self._collector.complete and time.monotonic() < deadline:
            due = copies_due(self._sent, self._durations, self._waiting())
            wait = min([deadline, *due.values()]) - time.monotonic()
            done, _ = await asyncio.wait(
                self._attempts,
                timeout=max(wait, 0),
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                self._take(task, *self._attempts.pop(task))
            if not self._attempts:
                return
            now = time.monotonic()
            for slot in [s for s, when in due.items() if when <= now]:
                if slot not in self._collector.survivors:
                    self._copy(slot, carried)

    def _waiting(self) -> list[int]:
        done = set(self._collector.survivors) | self._copied
        return [slot for slot in self._sent if slot not in done]

    def _send(self, slot: int, address: str) -> None:
        coded = self._inputs[slot]
        self._collector.sent(slot, time.time(), coded.nbytes, address)
        self._sent.setdefault(slot, time.monotonic())
        task = self._executor.start(self._job, slot, address, coded)
        self._attempts[task] = slot, address

    def _copy(self, slot: int, carried: Mapping[str, int]) -> None:
        on = next(a for s, a in self._attempts.values() if s == slot)
        self._copied.add(slot)
        self._executor.copies += 1
        self._send(slot, self._executor.freest(slot, carried, not_on=on))

    def _take(self, task: asyncio.Task[Reply], slot: int, address: str) -> None:
        reply = task.result()
        array, wrong = reply.array, self._job.check(reply)
        if wrong is not None or array is None:
            if all(s != slot for s, _ in self._attempts.values()):
                self._collector.failed(slot, time.time(), wrong or "no result")
            return
        if slot not in self._collector.survivors:
            self._durations.append(time.monotonic() - self._sent[slot])
        self._collector.answered(
            slot, time.time(), array, reply.started, reply.finished
        )
