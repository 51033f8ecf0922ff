"""Who is to be sent a piece of work that any worker can do: pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from statistics import median

from fcdcc_keras.dispatch.crew import TOO_SLOW, Crew
from fcdcc_keras.dispatch.health import DEPTH, Health, Pace
from fcdcc_keras.dispatch.pieces import Piece, PieceCollector

TRY_AGAIN = 2.0
"""Seconds after which one that was too slow is tried again."""
ROUGHLY, ALONE = 3.0, 0.05
"""Times as long as its part of a larger piece of work usually takes, and seconds, after
which a piece is late of whose own kind nothing is known."""
SELDOM = 3.0
"""Times as long as that, after which it is late whatever is known of its kind."""
AT_HOME = 1.25
"""Times as long as elsewhere that a piece may take at a home that is busy: it is ready
there."""


class Choice:
    """Chooses by what is known of workers' usual times, for one round."""

    def __init__(self, crew: Crew, pieces: Sequence[Piece]) -> None:
        self._crew = crew
        sizes: dict[Hashable, list[float]] = {}
        for piece in pieces:
            sizes.setdefault(piece.kind, []).append(piece.size)
        self._typical = {kind: median(of) for kind, of in sizes.items()}
        """Size of most pieces of each kind."""
        self._usual: dict[Hashable, float | None] = {}

    def home(
        self,
        piece: Piece,
        holds: Callable[[str], bool],
        out: Collection[str],
        now: float,
    ) -> str | None:
        """Returns a piece's home, if that has nothing to do and is not slow at it.

        Args:
            piece: The piece.
            holds: Whether a worker has what the piece is computed with.
            out: Workers that are not to have it.
            now: Seconds.
        """
        health = self._crew.health.get(piece.home)
        if health is None or health.owes or not health.sound(now):
            return None
        if piece.home in out or not holds(piece.home):
            return None
        # As slow as it may be it had its part cut for it, and has it ready.
        slow = self._each(piece, piece.home, now) > TOO_SLOW * self._most(piece, now)
        return None if slow else piece.home

    def soonest(
        self,
        piece: Piece,
        holds: Callable[[str], bool],
        out: Collection[str],
        now: float,
    ) -> str | None:
        """Returns who ends a piece soonest, or None where nobody can do it.

        Args:
            piece: As for ``home``, as what follows.
            holds: Those that have what it takes come before those that lack it.
            out: Workers that are not to have it.
            now: Seconds.
        """
        able = self._able(holds, out, now)
        if not able:
            return None

        def ends(address: str) -> float:
            queued = self._crew.health[address].queued()
            return (queued + piece.size) * self._each(piece, address, now)

        soonest = min(able, key=lambda a: (ends(a), self._crew.health[a].owes))
        if piece.home in able and ends(piece.home) <= AT_HOME * ends(soonest):
            return piece.home
        return soonest

    def trials(
        self, pieces: Sequence[int], collector: PieceCollector, now: float
    ) -> Iterator[tuple[int, str]]:
        """Yields pieces of which workers are to have a copy that nobody waits for.

        Those have nothing to do, and were too slow when they had last.

        Args:
            pieces: Numbers of those that could be sent.
            collector: What they are.
            now: Seconds.
        """
        for piece in pieces[:1]:
            kind = collector.pieces[piece].kind
            most = self.usual(kind, now)
            for address, health in self._crew.health.items():
                pace = health.pace(kind, now)
                if most is None or pace is None or pace.mean <= TOO_SLOW * most:
                    continue
                idle = not health.owes and health.sound(now)
                if idle and now - pace.learnt >= TRY_AGAIN:
                    yield piece, address

    def pace(self, kind: Hashable, address: str, now: float) -> Pace | None:
        """Returns a worker's usual time, or most others' if its own is not known."""
        health, most = self._crew.health[address], self.usual(kind, now)
        own = health.pace(kind, now)
        return own if own or most is None else Pace(most, most / 2, now)

    def late_after(self, piece: Piece, address: str, now: float) -> float | None:
        """Returns the seconds after which a worker is late with a piece, if known.

        However slow it was before: when most workers would be late with such a piece
        another is asked. One that was cut for a slow worker is smaller.

        Args:
            piece: The piece.
            address: The worker.
            now: Seconds, when it is sent the piece.
        """
        pace, roughly = self.pace(piece.kind, address, now), self._roughly(piece, now)
        if pace is None:
            return roughly
        health = self._crew.health[address]
        own = pace.late_after_all(health.queued() + piece.size)
        late = median(pace.late_after for pace in self._paces(piece.kind, now))
        soon = min(own, late * self._typical[piece.kind] * (health.owes + 1))
        # Of what is seldom done little is known but from when all was new to everybody.
        return soon if roughly is None else min(soon, SELDOM * roughly)

    def _roughly(self, piece: Piece, now: float) -> float | None:
        """Returns when anybody is late with what is done as part of more as a rule."""
        if piece.part_of is None:
            return None
        kind, size = piece.part_of
        most = self.usual(kind, now)
        return None if most is None else ROUGHLY * most * size + ALONE

    def _each(self, piece: Piece, address: str, now: float) -> float:
        pace = self._crew.health[address].pace(piece.kind, now)
        return self._most(piece, now) if pace is None else pace.mean

    def _most(self, piece: Piece, now: float) -> float:
        return self.usual(piece.kind, now) or 1.0

    def usual(self, kind: Hashable, now: float) -> float | None:
        """Returns the seconds that most take for such work, where that is known."""
        if kind not in self._usual:
            means = [pace.mean for pace in self._paces(kind, now)]
            self._usual[kind] = median(means) if means else None
        return self._usual[kind]

    def _paces(self, kind: Hashable, now: float) -> list[Pace]:
        every = [health.pace(kind, now) for health in self._crew.health.values()]
        return [pace for pace in every if pace is not None]

    def _able(
        self, holds: Callable[[str], bool], out: Collection[str], now: float
    ) -> list[str]:
        """Returns those in time if there are any, or whoever is there."""
        there = [
            (address, health)
            for address, health in self._crew.health.items()
            if address not in out and not health.absent and self._crew.trusts(address)
        ]
        holding = [pair for pair in there if holds(pair[0])] or there
        fits: Sequence[Callable[[Health], bool]] = (
            lambda health: health.owes < DEPTH and health.sound(now),
            lambda health: health.accepts(now),
            lambda health: health.owes < DEPTH,
        )
        found = ([a for a, h in holding if fit(h)] for fit in fits)
        return next(filter(None, found), [])
