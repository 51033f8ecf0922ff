"""Rehearsals: workers compute their tiles of several chains by themselves, for nothing.

Programs take much longer the first time, and where workers exchange halos the slowest
keeps all others waiting: so each is to have run its own before. Nobody waits for a
rehearsal; what is wanted meanwhile others do.

- Only who has nothing to do, and the weights of all chains, is asked.
- Tiles that are not used yet are rehearsed by half of the workers at a time: the others
  have what is.
- Who was too slow for work to be cut for it has one now and then: it may be well again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod

from fcdcc_keras.dispatch.choice import Choice
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Among,
    Answered,
    Command,
    Encode,
    Encoded,
    Event,
    Failed,
    Finish,
    Free,
    Look,
    Send,
)
from fcdcc_keras.dispatch.pieces import PieceCollector

Commands = Iterator[Command]
SOON = 10.0
"""Seconds after which one that rehearses is late: it may not be there any more."""
SHORTEST = 0.02
"""Seconds that all of a worker's tiles take at least: who is slower by less than some
milliseconds is not slower."""


@dataclass
class Rehearsed:
    """Which workers have run which tiles, with the same weights."""

    done: set[tuple[int, str, str]] = field(default_factory=set)
    """Number of the tiles, address, process."""
    under_way: set[str] = field(default_factory=set)
    """Addresses of those that are at it."""

    def by(self, address: str, slot: int, crew: Crew) -> bool:
        """Returns whether the process at an address has run tiles."""
        health = crew.health.get(address)
        return health is not None and (slot, address, health.process) in self.done


class Rehearsal:
    """Told and asked as a ``Round``; it is over when those that can have begun."""

    def __init__(
        self,
        collector: PieceCollector,
        crew: Crew,
        holds: Callable[[int, str], bool],
        sizes: Sequence[Sequence[float]],
        rehearsed: Rehearsed,
        *,
        timeout: float,
        among: Collection[str] | None = None,
    ) -> None:
        """Takes what it decides by; see ``ExchangeRound``.

        Args:
            collector: For each worker, what it has to do of all chains.
            crew: The workers.
            holds: Whether a worker has what a tile is computed with.
            sizes: Of each worker's tiles, chain by chain.
            rehearsed: Who has; those that have then are added.
            timeout: Seconds that it may take.
            among: Who may, half of them at a time, and nobody be tried; None: all.
        """
        self.collector = collector
        collector.begun = False
        self.over = False
        """Whether nobody more will begin; answers may still come."""
        self._crew = crew
        self._holds = holds
        self._sizes = sizes
        self._rehearsed = rehearsed
        self._timeout = timeout
        self._among = among
        self._choice = Choice(crew, collector.pieces)
        self._kind = collector.pieces[0].kind
        self._who: dict[int, str] = {}

    @property
    def ready(self) -> bool:
        """Whether each worker has run its tiles."""
        return all(
            self._rehearsed.by(one.home, slot, self._crew)
            for slot, one in enumerate(self.collector.pieces)
        )

    def start(self, now: float) -> list[Command]:
        """Returns what to do first; nothing, where nobody is to begin."""
        pieces = self.collector.pieces
        homes = {one.home: slot for slot, one in enumerate(pieces)}
        lacking = [
            (slot, home)
            for home, slot in homes.items()
            if not self._rehearsed.by(home, slot, self._crew)
        ]
        chosen = [pair for pair in lacking if self._can(*pair, now)]
        if self._among is not None:
            at_it = [a for a in self._rehearsed.under_way if self._is_there(a, now)]
            most = max(1, len(pieces) // 2) - len(at_it)
            chosen = [pair for pair in chosen if pair[1] in self._among]
            chosen = chosen[: max(0, most)]
        else:
            tried = self._choice.trials((0,), self.collector, now)
            trials = [(homes.get(worker, 0), worker) for _, worker in tried]
            chosen += [pair for pair in trials if self._can(*pair, now)]
        for slot, worker in chosen:
            self._who.setdefault(slot, worker)
        return [Encode(tuple(self._who))] if self._who else []

    def handle(self, event: Event, now: float) -> list[Command]:
        """Takes what happened into account, and returns what to do."""
        return list(self._react(event, now))

    def wake_at(self) -> float:
        """Returns when to send a ``Tick`` if nothing happens before."""
        return math.inf

    @singledispatchmethod
    def _react(self, event: Event, now: float) -> Commands:
        yield from ()  # whoever comes or goes, nobody waits

    @_react.register
    def _(self, event: Encoded, now: float) -> Commands:
        if self.over:
            return
        for slot, worker in self._who.items():
            if self._can(slot, worker, now):  # meanwhile it may not
                sizes = self._sizes[slot]
                # Meanwhile others have the tiles of each chain, whose sizes are of a
                # chain.
                size = len(sizes) * sum(sizes)
                self._crew.health[worker].begin((self, worker), now, SOON, size)
                self._rehearsed.under_way.add(worker)
                self.collector.sent(slot, worker, now)
                yield Send(slot, worker, Among((), self._timeout))
        yield from self._finish()

    @_react.register
    def _(self, event: Answered, now: float) -> Commands:
        worker, health = event.worker, self._crew.health.get(event.worker)
        times = event.started, event.finished
        self._rehearsed.under_way.discard(worker)
        self.collector.came(event.slot, worker, event.arrived, event.nbytes, *times)
        if health is not None:
            health.succeeded()
            if self._rehearsed.by(worker, event.slot, self._crew):  # or it says nothing
                took = health.owed_for((self, worker), event.arrived) or 0.0
                each = max(took, SHORTEST) / sum(self._sizes[event.slot])
                health.learn(self._kind, each, event.arrived, anew=True)
            self._rehearsed.done.add((event.slot, worker, health.process))
            health.end((self, worker), event.arrived)
        yield Free(worker)

    @_react.register
    def _(self, event: Failed, now: float) -> Commands:
        self._rehearsed.under_way.discard(event.worker)
        self.collector.failed(event.slot, event.worker, now, event.why)
        health = self._crew.health.get(event.worker)
        if health is not None:
            health.end((self, event.worker), event.arrived)
            if not event.lost_share:
                health.fail(event.arrived)
        silent = not (event.began or event.lost_share)
        if silent and self._crew.doubt(event.worker, now):
            yield Look()
        yield Free(event.worker)

    @_react.register
    def _(self, event: Abandoned, now: float) -> Commands:
        yield from self._finish()

    def _can(self, slot: int, worker: str, now: float) -> bool:
        if not self._is_there(worker, now) or self._crew.health[worker].owes:
            return False
        return self._holds(slot, worker)

    def _is_there(self, worker: str, now: float) -> bool:
        health = self._crew.health.get(worker)
        return health is not None and health.sound(now)

    def _finish(self) -> Commands:
        if not self.over:
            self.over = True
            self.collector.stop()
            yield Finish()
