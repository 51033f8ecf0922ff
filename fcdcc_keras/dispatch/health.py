"""What is known of the workers' health: pure bookkeeping, time is an argument.

Dask notices a frozen worker after minutes and a cut link after half of one. These
rules decide sooner, by what a worker still owes: work that its layer went on without,
work that takes much longer than usual, and pings that it does not answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

State = Literal[
    "idle", "busy", "late", "suspect", "leaving", "lost", "back", "distrusted"
]

DEPTH = 4
"""Subtasks that a worker may have at a time: one computed, others on their way."""
_GAIN, _DEVIATION_GAIN = 1 / 8, 1 / 4
LATE_FACTOR = 2.0
"""Times as long as usual that some work takes that is late."""
_LATE_DEVIATIONS = 4.0
_SLACK = 0.005
_CAP = 8.0
FAILING_FOR = 2.0
"""Seconds for which a worker that failed is not given the parts of others."""
FORGET_AFTER = 30.0
"""Seconds after which what a worker's time was says nothing any more."""
MOST_PACES = 4096
"""Kinds of work whose time is remembered of a worker: those that it did last."""


@dataclass
class Pace:
    """Usual time of one kind of subtask on one worker, in seconds.

    Smoothed mean and deviation, as TCP estimates round trips (RFC 6298).
    """

    mean: float
    deviation: float
    learnt: float
    """When it was last measured."""

    def learn(self, seconds: float, now: float) -> None:
        """Takes one more measurement into account."""
        self.learnt = now
        # One freeze must not spoil the estimate for long.
        seconds = min(seconds, _CAP * self.mean)
        error = abs(seconds - self.mean)
        self.deviation += _DEVIATION_GAIN * (error - self.deviation)
        self.mean += _GAIN * (seconds - self.mean)

    @property
    def late_after(self) -> float:
        """Seconds after which such a subtask is late."""
        return self.late_after_all(1.0)

    def late_after_all(self, size: float) -> float:
        """Returns the seconds after which pieces of a size are late, together."""
        usual = max(
            LATE_FACTOR * self.mean, self.mean + _LATE_DEVIATIONS * self.deviation
        )
        return usual * size + _SLACK


@dataclass
class _Item:
    since: float
    deadline: float | None
    size: float
    queued: float
    """Its size, with what was to be done before it."""
    anew: bool
    overtaken: bool = False
    given_up: bool = False


@dataclass
class Health:
    """One worker: what it owes, what it is used to, and what follows from that."""

    address: str
    process: str = ""
    """What Dask calls its process, of which there is but one, unlike its address;
    empty where it is not known."""
    lost: bool = False
    """Whether its process has left the cluster; none comes back."""
    leaving: bool = False
    """Whether it has said that it will: what it has begun it may still end."""
    suspect: bool = False
    """Whether it did not answer when it was asked."""
    distrusted: bool = False
    """Whether it gave a result that contradicted the others'; for good."""
    # Written on the client's loop, read in any thread: so iterated as a copy.
    _items: dict[Hashable, _Item] = field(default_factory=dict)
    _paces: OrderedDict[Hashable, Pace] = field(default_factory=OrderedDict)
    """In the order in which they were learnt last."""
    _recovering: bool = False
    _failed: float | None = None
    """When it failed last, if it has not succeeded since."""

    def state(self, now: float) -> State:
        """Returns what the worker is at a time.

        "late": it owes work that its layer went on without, or that is overdue;
        "back": it was late or suspect, has answered, and has not worked since.
        """
        if self.distrusted:
            return "distrusted"
        if self.lost:
            return "lost"
        if self.leaving:
            return "leaving"
        if self.suspect:
            return "suspect"
        if any(self._is_late(item, now) for item in list(self._items.values())):
            return "late"
        if self._items:
            return "busy"
        return "back" if self._recovering else "idle"

    def accepts(self, now: float) -> bool:
        """Returns whether the worker may be given a subtask.

        Not while it is late: it would not answer sooner, and what is sent to a
        frozen worker piles up on the way.
        """
        return self._is_there(now) and len(self._items) < DEPTH

    def sound(self, now: float) -> bool:
        """Returns whether the worker may take over the part of another.

        It must be there, in time, and must not have failed a short while ago: one
        whose subtasks all raise would otherwise be the first to be free.
        """
        failing = self._failed is not None and now - self._failed < FAILING_FOR
        return self._is_there(now) and not failing

    @property
    def leaves(self) -> bool:
        """Whether it will not be asked any more."""
        return self.lost or self.leaving or self.distrusted

    @property
    def absent(self) -> bool:
        """Whether nothing can be relied on from it any more, or for now."""
        return self.leaves or self.suspect

    @property
    def owes(self) -> int:
        """Number of pieces of work that it has not finished."""
        return len(self._items)

    def queued(self) -> float:
        """Returns the size of what it owes, where that has one."""
        return sum(item.size for item in list(self._items.values()))

    def oldest(self) -> float | None:
        """Returns since when it owes what it has owed longest."""
        return min((item.since for item in list(self._items.values())), default=None)

    def begin(
        self,
        item: Hashable,
        now: float,
        late_after: float | None,
        size: float | None = None,
        *,
        anew: bool = False,
    ) -> None:
        """Notes that it was given work.

        Args:
            item: What the work is known by.
            now: Seconds, of any clock.
            late_after: Seconds after which it is late; None: only when its layer
                goes on without it.
            size: How much it is of what its kind's usual time is for; such pieces
                are done one after another. None: it is all of it.
            anew: Whether its time is what counts, whatever was usual before.
        """
        deadline = None if late_after is None else now + late_after
        queued = 1.0 if size is None else self.queued() + size
        self._items[item] = _Item(now, deadline, size or 0.0, queued, anew)

    def deadline(self, item: Hashable) -> float | None:
        """Returns when a piece of work is late, if that is known."""
        return self._items[item].deadline if item in self._items else None

    def owed_for(self, item: Hashable, now: float) -> float | None:
        """Returns for how many seconds it has owed a piece of work, if it does."""
        return now - self._items[item].since if item in self._items else None

    def overtaken(self, item: Hashable) -> bool:
        """Returns whether nobody waits for a piece of work any more that it owes."""
        return item in self._items and self._items[item].overtaken

    @property
    def given_up(self) -> bool:
        """Whether it owes what its layer has waited for as long as it may."""
        return any(item.given_up for item in list(self._items.values()))

    def overtake(self, item: Hashable, given_up: bool = False) -> None:
        """Notes that nobody waits for a piece of work any more.

        Args:
            item: What the work is known by.
            given_up: Whether it was waited for as long as it may be.
        """
        if item in self._items:
            self._items[item].overtaken = True
            self._items[item].given_up |= given_up

    def end(self, item: Hashable, now: float, kind: Hashable | None = None) -> None:
        """Notes that a piece of work has come, or never will.

        Args:
            item: What the work is known by.
            now: Seconds.
            kind: What its time is remembered under; None: it is not.
        """
        done = self._items.pop(item, None)
        if done is None:
            return
        late = self._is_late(done, now)
        self._recovering = late and not self.lost
        if kind is not None:
            self._failed = None
            seconds = (now - done.since) / done.queued
            pace, anew = self._paces.get(kind), done.anew
            if pace is not None and done.size and done.overtaken and not anew:
                if seconds > LATE_FACTOR * pace.mean:
                    # Any other could have had the piece: until it is tried again.
                    seconds, anew = min(seconds, _CAP * pace.mean), True
            self.learn(kind, seconds, now, anew=anew)

    def learn(
        self, kind: Hashable, seconds: float, now: float, *, anew: bool = False
    ) -> None:
        """Takes into account how long some work took.

        Args:
            kind: What it is remembered under.
            seconds: How long.
            now: Seconds, of any clock.
            anew: Whether it is what counts, whatever was usual before.
        """
        pace = self._paces.get(kind)
        if pace is None or anew or now - pace.learnt > FORGET_AFTER:
            self._paces[kind] = Pace(seconds, seconds / 2, now)
        else:
            pace.learn(seconds, now)
        self._paces.move_to_end(kind)
        self._forget_paces(now)

    def succeeded(self) -> None:
        """Notes that it has given a usable result."""
        self._failed = None
        self.pinged(True)

    def fail(self, now: float) -> None:
        """Notes that a subtask of its failed, or gave no usable result."""
        self._failed = now

    def pace(self, kind: Hashable, now: float) -> Pace | None:
        """Returns the usual time of a kind of work, if it is known."""
        pace = self._paces.get(kind)
        return None if pace is None or now - pace.learnt > FORGET_AFTER else pace

    def pinged(self, answered: bool) -> None:
        """Notes whether it answered when it was asked whether it is there."""
        if self.suspect and answered:
            self._recovering = True
        self.suspect = not answered

    def leave(self) -> None:
        """Notes that its process is not in the cluster any more."""
        self.lost = True

    def _forget_paces(self, now: float) -> None:
        while True:
            kind, oldest = next(iter(self._paces.items()))
            recent = now - oldest.learnt <= FORGET_AFTER
            if recent and len(self._paces) <= MOST_PACES:
                return
            del self._paces[kind]

    def _is_there(self, now: float) -> bool:
        return self.state(now) in ("idle", "busy", "back")

    @staticmethod
    def _is_late(item: _Item, now: float) -> bool:
        overdue = item.deadline is not None and now > item.deadline
        return item.overtaken or overdue
