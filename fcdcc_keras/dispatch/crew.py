"""The workers of a session: who is there, who has which slot, who can be relied on.

Pure: told what was seen and when, it says what follows. Whoever asks the scheduler and
the workers reports here; rounds under way read it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from fcdcc_keras.dispatch.health import Health
from fcdcc_keras.dispatch.roster import Roster

LOOK_EVERY = 0.5
"""Seconds between looks at which workers the scheduler has."""
PING_TIMEOUT = 1.0
"""Seconds within which even a busy worker answers; one that does not is suspect."""
ADMIT_AGAIN = 10.0
"""Seconds after which a worker that could not be used is tried again."""
_DOUBTED_AFTER = 0.1
"""Least seconds from one look to the next when somebody gave no answer."""
MOST_SPARE = 2
"""Times as many workers as there are slots that are taken in."""
TOO_SLOW = 3.0
"""Times as long as most that a worker takes for which no work is cut."""
LEFT = "the worker left the cluster"
DISTRUSTED = "the worker gave a result that contradicted those of the others"


@dataclass(frozen=True)
class Seen:
    """What follows from a look at who is there."""

    left: tuple[str, ...]
    """Workers that are gone for good, of whom nothing is kept."""
    ping: tuple[str, ...]
    """Workers that owe an answer, or gave none last time, to be asked again."""
    admit: tuple[str, ...]
    """Workers that have joined, to be checked and warmed up."""
    moved: tuple[int, ...]
    """Slots that have another worker now."""


class Crew:
    """Written in one thread; ``accepting``, ``alive`` and ``of`` are read in any."""

    def __init__(
        self,
        addresses: Sequence[str],
        now: float = 0.0,
        processes: Mapping[str, str] | None = None,
    ) -> None:
        """Takes the worker of each slot, all of them there and idle.

        Args:
            addresses: Address of each slot's worker.
            now: Seconds, of any clock.
            processes: What Dask calls the process at each address.
        """
        known = processes or {}
        self.roster = Roster(addresses)
        self.health = {a: Health(a, known.get(a, "")) for a in addresses}
        self._known: Collection[str] = tuple(addresses)
        self._distrusted: set[str] = set()
        self._admitting: set[str] = set()
        self._farewells: set[str] = set()
        """Processes that leave, as Dask calls them."""
        self._refused: dict[str, float] = {}
        """When each worker could not be used last."""
        self._looked = now
        self._doubted: set[str] = set()

    def of(self, slot: int) -> Health:
        """Returns the health of a slot's worker."""
        address = self.roster.address(slot)
        # Meanwhile, on the loop, another may have taken it over, and this be gone.
        return self.health.get(address) or self.of(slot)

    @property
    def slots(self) -> range:
        """All slots, from 0 to n − 1."""
        return range(len(self.roster.addresses))

    def accepting(self, now: float) -> list[int]:
        """Returns the slots whose workers may be given work."""
        return [s for s in self.slots if self.of(s).accepts(now)]

    def alive(self, now: float, timeout: float) -> list[int]:
        """Returns the slots whose workers are there, and owe nothing for too long.

        A layer that has waited for its whole timeout for one is enough.
        """
        gone = self.gone()
        return [
            s
            for s in self.slots
            if s not in gone
            and not self.of(s).given_up
            and now - (self.of(s).oldest() or now) <= timeout
        ]

    def team(self, kind: Hashable, now: float) -> dict[str, float]:
        """Returns the workers that work is to be cut for, each with its speed.

        Those that are there, but nobody who takes ``TOO_SLOW`` times as long as most,
        or who is late or failed a short while ago, unless most are. Speeds are relative
        to most; of whom nothing is known it is 1.

        Args:
            kind: What their usual times are remembered under.
            now: Seconds.
        """
        there = {
            address: health
            for address, health in list(self.health.items())
            if not health.absent
        }
        sound = {a: one for a, one in there.items() if one.sound(now)}
        if 2 * len(sound) >= len(there):
            there = sound
        paces = {a: health.pace(kind, now) for a, health in there.items()}
        known = [pace.mean for pace in paces.values() if pace is not None]
        usual = median(known) if known else 1.0
        speeds = {a: usual / p.mean if p and p.mean else 1.0 for a, p in paces.items()}
        return {a: speed for a, speed in speeds.items() if speed * TOO_SLOW > 1.0}

    def spare(self) -> list[str]:
        """Returns the addresses of workers that are there, and have no slot."""
        known = list(self.health.items())
        return [a for a, h in known if not h.absent and not self.roster.slots(a)]

    def left(self) -> int:
        """Returns how many workers neither leave nor were found to lie."""
        return sum(not health.leaves for health in list(self.health.values()))

    def sound(self, now: float) -> list[str]:
        """Returns the addresses of workers that may take over others' parts."""
        return [a for a, h in list(self.health.items()) if h.sound(now)]

    def gone(self) -> dict[int, str]:
        """Returns the slots whose workers will not be asked, and why not."""
        reasons = {}
        for slot in self.slots:
            health = self.of(slot)
            if health.lost or health.distrusted:
                reasons[slot] = LEFT if health.lost else DISTRUSTED
        return reasons

    def leaves(self, address: str) -> bool:
        """Returns whether a worker will not be asked any more, or is not known."""
        health = self.health.get(address)
        return health is None or health.leaves

    def trusts(self, address: str) -> bool:
        """Returns whether a worker never was found to give a wrong result."""
        return address not in self._distrusted

    def distrust(self, address: str, now: float) -> list[int]:
        """Takes no more answers from a worker; returns the slots that moved."""
        self._distrusted.add(address)
        if address in self.health:
            self.health[address].distrusted = True
        return self.heal(now)

    def pinged(self, address: str, process: str | None) -> bool:
        """Notes who answered when a worker was asked whether it is there.

        Where another process answers at its address, the worker has left.

        Args:
            address: The worker's.
            process: What Dask calls the process that answered, empty where it does not
                say; None: nobody did.

        Returns:
            Whether another has taken its place, which is to be checked then.
        """
        health = self.health.get(address)
        if health is None:
            return False
        health.pinged(process is not None)
        if process is None:
            return False
        health.process = health.process or process
        if process in ("", health.process):
            return False
        health.leave()
        return self._admit_if_new(address, -math.inf)

    def leaving(self, process: str, now: float) -> list[int]:
        """Notes that a process is about to leave; returns the slots that moved.

        Args:
            process: What Dask calls it.
            now: Seconds.
        """
        self._farewells.add(process)  # it may be one that is being checked
        for health in self.health.values():
            health.leaving |= health.process == process
        return self.heal(now)

    def doubt(self, address: str, now: float) -> bool:
        """Notes that a worker gave no answer: it may have left, and another come.

        Returns:
            Whether to look at once.
        """
        self._doubted.add(address)
        return now - self._looked > _DOUBTED_AFTER

    def needs_look(self, now: float) -> bool:
        """Returns whether a slot may have no worker, and nobody looked for long."""
        if now - self._looked <= LOOK_EVERY:
            return False
        # One that is late may have left: Dask connects to it for half a minute.
        wrong = ("lost", "leaving", "suspect", "late")
        return (
            bool(self._doubted)
            or self.roster.doubled
            or any(h.state(now) in wrong for h in list(self.health.values()))
            or any(self.of(slot).distrusted for slot in self.slots)
        )

    def looking(self, now: float) -> None:
        """Notes that the scheduler is asked who is there."""
        self._looked = now

    def seen(self, known: Collection[str], now: float) -> Seen:
        """Takes into account whom the scheduler has.

        Args:
            known: Addresses of all its workers.
            now: Seconds.
        """
        self._known = known
        doubted, self._doubted = self._doubted, set()
        left, ping = [], []
        for address, health in list(self.health.items()):
            if address not in known:
                health.leave()
            if health.lost and not self.roster.slots(address):
                del self.health[address]
                left.append(address)
            elif address in doubted or health.state(now) in ("suspect", "late"):
                ping.append(address)
        self._refused = {a: at for a, at in self._refused.items() if a in known}
        admit = [address for address in known if self._admit_if_new(address, now)]
        return Seen(tuple(left), tuple(ping), tuple(admit), tuple(self.heal(now)))

    def admitted(self, address: str, process: str, now: float) -> list[int]:
        """Takes in a process that was checked; returns the slots that it now has."""
        self._admitting.discard(address)
        if address not in self._known:
            return []
        leaving = process in self._farewells
        self.health[address] = Health(address, process, leaving=leaving)
        return [*self.roster.slots(address), *self.heal(now)]

    def refused(self, address: str, now: float) -> bool:
        """Notes that a worker cannot be used; returns whether that is news."""
        self._admitting.discard(address)
        news = address not in self._refused
        self._refused[address] = now
        return news

    def heal(self, now: float) -> list[int]:
        """Gives slots to workers that have none; returns those that moved."""
        there = {a for a, h in self.health.items() if not h.absent}
        return self.roster.heal(there, self.sound(now))

    def replace(self, slot: int, tried: Collection[str], now: float) -> str | None:
        """Gives a slot to a sound worker that has not been tried, or returns None."""
        return self.roster.replace(slot, [a for a in self.sound(now) if a not in tried])

    def _admit_if_new(self, address: str, now: float) -> bool:
        """Returns whether a process is to be checked, which is then under way."""
        health = self.health.get(address)
        there = address in self._admitting or (health is not None and not health.lost)
        recent = now - self._refused.get(address, -math.inf) < ADMIT_AGAIN
        staying = sum(not (h.lost or h.leaving) for h in self.health.values())
        room = staying + len(self._admitting) < MOST_SPARE * len(self.slots)
        new = self.trusts(address) and not there and not recent and room
        if new:
            self._admitting.add(address)
        return new
