"""Pieces of work under way that any worker can do: who is sent what, and when again.

Told and asked as a ``Round``, whose drivers carry out what it says. The rules:

- A piece can be sent once the pieces are done that its input is taken from.
- It goes to the worker that ends it soonest by what is known of usual times, its home
  unless another is much sooner. A worker has but few pieces of a round at a time, so
  that the slow get fewer, and none while others are free and sooner.
- *Eager* rounds send copies of each piece to several workers at once; hedged ones send
  one more when one is late, has failed or is gone.
- Where results are to be confirmed, a piece is done when two agree; where two do not,
  a third is asked, and who is alone with a result is not used any more.
- Who was too slow for work to be cut for it has a copy of a piece now and then, which
  nobody waits for: it may be well again.
- A round ends when all pieces are done, when one cannot be done, or when time is up.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial, singledispatchmethod
from heapq import heappop, heappush

from fcdcc_keras.dispatch.choice import Choice
from fcdcc_keras.dispatch.crew import DISTRUSTED, LEFT, LOOK_EVERY, Crew
from fcdcc_keras.dispatch.health import Health
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Answered,
    Command,
    Compare,
    Compared,
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
    Keep,
    Look,
    PlaceShare,
    Send,
    SharePlaced,
    Tick,
)
from fcdcc_keras.dispatch.pieces import PieceCollector
from fcdcc_keras.dispatch.round import MOST_TRIES, RECHECK
from fcdcc_keras.dispatch.verified import CONTRADICTS

AHEAD = 2
"""Pieces of a round that a worker has at a time: one computed, one on its way; and
further copies of others."""

Commands = Iterator[Command]


class PieceRound:
    """One chain of layers, or several, cut into tiles; see the module."""

    def __init__(
        self,
        collector: PieceCollector,
        crew: Crew,
        holds: Callable[[int, str], bool],
        *,
        timeout: float,
        copies: int = 1,
        looks: bool = True,
    ) -> None:
        """Takes what it decides by.

        Args:
            collector: The pieces, and how many results are to confirm each.
            crew: The workers.
            holds: Whether a worker has what a piece is computed with.
            timeout: Seconds until it is given up.
            copies: Workers that each piece is sent to at once, beside those that are
                to confirm it.
            looks: Whether workers may come and go.
        """
        self.collector = collector
        self.over = False
        """Whether it has ended; answers may still come."""
        self._crew = crew
        self._holds = holds
        self._timeout = timeout
        self._look_every = LOOK_EVERY if looks else math.inf
        self._at_once = copies + collector.spare
        self._ahead = AHEAD + self._at_once - 1
        self._started = False
        self._deadline = self._looked = self._now = math.nan
        pieces = range(len(collector.pieces))
        self._wanted = dict.fromkeys(pieces, self._at_once)
        """Workers that are to have each piece, or to have answered it."""
        self._on: dict[int, set[str]] = {piece: set() for piece in pieces}
        """Workers that compute each piece."""
        self._answers: dict[int, set[str]] = {piece: set() for piece in pieces}
        """Workers whose results of each piece are there and may be true."""
        self._failed: dict[int, set[str]] = {piece: set() for piece in pieces}
        """Workers that could not do each piece."""
        self._sent: Counter[int] = Counter()
        """How many workers were sent each piece."""
        self._tries: Counter[int] = Counter()
        """How many of them had the piece, and were there."""
        self._short: set[int] = set()
        """Pieces whose inputs are there, and that too few workers have."""
        self._compared: dict[int, frozenset[str]] = {}
        """Whose results of each piece were compared last, or are being compared."""
        self._judging: set[int] = set()
        self._placing: set[tuple[int, str]] = set()
        self._has: dict[str, set[int]] = {}
        """What of this round each worker has."""
        self._late: list[tuple[float, int, str]] = []
        """A heap of when what was sent is late; with what has come since."""
        self._choice = Choice(crew, collector.pieces)
        self._followers: dict[int, set[int]] = {}
        for number, piece in enumerate(collector.pieces):
            for needed in piece.needs:
                self._followers.setdefault(needed, set()).add(number)

    def start(self, now: float) -> list[Command]:
        """Returns what to do first."""
        self._now = self._looked = now
        self._deadline = now + self._timeout
        if not self._crew.accepting(now):
            return [Look()]  # some may be back
        look: list[Command] = [Look()] if self._crew.needs_look(now) else []
        return look + list(self._begin())

    def handle(self, event: Event, now: float) -> list[Command]:
        """Takes what happened into account, and returns what to do."""
        self._now = now
        return list(self._react(event, now))

    def wake_at(self) -> float:
        """Returns when to send a ``Tick`` if nothing happens before."""
        while self._late and self._late[0][2] not in self._on[self._late[0][1]]:
            heappop(self._late)
        late = self._late[0][0] if self._late else math.inf
        first = min(self._deadline, self._looked + self._look_every, late)
        return max(first, self._now + RECHECK)

    @singledispatchmethod
    def _react(self, event: Event, now: float) -> Commands:
        raise TypeError(f"no event of pieces of work: {event!r}")

    @_react.register
    def _(self, event: Encoded, now: float) -> Commands:
        self._short.update(event.slots)
        yield from self._assign(now)
        for piece, worker in self._choice.trials(event.slots, self.collector, now):
            if not self.over and self._holds(piece, worker):
                yield self._send(piece, worker, now, anew=True)

    @_react.register
    def _(self, event: Answered, now: float) -> Commands:
        piece, worker = event.slot, event.worker
        health = self._end(event, self.collector.pieces[piece].kind)
        if health is not None:
            health.pinged(True)
        times = event.started, event.finished
        self.collector.came(piece, worker, event.arrived, event.nbytes, *times)
        if not self._crew.trusts(worker):
            yield from self._fail(piece, worker, DISTRUSTED, now)
        elif not self.over and piece not in self.collector.used:
            self._answers[piece].add(worker)
            yield from self._consider(piece)
        yield from self._assign(now)
        yield Free(worker)

    @_react.register
    def _(self, event: Failed, now: float) -> Commands:
        health = self._end(event, None)
        if health is not None and self.collector.abandoned is None:
            health.fail(event.arrived)
        if event.lost_share and not self.over:
            self.collector.failed(event.slot, event.worker, now, event.why)
            self._short.add(event.slot)
            yield self._place(event.slot, event.worker)
        else:
            self._tries[event.slot] += 1
            yield from self._fail(event.slot, event.worker, event.why, now)
        yield from self._assign(now)
        silent = not (event.began or event.lost_share)
        if silent and self._crew.doubt(event.worker, now):
            yield Look()
        yield Free(event.worker)

    @_react.register
    def _(self, event: SharePlaced, now: float) -> Commands:
        self._placing.discard((event.slot, event.worker))
        if event.there:
            yield from self._assign(now)
            return
        if self._crew.doubt(event.worker, now):
            yield Look()
        yield from self._fail(event.slot, event.worker, "it took no weights", now)
        yield from self._assign(now)

    @_react.register
    def _(self, event: Freed, now: float) -> Commands:
        yield from self._assign(now)

    @_react.register
    def _(self, event: CrewChanged, now: float) -> Commands:
        if self.over:
            return
        if not self._started:
            if self._crew.alive(now, self._timeout):
                yield from self._begin()
            else:
                yield from self._finish()
            return
        for address, pieces in list(self._has.items()):
            health = self._crew.health.get(address)
            if health is None or health.lost:
                del self._has[address]
                for piece in pieces:
                    self._on[piece].discard(address)
                    yield from self._fail(piece, address, LEFT, now)
            elif health.absent:
                self._short.update(pieces)
        yield from self._assign(now)
        for piece in sorted(self._short):
            yield from self._give_up_if_hopeless(piece)

    @_react.register
    def _(self, event: Compared, now: float) -> Commands:
        piece = event.slot
        self._judging.discard(piece)
        if self.over:
            return
        if event.agreeing:
            del self._compared[piece]
        outsiders = event.asked - event.agreeing if event.agreeing else ()
        for address in sorted(outsiders):
            self.collector.exposed.append(address)
            moved = self._crew.distrust(address, now)
            yield Distrusted(address)
            yield from map(Fill, moved)
            for doubted in [p for p, who in self._answers.items() if address in who]:
                yield from self._fail(doubted, address, CONTRADICTS, now)
        if event.agreeing:
            yield from self._done(piece, min(event.agreeing))
        else:  # it cannot be told whose is wrong: one more is to say it
            self._wanted[piece] = len(event.asked) + 1
            self._short.add(piece)
            yield from self._consider(piece)
            yield from self._give_up_if_hopeless(piece)
        yield from self._assign(now)

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
        while self._late and self._late[0][0] <= now:
            _, piece, address = heappop(self._late)
            if address in self._on[piece]:
                for late in self._has[address]:  # what it has beside will be, too
                    self._want_another(late, address, now)
        yield from self._assign(now)
        if now >= self._looked + self._look_every:
            self._looked = now
            yield Look(tuple(sorted(a for a, has in self._has.items() if has)))

    def _begin(self) -> Commands:
        self._started = True
        yield from self._encode(range(len(self.collector.pieces)))

    def _encode(self, pieces: Iterable[int]) -> Commands:
        """Has the inputs be made that can be; those of each piece can once."""
        done, given = self.collector.used.keys(), self.collector.pieces
        ready = tuple(piece for piece in pieces if given[piece].needs <= done)
        if ready:
            yield Encode(ready)

    def _lacks(self, piece: int) -> bool:
        """Returns whether too few workers have a piece."""
        if piece in self.collector.used:
            return False
        health = self._crew.health
        have = {a for a in self._on[piece] if a in health and not health[a].absent}
        return len(have | self._answers[piece]) < self._wanted[piece]

    def _want_another(self, piece: int, late: str, now: float) -> None:
        """Has as many more workers have a piece as are late with it, or will be."""
        on = self._on[piece]
        many = sum(who == late or self._is_late(piece, who, now) for who in on)
        self._wanted[piece] = max(self._wanted[piece], many + self.collector.spare + 1)
        self._short.add(piece)

    def _is_late(self, piece: int, address: str, now: float) -> bool:
        health = self._crew.health.get(address)
        deadline = None if health is None else health.deadline((self, piece))
        return deadline is not None and deadline <= now

    def _assign(self, now: float) -> Commands:
        """Sends pieces that too few workers have to those that end them soonest."""
        for at_home in (True, False):  # homes first: each has its own
            for piece in () if self.over else sorted(self._short):
                while self._lacks(piece):
                    worker = self._choose(piece, at_home, now)
                    if worker is None:
                        break
                    if not self._holds(piece, worker):
                        if all(worker != address for _, address in self._placing):
                            yield self._place(piece, worker)
                        break
                    yield self._send(piece, worker, now)
                if not self._lacks(piece):
                    self._short.discard(piece)

    def _choose(self, piece: int, at_home: bool, now: float) -> str | None:
        """Returns who is to be sent a piece now; None: nobody, or not yet."""
        given = self.collector.pieces[piece]
        out = self._on[piece] | self._answers[piece] | self._failed[piece]
        holds = partial(self._holds, piece)
        if at_home:
            return self._choice.home(given, holds, out, now)
        worker = self._choice.soonest(given, holds, out, now)
        if worker is None or len(self._has.get(worker, ())) < self._ahead:
            return worker
        return None  # it will be sooner even so

    def _send(self, piece: int, worker: str, now: float, *, anew: bool = False) -> Send:
        given, health = self.collector.pieces[piece], self._crew.health[worker]
        late_after = self._choice.late_after(given, worker, now)
        if late_after is not None:
            heappush(self._late, (now + late_after, piece, worker))
        health.begin((self, piece), now, late_after, given.size, anew=anew)
        instead = not anew and self._sent[piece] >= self._at_once
        self.collector.sent(piece, worker, now, redistributed=instead)
        self._sent[piece] += not anew
        self._on[piece].add(worker)
        self._has.setdefault(worker, set()).add(piece)
        return Send(piece, worker)

    def _place(self, piece: int, worker: str) -> PlaceShare:
        self._placing.add((piece, worker))
        return PlaceShare(piece, worker)

    def _end(self, event: Answered | Failed, kind: Hashable | None) -> Health | None:
        piece, worker = event.slot, event.worker
        self._on[piece].discard(worker)
        self._has.get(worker, set()).discard(piece)
        health = self._crew.health.get(worker)
        if health is not None:
            health.end((self, piece), event.arrived, kind)
        return health

    def _consider(self, piece: int) -> Commands:
        """Takes a piece for done, or has its results compared, where that is due."""
        answers = frozenset(self._answers[piece])
        if len(answers) <= self.collector.spare or piece in self._judging:
            return
        if not self.collector.spare:
            yield from self._done(piece, min(answers))
        elif answers != self._compared.get(piece):
            self._judging.add(piece)
            self._compared[piece] = answers
            yield Compare(piece, answers)

    def _done(self, piece: int, worker: str) -> Commands:
        self.collector.use(piece, worker)
        for address in self._on[piece]:
            if address in self._crew.health:
                self._crew.health[address].overtake((self, piece))
        yield Keep(piece, worker)
        yield from self._encode(sorted(self._followers.get(piece, ())))
        if self.collector.complete:
            yield from self._finish()

    def _fail(self, piece: int, worker: str, why: str, now: float) -> Commands:
        self.collector.failed(piece, worker, now, why)
        self._answers[piece].discard(worker)
        self._failed[piece].add(worker)
        if not self.over and piece not in self.collector.used:
            self._short.add(piece)
            yield from self._give_up_if_hopeless(piece)

    def _give_up_if_hopeless(self, piece: int) -> Commands:
        """Ends the round where not enough workers are left that may do a piece."""
        if self.over or piece in self.collector.used or piece in self._judging:
            return
        gone = self._failed[piece]
        left = sum(
            not (h.lost or h.distrusted) and address not in gone
            for address, h in self._crew.health.items()
        )
        compared = self._compared.get(piece, frozenset())
        needed = max(self.collector.spare, len(compared)) + 1
        if left < needed or self._tries[piece] >= MOST_TRIES:
            self.collector.disputed = bool(compared)
            yield from self._finish()

    def _finish(self, given_up: bool = False) -> Commands:
        if self.over:
            return
        self.over = True
        self.collector.stop()
        # What is still unfinished, nobody waits for any more.
        for address, pieces in self._has.items():
            if address in self._crew.health:
                for piece in pieces:
                    self._crew.health[address].overtake((self, piece), given_up)
        yield Finish()
