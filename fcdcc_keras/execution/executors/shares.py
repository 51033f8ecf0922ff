"""The kernel shares on the workers of a Dask cluster: placing and freeing them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from fcdcc_keras.coding.job import Encode, Placement
from fcdcc_keras.wire.transport import Share, Transport

if TYPE_CHECKING:
    from distributed import Future

logger = logging.getLogger(__name__)

PLACE_TIMEOUT = 30.0
"""Seconds that a worker gets to take its share, however small."""
SLOWEST = 1e6
"""Bytes of a share per second that it gets besides: workers share the client's link."""

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
Key = tuple[Placement, int | str, str]
"""A layer, what the share of a slot is held under, the worker's address: one share."""


def key_of(placement: Placement, slot: int, address: str) -> Key:
    """Returns what the share of a slot on a worker is known by."""
    return placement, placement.place(slot, address), address


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
        self._placements: dict[Placement, set[tuple[int | str, str]]] = {}
        """With the places and addresses of the shares that its layer waits for."""
        self._placing: dict[Key, asyncio.Task[None]] = {}

    def new(self, name: str, encode: Encode, *, alike: bool = False) -> Placement:
        """Returns a placement that no worker holds a share of yet."""
        placement = Placement(name, encode, alike=alike)
        self._placements[placement] = set()
        return placement

    @staticmethod
    def held(key: Key) -> Future[Any] | None:
        """Returns the future of a share on a worker, or None: it is not there."""
        placement, place, address = key
        where, future = placement.held.get(place, (None, None))
        # Dask takes data back when a cluster restarts: that share is lost.
        there = where == address and future.status == "finished"
        return future if there else None

    def start(self, key: Key, share: Share) -> asyncio.Task[None]:
        """Starts giving a worker its share, or returns the task that does."""
        if key not in self._placing:
            self._placing[key] = self._spawn(self._place(key, share))
            self._begin(key[2], key)
        return self._placing[key]

    async def encode_and_start(self, key: Key, slot: int) -> None:
        """Gives a worker a share that has not been encoded yet, and waits for that."""
        placement = key[0]
        if placement in self._placements and key not in self._placing:
            # In one thread: each that has done this keeps tens of megabytes for ever.
            loop = asyncio.get_running_loop()
            (share,) = await loop.run_in_executor(
                self._encoder, placement.encode, [slot]
            )
            # Meanwhile another may have done it: the share may be in use.
            if self.held(key) is None:
                self.start(key, share)
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
        await self._fill(slot, address, list(self._placements), wanted)

    async def fill_spare(self, address: str, wanted: Callable[[], bool]) -> None:
        """Gives a worker without a slot what is alike for all; see ``fill``."""
        await self._fill(0, address, self._alike(), wanted)

    def ready(self, address: str) -> bool:
        """Returns whether a worker without a slot has all that is alike for all."""
        keys = (key_of(placement, 0, address) for placement in self._alike())
        return all(self.held(key) is not None for key in keys)

    def _alike(self) -> list[Placement]:
        return [placement for placement in list(self._placements) if placement.alike]

    async def _fill(
        self,
        slot: int,
        address: str,
        waiting: list[Placement],
        wanted: Callable[[], bool],
    ) -> None:
        while waiting and wanted():
            keys = [key_of(placement, slot, address) for placement in waiting]
            urgent = [key for key in keys if key[1:] in self._wanted(key[0])]
            key = (urgent or keys)[0]
            waiting.remove(key[0])
            if key[0] in self._placements and self.held(key) is None:
                await self.encode_and_start(key, slot)
                if self.held(key) is None:
                    break

    def hurry(self, key: Key) -> None:
        """Notes that a layer waits for a share, which a worker is given next then."""
        self._wanted(key[0]).add(key[1:])

    @staticmethod
    def forget(placement: Placement, share: Future[Any]) -> None:
        """Notes that a worker has lost a share: it will be given it again."""
        for place, (_, future) in list(placement.held.items()):
            if future is share:
                placement.held.pop(place, None)
                future.release()

    def release(self, placement: Placement) -> None:
        """Frees a layer's shares on the workers."""
        self._placements.pop(placement, None)
        for place in list(placement.held):
            # On the loop one may be forgotten at the same time.
            _, future = placement.held.pop(place, (None, None))
            if future is not None:
                future.release()

    def release_all(self) -> None:
        """Frees all shares; no more can be encoded then."""
        for placement in list(self._placements):
            self.release(placement)
        self._encoder.shutdown(wait=False, cancel_futures=True)

    def _wanted(self, placement: Placement) -> set[tuple[int | str, str]]:
        return self._placements.get(placement, set())

    async def _place(self, key: Key, share: Share) -> None:
        placement, place, address = key
        placing = asyncio.ensure_future(
            self._transport.place(placement.name, address, share)
        )
        arrays = share if isinstance(share, tuple) else (share,)
        timeout = PLACE_TIMEOUT + sum(array.nbytes for array in arrays) / SLOWEST
        try:
            # Dask tells the scheduler of a share when the worker has it: cancelled in
            # between, it would stay there for ever.
            future = await asyncio.wait_for(asyncio.shield(placing), timeout)
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
            replaced = placement.held.get(place)
            placement.held[place] = address, future
            if replaced is not None:
                replaced[1].release()
            if placement not in self._placements:
                self.release(placement)  # as it was while the share was on its way
        finally:
            self._placing.pop(key, None)
            self._wanted(placement).discard((place, address))
            self._end(address, key)


def _release(placing: asyncio.Task[Future[Any]]) -> None:
    if not placing.cancelled() and placing.exception() is None:
        placing.result().release()
