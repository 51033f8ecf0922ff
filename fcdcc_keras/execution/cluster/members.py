"""Asks the scheduler who is there, and workers whether they are well."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fcdcc_keras.dask_internals import workers_of
from fcdcc_keras.dispatch.crew import LOOK_EVERY, PING_TIMEOUT, Crew
from fcdcc_keras.execution.cluster.news import ignore, listen
from fcdcc_keras.execution.cluster.probe import prepare
from fcdcc_keras.text import said_by
from fcdcc_keras.wire.transport import Transport
from fcdcc_keras.worker.farewell import LEAVING

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)


class Members:
    """Used on the client's loop."""

    def __init__(
        self,
        client: Client,
        crew: Crew,
        transport: Transport,
        moved: Callable[[int], None] = lambda slot: None,
        changed: Callable[[], None] = lambda: None,
        joined: Callable[[str], None] = lambda address: None,
    ) -> None:
        """Takes what it shares with its executor.

        Args:
            client: Asks the scheduler.
            crew: Is told what was seen.
            transport: Asks the workers.
            moved: Called with a slot whose worker is a new one, and holds nothing.
            changed: Called when the crew has been told something.
            joined: Called with the address of a worker that was taken in.
        """
        self._client = client
        self._crew = crew
        self._transport = transport
        self._moved = moved
        self._changed = changed
        self._joined = joined
        self._pinging: set[str] = set()
        self._background: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """Has the scheduler tell who comes and goes; looks who is there already."""
        listen(self._client, self)
        self.start(self.look())

    def hear(self, news: Mapping[str, Any]) -> None:
        """Takes news into account; see ``execution.cluster.news``."""
        process = news.get(LEAVING)
        if process is None:
            self.start(self.look())
            return
        now = time.monotonic()
        self._tell_moved(self._crew.leaving(str(process), now))
        self._changed()

    async def look(self, workers: Iterable[str] = ()) -> None:
        """Asks the scheduler who is there, and some workers whether they are well."""
        pings = [self.ping(address) for address in workers]
        await asyncio.gather(self._look(), *pings)
        if pings:
            self._changed()

    async def _look(self) -> None:
        crew = self._crew
        crew.looking(time.monotonic())
        try:
            known = await asyncio.wait_for(workers_of(self._client), LOOK_EVERY)
        except (asyncio.TimeoutError, OSError):
            return  # the scheduler is slow or gone: the layer's own timeout decides
        seen = crew.seen(known, time.monotonic())
        for address in seen.left:
            self._transport.forget(address)
        for address in seen.admit:
            self.start(self._admit(address))
        if seen.ping:
            self.start(self._ping(seen.ping))
        self._tell_moved(seen.moved)
        self._changed()

    async def _ping(self, workers: Iterable[str]) -> None:
        await asyncio.gather(*map(self.ping, workers))
        self._changed()

    async def ping(self, address: str) -> None:
        """Asks a worker whether it is there."""
        crew, asked = self._crew, self._crew.health.get(address)
        if address in self._pinging or asked is None:
            return
        self._pinging.add(address)
        process: str | None = None
        try:
            asking = self._transport.ping(address)
            process = await asyncio.wait_for(asking, PING_TIMEOUT)
        except Exception as error:  # whatever it was, it did not answer
            logger.debug("%s does not answer: %r", address, error)
        finally:
            self._pinging.discard(address)
        if crew.health.get(address) is not asked:
            return  # meanwhile another has been taken in there
        replaced = crew.pinged(address, process)
        if asked.lost:
            logger.info("%s is another process than it was", address)
            self._transport.forget(address)
        if replaced:
            self.start(self._admit(address))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts something that nobody waits for."""
        task = asyncio.ensure_future(work)  # the loop keeps only weak references
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def close(self) -> None:
        """Ends what is going on in the background, and listening."""
        ignore(self._client, self)
        for task in list(self._background):
            task.cancel()

    async def _admit(self, address: str) -> None:
        """Gets a process ready that was not there, and gives it what is to do."""
        crew = self._crew
        try:
            prepared = await prepare(self._client, [address])
            wrong = prepared.lacking.get(address)
        except Exception as error:  # whatever it was, the worker cannot be used
            wrong = said_by(error)
        now = time.monotonic()
        if wrong is None:
            process = prepared.processes[address]
            self._tell_moved(crew.admitted(address, process, now))
            self._joined(address)
            self._changed()
        elif crew.refused(address, now):
            logger.warning("%s cannot be used: %s", address, wrong)

    def _tell_moved(self, slots: Iterable[int]) -> None:
        for slot in slots:
            address = self._crew.roster.address(slot)
            logger.info("%s takes over share %d", address, slot)
            self._moved(slot)
