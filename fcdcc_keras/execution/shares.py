"""The kernel shares on the workers of a Dask cluster: placing and freeing them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.coding.job import Encode, Placement
from fcdcc_keras.wire.transport import Transport

if TYPE_CHECKING:
    from distributed import Future

logger = logging.getLogger(__name__)

PLACE_TIMEOUT = 30.0
"""Seconds that a worker gets to take its kernel share."""

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
Key = tuple[Placement, int, str]
"""A layer, a slot and the address of its worker: one share on its way."""


class Shares:
    """Places and releases shares; a share on its way is work that a worker owes."""

    def __init__(
        self,
        transport: Transport,
        spawn: Spawn,
        begin: Callable[[str, Key], None],
        end: Callable[[str, Key], None],
    ) -> None:
        """Takes what it shares with its executor.

        Args:
            transport: Moves the shares.
            spawn: Starts a task on the client's loop.
            begin: Called with an address and a share that is sent there.
            end: Called with them when the share has come, or will not.
        """
        self._transport = transport
        self._spawn = spawn
        self._begin = begin
        self._end = end
        self._encoder = ThreadPoolExecutor(1, "fcdcc-shares")
        # Changed on the loop and in any other thread: so never iterated itself.
        self._placements: dict[Placement, set[tuple[int, str]]] = {}
        """With the slots and addresses of the shares that its layer waits for."""
        self._placing: dict[Key, asyncio.Task[None]] = {}

    def new(self, name: str, encode: Encode) -> Placement:
        """Returns a placement that no worker holds a share of yet."""
        placement = Placement(name, encode)
        self._placements[placement] = set()
        return placement

    @staticmethod
    def held(key: Key) -> Future[Any] | None:
        """Returns the future of a share on a worker, or None: it is not there."""
        placement, slot, address = key
        where, future = placement.held.get(slot, (None, None))
        # Dask takes data back when a cluster restarts: that share is lost.
        there = where == address and future.status == "finished"
        return future if there else None

    def start(self, key: Key, share: np.ndarray) -> asyncio.Task[None]:
        """Starts giving a worker its share, or returns the task that does."""
        if key not in self._placing:
            self._placing[key] = self._spawn(self._place(key, share))
            self._begin(key[2], key)
        return self._placing[key]

    async def encode_and_start(self, key: Key) -> None:
        """Gives a worker a share that has not been encoded yet, and waits for that."""
        placement, slot, _ = key
        if placement in self._placements and key not in self._placing:
            # In one thread: each that has done this keeps tens of megabytes for ever.
            loop = asyncio.get_running_loop()
            share = await loop.run_in_executor(self._encoder, placement.encode, [slot])
            # Meanwhile another may have done it: the share may be in use.
            if self.held(key) is None:
                self.start(key, share[0])
        if key in self._placing:
            await self._placing[key]

    async def fill(
        self, slot: int, address: str, wanted: Callable[[], bool] = lambda: True
    ) -> None:
        """Gives a worker all the shares of a slot that it lacks, one after another.

        So that it need not wait for each at the next call of its layer, when others
        may be missing.

        Args:
            slot: What it has taken over.
            address: The worker's.
            wanted: Whether it still has it.
        """
        waiting = list(self._placements)
        while waiting and wanted():
            urgent = [p for p in waiting if (slot, address) in self._wanted(p)]
            placement = (urgent or waiting)[0]
            waiting.remove(placement)
            key = placement, slot, address
            if placement in self._placements and self.held(key) is None:
                await self.encode_and_start(key)
                if self.held(key) is None:
                    break

    def hurry(self, key: Key) -> None:
        """Notes that a layer waits for a share, which a worker is given next then."""
        self._wanted(key[0]).add(key[1:])

    @staticmethod
    def forget(placement: Placement, share: Future[Any]) -> None:
        """Notes that a worker has lost a share: it will be given it again."""
        for slot, (_, future) in list(placement.held.items()):
            if future is share:
                placement.held.pop(slot, None)
                future.release()

    def release(self, placement: Placement) -> None:
        """Frees a layer's shares on the workers."""
        self._placements.pop(placement, None)
        for slot in list(placement.held):
            # On the loop one may be forgotten at the same time.
            _, future = placement.held.pop(slot, (None, None))
            if future is not None:
                future.release()

    def release_all(self) -> None:
        """Frees all shares; no more can be encoded then."""
        for placement in list(self._placements):
            self.release(placement)
        self._encoder.shutdown(wait=False, cancel_futures=True)

    def _wanted(self, placement: Placement) -> set[tuple[int, str]]:
        return self._placements.get(placement, set())

    async def _place(self, key: Key, share: np.ndarray) -> None:
        placement, slot, address = key
        placing = asyncio.ensure_future(
            self._transport.place(placement.name, address, share)
        )
        try:
            # Dask tells the scheduler of a share when the worker has it: cancelled in
            # between, it would stay there for ever.
            future = await asyncio.wait_for(asyncio.shield(placing), PLACE_TIMEOUT)
        except asyncio.CancelledError:
            placing.add_done_callback(_release)
            raise
        except Exception as error:  # whatever it was, the share is not there
            placing.add_done_callback(_release)
            # The scheduler knows it no more: it left, which is told elsewhere.
            left = isinstance(error, KeyError)
            level = logging.INFO if left else logging.WARNING
            logger.log(level, "%s took no share: %r", address, error)
        else:
            replaced = placement.held.get(slot)
            placement.held[slot] = address, future
            if replaced is not None:
                replaced[1].release()
            if placement not in self._placements:
                self.release(placement)  # as it was while the share was on its way
        finally:
            self._placing.pop(key, None)
            self._wanted(placement).discard((slot, address))
            self._end(address, key)


def _release(placing: asyncio.Task[Future[Any]]) -> None:
    if not placing.cancelled() and placing.exception() is None:
        placing.result().release()
