"""The way to each worker: directly, or by the scheduler while the direct way is cut.

A firewall, or a NAT that has forgotten a connection, drops what is sent, while the
scheduler and the worker are well: nothing fails, and nothing arrives. Such a worker is
asked by way of the scheduler, what it owes included, and directly again as soon as that
answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

_RELAYED_AFTER, _CUT_AFTER = 0.5, 0.9
"""Seconds without a direct answer after which the scheduler is to ask, and after which
the direct way is cut if the worker answers that."""
_PATIENCE = 5.0
"""Seconds that a worker gets to answer on either way."""
_TRY_AGAIN = 2.0
"""Seconds from one try whether a way that was cut is there again to the next."""

Ask = Callable[[str], Awaitable[str]]
"""Returns what Dask calls the process at an address as soon as that answers; raises, or
never ends, otherwise."""


class Routes:
    """Runs on the client's loop."""

    def __init__(self, reach: Ask, relay: Ask, drop: Callable[[str], None]) -> None:
        """Takes what it asks with.

        Args:
            reach: Asks a worker directly.
            relay: Has the scheduler ask it.
            drop: Closes the connection to a worker.
        """
        self._reach = reach
        self._relay = relay
        self._drop = drop
        self._cut: dict[str, float] = {}
        """When each way that is cut was tried last."""
        self._under_way: dict[str, set[asyncio.Task[Any]]] = {}
        """What waits for a direct answer."""
        self._turned: set[asyncio.Task[Any]] = set()
        """What waited, and is to go by way of the scheduler."""
        self._findings: dict[str, asyncio.Task[str]] = {}

    @property
    def cut(self) -> bool:
        """Whether any direct way is cut."""
        return bool(self._cut)

    async def go(
        self,
        address: str,
        directly: Callable[[], Awaitable[T]],
        relayed: Callable[[], Awaitable[T]],
    ) -> T:
        """Asks a worker directly, or by way of the scheduler once that way is cut.

        In a task of its own, which may be cancelled to have it turn.
        """
        if address not in self._cut:
            task: Any = asyncio.current_task()
            under_way = self._under_way.setdefault(address, set())
            under_way.add(task)
            try:
                return await directly()
            except asyncio.CancelledError:
                if task not in self._turned:
                    raise
            finally:
                under_way.discard(task)
                self._turned.discard(task)
                if not under_way and self._under_way.get(address) is under_way:
                    del self._under_way[address]
        return await relayed()

    def find(self, address: str) -> asyncio.Task[str]:
        """Finds out which way to a worker is there; one at a time for each.

        Returns:
            What ends with what Dask calls the process that answered.
        """
        if address not in self._findings:
            finding = asyncio.ensure_future(self._found_in_time(address))
            self._findings[address] = finding
            finding.add_done_callback(lambda task: self._end(address, task))
        return self._findings[address]

    def try_again(self) -> None:
        """Looks in the background whether ways that were cut are there again."""
        now = time.monotonic()
        for address, tried in self._cut.items():
            if now - tried > _TRY_AGAIN:
                self._cut[address] = now
                self.find(address)

    def forget(self, address: str) -> None:
        """Takes the way to a worker that has come anew for one that is there."""
        self._cut.pop(address, None)

    def close(self) -> None:
        """Ends what is going on in the background."""
        for finding in self._findings.values():
            finding.cancel()

    def _end(self, address: str, finding: asyncio.Task[str]) -> None:
        self._findings.pop(address, None)
        if not _succeeded(finding):  # it has left, or hangs: on either way
            self._cut.pop(address, None)

    async def _found_in_time(self, address: str) -> str:
        return await asyncio.wait_for(self._found(address), _PATIENCE)

    async def _found(self, address: str) -> str:
        asked = direct, relay = (
            asyncio.ensure_future(self._reach(address)),
            asyncio.ensure_future(self._relay_later(address)),
        )
        for task in asked:
            task.add_done_callback(_succeeded)  # nobody may be waiting for it
        try:
            await asyncio.wait({direct}, timeout=_CUT_AFTER)
            while not _succeeded(direct):
                if relay.done():
                    process = relay.result()
                    self._turn(address)
                    return process
                waiting = {task for task in asked if not task.done()}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            self._cut.pop(address, None)
            return direct.result()
        finally:
            direct.cancel()
            relay.cancel()

    async def _relay_later(self, address: str) -> str:
        await asyncio.sleep(_RELAYED_AFTER)
        return await self._relay(address)

    def _turn(self, address: str) -> None:
        """Has the scheduler ask a worker from now on, for what it owes already, too."""
        if address not in self._cut:
            logger.warning(
                "%s answers the scheduler, but not this client: it is asked by way of "
                "the scheduler until it does.",
                address,
            )
        self._cut[address] = time.monotonic()
        for task in self._under_way.get(address, set()) - self._turned:
            self._turned.add(task)
            task.cancel()
        self._drop(address)


def _succeeded(task: asyncio.Task[str]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
