"""One layer under way: who is sent what, who is late, when it is enough. Pure.

A round is told what happened and when, and says what to do. It does no I/O, reads no
clock, and looks into no array: drivers carry its commands out on asyncio, on a
simulated clock, or one after another.

The rules:

- All whose workers take new work are sent to at once; *hedged* layers only to as many
  as are needed, as soon as their usual times are known.
- A worker is late after its usual time (``health.Pace``). When one of those that were
  sent to is late, fails or is lost, a hedged layer is sent to all others.
- A worker that owes what nobody waits for any more gets nothing until it is done.
- Where the workers that are left do not suffice, missing slots go to sound ones, each
  tried on at most ``MOST_TRIES``; no more of them move than are needed.
- A round ends when the answers suffice, when they never will, or when time is up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from functools import singledispatchmethod
from heapq import heappop, heappush

from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.crew import DISTRUSTED, LOOK_EVERY, Crew
from fcdcc_keras.dispatch.health import Health
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Answered,
    Command,
    CrewChanged,
    Distrusted,
    Encode,
    Encoded,
    Event,
    Failed,
    Fill,
    Finish,
    Free,
    Freed,
    HurryShare,
    Judge,
    Judged,
    Look,
    PlaceShare,
    Send,
    SharePlaced,
    Tick,
)

RECHECK = 0.01
"""Least seconds between looks at whether somebody is late."""
MOST_TRIES = 3
"""Workers that a slot is tried on before it is given up."""
PLACING = 5.0
"""Seconds after which a worker that takes its share counts as late."""

Commands = Iterator[Command]


class Round:
    """One micro-batch of one layer; see the module."""

    def __init__(
        self,
        collector: Collector,
        crew: Crew,
        holds: Callable[[int, str], bool],
        *,
        kind: Hashable,
        timeout: float,
        hedged: bool = False,
        tries: int = MOST_TRIES,
        looks: bool = True,
    ) -> None:
        """Takes what it decides by.

        Args:
            collector: Says which answers suffice.
            crew: The workers.
            holds: Whether a worker has the share of a slot.
            kind: What workers' usual times for this are remembered under.
            timeout: Seconds until it is given up.
            hedged: Whether no more than needed are sent to while none is late.
            tries: Workers that a slot is tried on before it is given up.
            looks: Whether workers may come and go.
        """
        self.collector = collector
        self.over = False
        """Whether it has ended; answers may still come."""
        self._crew = crew
        self._holds = holds
        self._kind = kind
        self._timeout = timeout
        self._hedged = hedged
        self._tries = tries
        self._look_every = LOOK_EVERY if looks else math.inf
        self._hedging = False
        self._judging = False
        self._started = False
        self._first = True  # nothing has been sent yet
        self._encoding: set[int] = set()
        self._unfinished: set[tuple[int, str]] = set()
        self._late: list[tuple[float, int, str]] = []
        """A heap of when what was sent is late; with what has come since."""
        self._tried: dict[int, set[str]] = {}
        self._deadline = self._looked = self._now = math.nan

    def start(self, now: float) -> list[Command]:
        """Returns what to do first."""
        self._now = self._looked = now
        self._deadline = now + self._timeout
        if not self.collector.enough(self._crew.alive(now, self._timeout)):
            return [Look()]  # some may be back
        look: list[Command] = [Look()] if self._crew.needs_look(now) else []
        return look + list(self._begin(now))

    def handle(self, event: Event, now: float) -> list[Command]:
        """Takes what happened into account, and returns what to do."""
        self._now = now
        return list(self._react(event, now))

    def wake_at(self) -> float:
        """Returns when to send a ``Tick`` if nothing happens before."""
        first = min(self._deadline, self._looked + self._look_every, self._late_at())
        return max(first, self._now + RECHECK)

    @singledispatchmethod
    def _react(self, event: Event, now: float) -> Commands:
        raise TypeError(f"no event: {event!r}")

    @_react.register
    def _(self, event: Encoded, now: float) -> Commands:
        self._encoding.difference_update(event.slots)
        for slot in event.slots:
            # Meanwhile it may have been sent something else, or have failed.
            if not self.over and self.collector.records[slot].outcome == "skipped":
                yield from self._send(slot, now)
        if self._first and not self.over:
            self._first = False
            yield from self._look_around(now)  # at who has come or gone meanwhile

    @_react.register
    def _(self, event: Answered, now: float) -> Commands:
        health = self._end(event, self._kind)
        if health is not None:
            health.pinged(True)
        if not self._crew.trusts(event.worker):
            yield from self._erase(event.slot, event.worker, DISTRUSTED, now)
        else:
            times = event.started, event.finished
            self.collector.answered(
                event.slot, event.arrived, event.nbytes, *times, event.worker
            )
            yield from self._conclude(now)
        yield Free(event.worker)

    @_react.register
    def _(self, event: Failed, now: float) -> Commands:
        health = self._end(event, None)
        if health is not None and self.collector.abandoned is None:
            health.fail(event.arrived)
        yield from self._erase(event.slot, event.worker, event.why, now)
        silent = not (event.began or event.lost_share)
        if silent and self._crew.doubt(event.worker, now):
            yield Look()
        yield Free(event.worker)

    @_react.register
    def _(self, event: SharePlaced, now: float) -> Commands:
        if not event.there and self._crew.doubt(event.worker, now):
            yield Look()
        if self.over:
            return
        if self._crew.roster.address(event.slot) != event.worker:
            yield from self._replace_missing(now)
        elif event.there:
            self.collector.again(event.slot)  # sent, or offered when the worker is free
            yield from self._send(event.slot, now)
        else:
            yield from self._fail(event.slot, "the worker took no kernel share", now)

    @_react.register
    def _(self, event: Freed, now: float) -> Commands:
        yield from self._offer(event.worker, now)

    @_react.register
    def _(self, event: CrewChanged, now: float) -> Commands:
        if self.over:
            return
        if self._started:
            yield from self._look_around(now)
        else:
            yield from self._begin_with_whoever_is_left(now)

    @_react.register
    def _(self, event: Judged, now: float) -> Commands:
        self._judging = False
        if self.over:
            return
        for address in self.collector.judged(event.verdict):
            moved = self._crew.distrust(address, now)
            yield Distrusted(address)
            yield from map(Fill, moved)
        if not self.collector.complete:
            yield from self._hedge()
            yield from self._replace_missing(now)
        yield from self._conclude(now)

    @_react.register
    def _(self, event: Abandoned, now: float) -> Commands:
        if not self.over:
            self.collector.abandoned = event.why or self.collector.abandoned
            yield from self._finish()

    @_react.register
    def _(self, event: Tick, now: float) -> Commands:
        if self.over:
            return
        if now >= self._deadline:
            yield from self._finish(given_up=True)
            return
        if self._late_at() <= now:
            yield from self._hedge()
        if now >= self._looked + self._look_every:
            self._looked = now
            yield Look(tuple(sorted(self._silent())))

    def _look_around(self, now: float) -> Commands:
        """Takes into account who is gone, silent or there again."""
        for slot, why in self._crew.gone().items():
            self.collector.failed(slot, now, why)
        if any(self._crew.leaves(address) for _, address in self._unfinished):
            yield from self._hedge()
        yield from self._replace_missing(now)
        for address in self._crew.sound(now):
            yield from self._offer(address, now)

    def _begin_with_whoever_is_left(self, now: float) -> Commands:
        alive = self._crew.alive(now, self._timeout)
        if self.collector.enough(alive) or self._crew.sound(now):
            yield from self._begin(now)
            return
        for slot in set(self._crew.slots) - set(alive):
            why = self._crew.gone().get(slot, "the worker does not answer")
            self.collector.failed(slot, now, why)
        yield from self._finish()

    def _begin(self, now: float) -> Commands:
        self._started = True
        yield self._encode(self._targets(now))

    def _targets(self, now: float) -> list[int]:
        """Returns whom to send to at once, and notes whether others may follow."""
        free = self._crew.accepting(now)
        if self._hedged:
            paces = {s: self._crew.of(s).pace(self._kind, now) for s in free}
            known = {slot: pace.mean for slot, pace in paces.items() if pace}
            # Until it is known how long they take, nobody can be said to be late.
            if self.collector.enough(known):
                self._hedging = True
                return self.collector.choose(known)
        # One with unfinished work gets nothing new while the others suffice: it would
        # not answer sooner, and what is sent to a frozen one piles up on the way.
        enough = self.collector.enough(free)
        return free if enough else self._crew.alive(now, self._timeout)

    def _encode(self, slots: list[int]) -> Encode:
        self._encoding.update(slots)
        return Encode(tuple(slots))

    def _send(self, slot: int, now: float) -> Commands:
        """Sends a slot's input to its worker, if that takes new work."""
        address, health = self._crew.roster.address(slot), self._crew.of(slot)
        takes, holds = self._takes(slot, now), self._holds(slot, address)
        if not holds:
            # With its share on the way it is offered the layer when that is there.
            yield HurryShare(slot, address)
        if takes and not holds:
            self.collector.sent(slot, now, 0, address)
            yield PlaceShare(slot, address)
        elif takes:
            pace = health.pace(self._kind, now)
            late_after = None if pace is None else pace.late_after
            self.collector.sent(slot, now, 0, address)
            health.begin((self, slot), now, late_after)
            self._unfinished.add((slot, address))
            if self._hedging:
                heappush(self._late, (now + (late_after or 0.0), slot, address))
            yield Send(slot, address)

    def _offer(self, address: str, now: float) -> Commands:
        """Gives a worker that may be free again the slots that it was not sent."""
        if self.over or self._hedging or not self._started:
            return
        for slot in self._crew.roster.slots(address):
            skipped = self.collector.records[slot].outcome == "skipped"
            if skipped and slot not in self._encoding and self._takes(slot, now):
                yield self._encode([slot])

    def _takes(self, slot: int, now: float) -> bool:
        """Returns whether a slot's worker would be sent its input, or its share."""
        address, health = self._crew.roster.address(slot), self._crew.of(slot)
        if self._holds(slot, address):
            return health.accepts(now)
        return not health.owes and not health.absent

    def _end(self, event: Answered | Failed, kind: Hashable | None) -> Health | None:
        self._unfinished.discard((event.slot, event.worker))
        health = self._crew.health.get(event.worker)
        if health is not None:
            health.end((self, event.slot), event.arrived, kind)
        return health

    def _erase(self, slot: int, address: str, why: str, now: float) -> Commands:
        if self._crew.roster.address(slot) == address:
            yield from self._fail(slot, why, now)
        elif not self.over:
            yield from self._hedge()
            yield from self._replace_missing(now)

    def _fail(self, slot: int, why: str, now: float) -> Commands:
        self.collector.failed(slot, now, why)
        if not self.over:
            yield from self._hedge()
            yield from self._replace_missing(now)

    def _hedge(self) -> Commands:
        """Sends to all other slots, if that was put off."""
        if self._hedging:
            self._hedging = False
            for slot in self.collector.unsent():
                if slot not in self._encoding:
                    yield self._encode([slot])

    def _replace_missing(self, now: float) -> Commands:
        """Gives slots that are missing to sound workers until the others suffice."""
        records = self.collector.records
        hopeful = {r.worker for r in records if self._hopeful(r.worker)}
        for slot in self._crew.slots:
            if self.collector.enough(hopeful):
                break
            if slot in hopeful:
                continue
            if self._has_moved(slot) and not self._crew.of(slot).absent:
                hopeful.add(slot)
                self.collector.again(slot)
                yield self._encode([slot])
                continue
            tried = self._tried.setdefault(slot, {self._crew.roster.address(slot)})
            if len(tried) >= self._tries:
                continue
            address = self._crew.replace(slot, tried, now)
            if address is not None:
                tried.add(address)
                hopeful.add(slot)
                self.collector.again(slot)
                yield self._encode([slot])
        if self.collector.hopeless:
            yield from self._finish()

    def _hopeful(self, slot: int) -> bool:
        """Returns whether an answer has come, or is likely to."""
        record = self.collector.records[slot]
        if record.outcome in ("used", "failed"):
            return record.outcome == "used"
        if self._has_moved(slot):
            health = self._crew.health.get(record.address)
            sent = (slot, record.address) in self._unfinished
            return sent and health is not None and not health.absent
        return not self._crew.of(slot).absent

    def _has_moved(self, slot: int) -> bool:
        """Returns whether what a slot was sent to is not its worker any more."""
        record = self.collector.records[slot]
        moved = record.address != self._crew.roster.address(slot)
        return moved and record.outcome == "late"

    def _conclude(self, now: float) -> Commands:
        """Ends the round, or has answers compared, where that is due."""
        if self.over:
            return
        if self.collector.complete:
            yield from self._finish()
            return
        given = None if self._judging else self.collector.question()
        if given is not None:
            self._judging = True
            yield Judge(given)

    def _finish(self, given_up: bool = False) -> Commands:
        if self.over:
            return
        self.over = True
        self.collector.stop()
        # What is still unfinished, nobody waits for any more.
        for slot, address in self._unfinished:
            if address in self._crew.health:
                self._crew.health[address].overtake((self, slot), given_up)
        yield Finish()

    def _silent(self) -> set[str]:
        """Returns the workers that an answer is waited for from."""
        answered, gone = set(self.collector.survivors), self._crew.gone()
        return {
            self._crew.roster.address(slot)
            for slot in self._crew.slots
            if slot not in answered and slot not in gone
        }

    def _late_at(self) -> float:
        """Returns when the first of the slots sent to is late, if one waits for it."""
        if not self._hedging or (self._encoding and not self._unfinished):
            return math.inf
        while self._late and self._late[0][1:] not in self._unfinished:
            heappop(self._late)
        return self._late[0][0] if self._late else self._now
