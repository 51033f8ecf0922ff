"""The workers behind an executor: who is there, who has which slot, who is well."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fcdcc_keras.execution.dask_internals import workers_of
from fcdcc_keras.execution.health import Health
from fcdcc_keras.execution.probe import prepare
from fcdcc_keras.execution.roster import Roster
from fcdcc_keras.execution.transport import Transport
from fcdcc_keras.execution.verify import DISTRUSTED

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between looks at which workers the scheduler has."""
LEFT = "the worker left the cluster"
PING_TIMEOUT = 1.0
"""Seconds within which even a busy worker answers; one that does not is suspect."""
ADMIT_AGAIN = 10.0
"""Seconds after which a worker that could not be used is tried again."""
_DOUBTED_AFTER = 0.1
"""Least seconds from one look to the next when somebody gave no answer."""


class Members:
    """Watches the workers. All but ``accepting`` and ``alive`` run on the loop."""

    def __init__(
        self,
        client: Client,
        addresses: Sequence[str],
        transport: Transport,
        moved: Callable[[int], None] = lambda slot: None,
        processes: Mapping[str, str] | None = None,
    ) -> None:
        """Takes what it shares with its executor.

        Args:
            client: Asks the scheduler.
            addresses: The worker of each slot.
            transport: Asks the workers.
            moved: Called with a slot whose worker is a new one, and holds nothing.
            processes: What Dask calls the process at each address.
        """
        self._client = client
        self._moved = moved
        self._transport = transport
        self.roster = Roster(addresses)
        known = processes or {}
        self.health = {a: Health(a, known.get(a, "")) for a in addresses}
        self._admitting: set[str] = set()
        self._refused: dict[str, float] = {}
        """When each worker could not be used last."""
        self._distrusted: set[str] = set()
        self._pinging: set[str] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._looked = time.monotonic()
        self._doubted: set[str] = set()
        self._known: Collection[str] = tuple(addresses)

    def of(self, slot: int) -> Health:
        """Returns the health of a slot's worker."""
        address = self.roster.address(slot)
        # Meanwhile, on the loop, another may have taken it over, and this be gone.
        return self.health.get(address) or self.of(slot)

    def accepting(self) -> list[int]:
        """Returns the slots whose workers may be given work."""
        now = time.monotonic()
        return [s for s in self._slots if self.of(s).accepts(now)]

    def alive(self, timeout: float) -> list[int]:
        """Returns the slots whose workers are there, and owe nothing for too long.

        A layer that has waited for its whole timeout for one is enough.
        """
        now, gone = time.monotonic(), self.gone()
        return [
            s
            for s in self._slots
            if s not in gone
            and not self.of(s).given_up
            and now - (self.of(s).oldest() or now) <= timeout
        ]

    def left(self) -> int:
        """Returns how many workers have not left, and were not found to lie."""
        known = list(self.health.values())
        return sum(not (health.lost or health.distrusted) for health in known)

    def sound(self) -> list[str]:
        """Returns the addresses of workers that may take over others' parts."""
        now = time.monotonic()
        return [a for a, h in list(self.health.items()) if h.sound(now)]

    def gone(self) -> dict[int, str]:
        """Returns the slots whose workers will not be asked, and why not."""
        reasons = {}
        for slot in self._slots:
            health = self.of(slot)
            if health.lost or health.distrusted:
                reasons[slot] = LEFT if health.lost else DISTRUSTED
        return reasons

    def distrust(self, address: str) -> None:
        """Takes no more answers from a worker; its slots go to others."""
        self._distrusted.add(address)
        if address in self.health:
            self.health[address].distrusted = True
        logger.warning("%s is not used any more: %s", address, DISTRUSTED)
        self.heal()

    def doubt(self, address: str) -> None:
        """Notes that a worker gave no answer: it may have left, and another come."""
        self._doubted.add(address)
        if time.monotonic() - self._looked > _DOUBTED_AFTER:
            self._start(self.look())

    @property
    def needs_look(self) -> bool:
        """Whether a slot may have no worker of its own, and nobody looked for long."""
        now, addresses = time.monotonic(), self.roster.addresses
        if now - self._looked <= LOOK_EVERY:
            return False
        # One that is late may have left: Dask connects to it for half a minute.
        wrong = ("lost", "suspect", "late")
        return (
            bool(self._doubted)
            or len(set(addresses)) < len(addresses)
            or any(h.state(now) in wrong for h in list(self.health.values()))
            or any(self.of(slot).distrusted for slot in self._slots)
        )

    async def look(self, patience: float = LOOK_EVERY) -> None:
        """Asks the scheduler who is there; new workers are admitted, slots moved."""
        self._looked = time.monotonic()
        try:
            self._known = await asyncio.wait_for(workers_of(self._client), patience)
        except (asyncio.TimeoutError, OSError):
            return  # the scheduler is slow or gone: the call's own timeout decides
        doubted, self._doubted = self._doubted, set()
        now = time.monotonic()
        for address, health in list(self.health.items()):
            if address not in self._known:
                health.leave()
            if health.lost and address not in self.roster.addresses:
                del self.health[address]
                self._transport.forget(address)
            elif address in doubted or health.state(now) in ("suspect", "late"):
                self._start(self.ping(address))
        self._refused = {a: t for a, t in self._refused.items() if a in self._known}
        for address in self._known:
            self._admit_if_new(address)
        self.heal()

    def trusts(self, address: str) -> bool:
        """Returns whether a worker never was found to give a wrong result."""
        return address not in self._distrusted

    def heal(self) -> None:
        """Gives slots to workers that have none, as far as there are any."""
        there = [a for a, h in self.health.items() if not h.absent]
        for slot in self.roster.heal(there, self.sound()):
            logger.info("%s takes over share %d", self.roster.address(slot), slot)
            self._moved(slot)

    async def ping(self, address: str) -> None:
        """Asks a worker whether it is there; without an answer it is suspect.

        Where another process answers at its address, the worker has left.
        """
        if address in self._pinging:
            return
        self._pinging.add(address)
        asked, process = self.health.get(address), ""
        try:
            process = await asyncio.wait_for(
                self._transport.ping(address), PING_TIMEOUT
            )
            answered = True
        except Exception:  # whatever it was, it did not answer
            answered = False
        finally:
            self._pinging.discard(address)
        health = self.health.get(address)
        if health is None or health is not asked:
            return
        health.pinged(answered)
        health.process = health.process or process
        if answered and process != health.process:
            logger.info("%s is another process than it was", address)
            health.leave()
            self._transport.forget(address)
            self._admit_if_new(address)

    def close(self) -> None:
        """Ends what is going on in the background."""
        for task in list(self._background):
            task.cancel()

    async def _admit(self, address: str) -> None:
        """Gets a process ready that was not there, and gives it what is to do."""
        try:
            prepared = await prepare(self._client, [address])
            wrong = prepared.lacking.get(address)
        except Exception as error:  # whatever it was, the worker cannot be used
            wrong = str(error)
        finally:
            self._admitting.discard(address)
        if wrong is not None:
            if address not in self._refused:
                logger.warning("%s cannot be used: %s", address, wrong)
            self._refused[address] = time.monotonic()
        elif address in self._known:
            self.health[address] = Health(address, prepared.processes[address])
            for slot in self.roster.slots(address):
                self._moved(slot)
            self.heal()

    def _admit_if_new(self, address: str) -> None:
        health = self.health.get(address)
        there = address in self._admitting or (health is not None and not health.lost)
        tried = self._refused.get(address, -math.inf)
        recent = time.monotonic() - tried < ADMIT_AGAIN
        if self.trusts(address) and not there and not recent:
            self._admitting.add(address)
            self._start(self._admit(address))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)  # the loop keeps only weak references
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    @property
    def _slots(self) -> range:
        return range(len(self.roster.addresses))
