"""Several chains at once, between which workers exchange halos: all of them, or none.

Told and asked as a ``Round``, whose drivers carry out what it says. Each worker
computes one tile of every chain. Who is slow or gone keeps all others waiting; so:

- It begins only where each worker has nothing to do, the weights of all chains, and has
  rehearsed; see ``Rehearsal``.
- It ends without a result as soon as one fails, leaves, or is late. Then the chains are
  computed one after another, as a ``PieceRound`` has it, where any worker may do what
  another does not.
- Who waits for others gives up when it is late by what most are known to take, and
  says so. Then all are told that it is over, and who has not answered a moment later is
  late. Who only waited is not to blame. Likewise where half have answered, and others
  have not soon after.
- What a worker is known to take is the time in which it did not wait for others.
- Where exchanges have ended so again and again, most are not tried; see ``Reluctance``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import singledispatchmethod
from statistics import median

from fcdcc_keras.dispatch.choice import Choice
from fcdcc_keras.dispatch.crew import LEFT, LOOK_EVERY, Crew
from fcdcc_keras.dispatch.health import LATE_FACTOR
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Among,
    Answered,
    Command,
    CrewChanged,
    Disband,
    Encode,
    Encoded,
    Event,
    Failed,
    Finish,
    Free,
    Keep,
    Look,
    Send,
    Tick,
)
from fcdcc_keras.dispatch.pieces import PieceCollector
from fcdcc_keras.dispatch.rehearsal import SHORTEST, Rehearsed
from fcdcc_keras.dispatch.round import RECHECK

SLACK = 0.02
"""Seconds that workers wait for each other with each chain beside what is usual."""
THE_REST = 0.5
"""When the others are late, once half have answered: as part of what these took."""
ANSWERS_WITHIN = 0.05
"""Seconds within which those answer who only waited, when told that it is over."""
MOST_SKIPPED = 64
"""Exchanges in a row that are not tried."""

Commands = Iterator[Command]


class Reluctance:
    """Whether to exchange at all, by what came of it before."""

    def __init__(self) -> None:
        self._failed = self._skip = 0

    def willing(self) -> bool:
        """Returns whether the next is to be tried; asked once for each."""
        self._skip -= self._skip > 0
        return not self._skip

    def tried(self, succeeded: bool) -> None:
        """Takes into account what came of one."""
        self._failed = 0 if succeeded else self._failed + 1
        self._skip = min(2 ** max(0, self._failed - 1), MOST_SKIPPED)


class ExchangeRound:
    """One tile of each of several chains for every worker; see the module."""

    def __init__(
        self,
        collector: PieceCollector,
        crew: Crew,
        holds: Callable[[int, str], bool],
        sizes: Sequence[Sequence[float]],
        rehearsed: Rehearsed,
        *,
        timeout: float,
    ) -> None:
        """Takes what it decides by.

        Args:
            collector: For each worker, what it has to do of all chains.
            crew: The workers.
            holds: Whether a worker has what a tile is computed with.
            sizes: Of each worker's tiles, chain by chain.
            rehearsed: Who has.
            timeout: Seconds until it is given up.
        """
        self.collector = collector
        collector.begun = False
        self.over = False
        """Whether it has ended; answers may still come."""
        self._crew = crew
        self._holds = holds
        self._sizes = sizes
        self._rehearsed = rehearsed
        self._timeout = timeout
        pieces = collector.pieces
        self._choice = Choice(crew, pieces)
        self._kind = pieces[0].kind
        self._on: dict[int, str] = {}
        """Who has the tiles that are under way."""
        self._disbanded = False
        """Whether the workers were told that it is over."""
        self._begun = self._late = self._deadline = self._looked = self._now = math.nan

    def begins(self, now: float) -> bool:
        """Returns whether it can begin; asked again when the inputs are there."""
        known = self._crew.health
        return all(
            one.home in known
            and known[one.home].sound(now)
            and not known[one.home].owes
            and self._holds(slot, one.home)
            and self._rehearsed.by(one.home, slot, self._crew)
            for slot, one in enumerate(self.collector.pieces)
        )

    def start(self, now: float) -> list[Command]:
        """Returns what to do first."""
        self._now = self._looked = now
        self._deadline, self._late = now + self._timeout, math.inf
        look = [Look()] if self._crew.needs_look(now) else []
        return [*look, Encode(tuple(range(len(self.collector.pieces))))]

    def handle(self, event: Event, now: float) -> list[Command]:
        """Takes what happened into account, and returns what to do."""
        self._now = now
        return list(self._react(event, now))

    def wake_at(self) -> float:
        """Returns when to send a ``Tick`` if nothing happens before."""
        first = min(self._deadline, self._late, self._looked + LOOK_EVERY)
        return max(first, self._now + RECHECK)

    @singledispatchmethod
    def _react(self, event: Event, now: float) -> Commands:
        yield from ()  # it is of other rounds

    @_react.register
    def _(self, event: Encoded, now: float) -> Commands:
        if self.over:
            return
        if not self.begins(now):  # meanwhile others have, or somebody has left
            yield from self._finish()
            return
        self.collector.begun = True
        patience, pieces = self._patience(now), self.collector.pieces
        # Who began last, as its input was the last to be sent, gives up last.
        late_after = None if patience is None else 2 * patience + ANSWERS_WITHIN
        self._begun, self._late = now, now + (late_after or math.inf)
        homes = tuple(one.home for one in pieces)
        among = Among(homes, self._timeout if patience is None else patience)
        for slot, one in enumerate(pieces):
            health, self._on[slot] = self._crew.health[one.home], one.home
            health.begin((self, slot), now, late_after, one.size)
            yield self._send(slot, one.home, among)

    @_react.register
    def _(self, event: Answered, now: float) -> Commands:
        slot, worker = event.slot, event.worker
        times = event.started, event.finished
        self.collector.came(slot, worker, event.arrived, event.nbytes, *times)
        span = (event.finished or 0.0) - (event.started or 0.0)
        done = sum(self._sizes[slot])
        self._learn(event, done, event.waited, span - event.waited)
        self._end(event)
        health = self._crew.health.get(worker)
        if health is not None:
            health.succeeded()
        if not self.over:
            self.collector.use(slot, worker)
            yield Keep(slot, worker)
            self._expect_the_rest(now)
            if not self._on:
                yield from self._finish()
        yield Free(worker)

    @_react.register
    def _(self, event: Failed, now: float) -> Commands:
        self.collector.failed(event.slot, event.worker, now, event.why)
        waited, health = event.waited, self._crew.health.get(event.worker)
        if waited is not None:
            done = sum(self._sizes[event.slot][: waited.chains])
            self._learn(event, done, waited.seconds, waited.computed)
        elif health is not None and not event.lost_share:
            health.fail(event.arrived)
        self._end(event)
        yield from self._goes_on_without(event, now)
        silent = not (event.began or event.lost_share or waited)
        if silent and self._crew.doubt(event.worker, now):
            yield Look()
        yield Free(event.worker)

    @_react.register
    def _(self, event: CrewChanged, now: float) -> Commands:
        gone = [slot for slot, a in self._on.items() if not self._is_there(a)]
        for slot in gone:
            self.collector.failed(slot, self._on.pop(slot), now, LEFT)
        if gone:
            yield from self._break_up(now)

    @_react.register
    def _(self, event: Abandoned, now: float) -> Commands:
        if not self.over:
            self.collector.abandoned = event.why or self.collector.abandoned
            yield from self._finish()

    @_react.register
    def _(self, event: Tick, now: float) -> Commands:
        if self.over:
            return
        if now >= self._late and not self._disbanded:
            # Those who but wait for others say so.
            yield from self._disband()
            self._late = now + ANSWERS_WITHIN
        elif now >= min(self._deadline, self._late):
            yield from self._finish(given_up=now >= self._deadline)
        elif now >= self._looked + LOOK_EVERY:
            self._looked = now
            yield Look(tuple(sorted(self._on.values())))

    def _send(self, slot: int, worker: str, among: Among) -> Send:
        self.collector.sent(slot, worker, self._now)
        return Send(slot, worker, among)

    def _is_there(self, address: str) -> bool:
        health = self._crew.health.get(address)
        # One that leaves still ends what it has begun.
        return health is not None and not (
            health.lost or health.suspect or health.distrusted
        )

    def _learn(
        self, event: Answered | Failed, done: float, waited: float, computed: float
    ) -> None:
        """Notes how long a worker took by itself; in full, where others waited for it.

        What its tiles are on their way is for the whole, however much it has done.

        Args:
            event: What it answered.
            done: Size of what it has computed.
            waited: Seconds in which it waited for others, by its clock.
            computed: Seconds that it computed, likewise.
        """
        health, item = self._crew.health.get(event.worker), (self, event.slot)
        owed = None if health is None else health.owed_for(item, event.arrived)
        if health is None or owed is None or not done:
            return
        took, whole = max(0.0, owed - waited), sum(self._sizes[event.slot])
        computed = min(max(0.0, computed), took)
        each = max(computed / done + (took - computed) / whole, SHORTEST / whole)
        pace = health.pace(self._kind, event.arrived)
        slow = pace is not None and each > LATE_FACTOR * pace.mean
        awaited = isinstance(event, Failed) or health.overtaken(item)
        health.learn(self._kind, each, event.arrived, anew=slow and awaited)

    def _end(self, event: Answered | Failed) -> None:
        self._on.pop(event.slot, None)
        health = self._crew.health.get(event.worker)
        if health is not None:
            health.end((self, event.slot), event.arrived)

    def _patience(self, now: float) -> float | None:
        """Returns the seconds for which workers wait for each other, if it is known.

        Of what they take without waiting, so that it does not grow when they wait; of
        most, so that it does not grow with one that was slow.
        """
        usual = self._choice.usual(self._kind, now)
        if usual is None:
            return None
        own = []
        for one in self.collector.pieces:
            pace = self._crew.health[one.home].pace(self._kind, now)
            own.append(one.size * (usual if pace is None else pace.mean))
        return LATE_FACTOR * median(own) + SLACK * len(self._sizes[0])

    def _expect_the_rest(self, now: float) -> None:
        """Has the others be late soon, once half of them have answered.

        Nobody is far ahead of the others: each waits for those around it.
        """
        if len(self.collector.used) == -(-len(self.collector.pieces) // 2):
            soon = now + THE_REST * (now - self._begun) + SLACK
            self._late = min(self._late, soon)

    def _goes_on_without(self, event: Failed, now: float) -> Commands:
        """Ends it, as one did not do its part, or waited in vain for another."""
        if self.over:
            return
        if event.waited is None or event.waited.cut_off:
            # Those still at it have but waited for this one, or soon would.
            yield from self._break_up(now)
            return
        yield from self._disband()
        self._late = min(self._late, now + ANSWERS_WITHIN)
        if not self._on:
            yield from self._finish()

    def _break_up(self, now: float) -> Commands:
        """Ends it on account of one; the others owe nothing any more."""
        if not self.over:
            yield from self._disband()
            for slot, address in self._on.items():
                if address in self._crew.health:
                    self._crew.health[address].end((self, slot), now)
            self._on.clear()
            yield from self._finish()

    def _disband(self) -> Commands:
        """Has those still at it be told that it is for nothing."""
        if self._on and not self._disbanded:
            self._disbanded = True
            yield Disband(tuple(sorted(self._on.values())))

    def _finish(self, given_up: bool = False) -> Commands:
        yield from self._disband()
        self.over = True
        self.collector.stop()
        for slot, address in self._on.items():
            if address in self._crew.health:
                self._crew.health[address].overtake((self, slot), given_up)
        yield Finish()
