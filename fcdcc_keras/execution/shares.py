"""Which shares a Dask executor's workers hold, and which are on their way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np

from fcdcc_keras.execution.base import Encode, Placement
from fcdcc_keras.execution.tasks import TaskTransport

logger = logging.getLogger(__name__)

PLACE_TIMEOUT = 30.0
"""Seconds that a worker gets to take its kernel share."""

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Shares:
    """Places and releases shares; a share on its way is work that a worker owes."""

    def __init__(
        self,
        transport: TaskTransport,
        addresses: Sequence[str],
        owed: list[dict[object, float]],
        spawn: Spawn,
        on_end: Callable[[int], None],
    ) -> None:
        """Takes what it shares with its executor.

        Args:
            transport: Moves the shares.
            addresses: Address of each worker.
            owed: For each worker what it owes, and since when; kept up to date.
            spawn: Starts a task on the client's loop.
            on_end: Called with a worker when a share has come, or will not.
        """
        self._transport = transport
        self._addresses = addresses
        self._owed = owed
        self._spawn = spawn
        self._on_end = on_end
        self._placements: set[Placement] = set()
        self._placing: dict[tuple[Placement, int], asyncio.Task[None]] = {}

    def new(self, name: str, encode: Encode) -> Placement:
        """Returns a placement that no worker holds a share of yet."""
        placement = Placement(name, encode)
        self._placements.add(placement)
        return placement

    def on_the_way(self, placement: Placement, worker: int) -> bool:
        """Returns whether a worker is being given its share."""
        return (placement, worker) in self._placing

    def start(
        self, placement: Placement, worker: int, share: np.ndarray
    ) -> asyncio.Task[None]:
        """Starts giving a worker its share, or returns the task that does."""
        key = placement, worker
        if key not in self._placing:
            self._owed[worker][key] = time.monotonic()
            self._placing[key] = self._spawn(self._place(placement, worker, share))
        return self._placing[key]

    def release(self, placement: Placement) -> None:
        """Frees a layer's shares on the workers."""
        self._placements.discard(placement)
        for worker in list(placement.held):
            placement.held.pop(worker).release()

    def release_all(self) -> None:
        """Frees all shares."""
        for placement in list(self._placements):
            self.release(placement)

    async def _place(
        self, placement: Placement, worker: int, share: np.ndarray
    ) -> None:
        address = self._addresses[worker]
        try:
            placing = self._transport.place(placement.name, address, share)
            future = await asyncio.wait_for(placing, PLACE_TIMEOUT)
        except Exception as error:  # whatever it was, the share is not there
            logger.warning("%s took no share: %r", address, error)
        else:
            if placement in self._placements:
                placement.held[worker] = future
            else:
                future.release()  # released while the share was on its way
        finally:
            self._placing.pop((placement, worker), None)
            self._owed[worker].pop((placement, worker), None)
        self._on_end(worker)
