"""The peer without a code: all parts are needed, and copies of late ones are launched.

When half of a layer's subtasks are done and one takes over three times as long as they
did, a copy of it is launched on another worker, and the first answer counts (Zaharia et
al., OSDI 2008). Every worker holds the whole kernel, so that any can compute any part,
and a worker that still owes something is given new work last.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Collection, Iterator
from functools import singledispatchmethod

from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Answered,
    Command,
    CrewChanged,
    Encode,
    Encoded,
    Event,
    Failed,
    Finish,
    Free,
    Freed,
    Send,
    Tick,
)

PATIENCE = 3.0
"""Times the median of the done ones that a subtask may take before it is copied."""

Commands = Iterator[Command]


class CopyingRound:
    """One layer of which late subtasks are copied; told and asked as a ``Round``."""

    def __init__(self, collector: Collector, crew: Crew, *, timeout: float) -> None:
        """Takes what says that all answers are there, the workers, and the limit."""
        self.collector = collector
        self.over = False
        """Whether it has ended; answers may still come."""
        self.copies = 0
        """Copies launched."""
        self._crew = crew
        self._timeout = timeout
        self._deadline = math.nan
        self._sent: dict[int, float] = {}
        self._durations: list[float] = []
        """In ascending order."""
        self._uncopied: dict[int, float] = {}
        """When each part was sent that has no copy yet and has not come, in order."""
        self._on: dict[int, set[str]] = {}
        """Workers that compute each part and have not answered."""

    def start(self, now: float) -> list[Command]:
        """Returns what to do first."""
        self._deadline = now + self._timeout
        return [Encode(tuple(self._crew.slots))]

    def handle(self, event: Event, now: float) -> list[Command]:
        """Takes what happened into account, and returns what to do."""
        return list(self._react(event, now))

    def wake_at(self) -> float:
        """Returns when to send a ``Tick`` if nothing happens before."""
        first = next(iter(self._uncopied.values()), math.inf)
        return min(self._deadline, first + self._patience())

    @singledispatchmethod
    def _react(self, event: Event, now: float) -> Commands:
        raise TypeError(f"no event for a layer without a code: {event!r}")

    @_react.register
    def _(self, event: Encoded, now: float) -> Commands:
        # Those whose own workers are free come first, so that they keep them.
        for slot in sorted(event.slots, key=lambda s: self._crew.of(s).owes):
            yield from self._launch(slot, now)

    @_react.register
    def _(self, event: Answered, now: float) -> Commands:
        self._end(event)
        slot, new = event.slot, event.slot not in self.collector.survivors
        if new and not self.over:
            insort(self._durations, event.arrived - self._sent[slot])
            self._uncopied.pop(slot, None)
        self.collector.answered(
            slot,
            event.arrived,
            event.nbytes,
            event.started,
            event.finished,
            event.worker,
        )
        if self.collector.complete:
            yield from self._finish()
        yield Free(event.worker)

    @_react.register
    def _(self, event: Failed, now: float) -> Commands:
        self._end(event)
        waited_for = event.slot not in self.collector.survivors and not self.over
        if waited_for and not self._on[event.slot]:
            yield from self._copy(event.slot, now, (event.worker,), event.why)
        yield Free(event.worker)

    @_react.register
    def _(self, event: Freed, now: float) -> Commands:
        yield from ()

    @_react.register
    def _(self, event: CrewChanged, now: float) -> Commands:
        for slot in self._waited_for():
            health = [self._crew.health[a] for a in self._on[slot]]
            if all(h.lost for h in health):
                yield from self._copy(slot, now, (), "its worker left the cluster")

    @_react.register
    def _(self, event: Abandoned, now: float) -> Commands:
        if not self.over:
            self.collector.abandoned = event.why or self.collector.abandoned
            yield from self._finish()

    @_react.register
    def _(self, event: Tick, now: float) -> Commands:
        if now >= self._deadline:
            yield from self._finish()
            return
        patience = self._patience()
        due = [s for s, sent in self._uncopied.items() if sent + patience <= now]
        for slot in due:
            del self._uncopied[slot]
            yield from self._launch(slot, now)

    def _patience(self) -> float:
        """Returns the seconds after which a part is copied."""
        done = len(self._durations)
        if self.over or not done or 2 * done < len(self._sent):
            return math.inf
        # Not `statistics.median`, which would sort them each time.
        middle = self._durations[(done - 1) // 2] + self._durations[done // 2]
        return PATIENCE * middle / 2

    def _waited_for(self) -> list[int]:
        if self.over:
            return []
        return [r.worker for r in self.collector.records if r.outcome == "late"]

    def _copy(
        self, slot: int, now: float, not_on: Collection[str], why: str
    ) -> Commands:
        self._uncopied.pop(slot, None)
        launched = list(self._launch(slot, now, not_on))
        yield from launched
        if not launched:
            self.collector.failed(slot, now, why)
            yield from self._finish()

    def _launch(self, slot: int, now: float, not_on: Collection[str] = ()) -> Commands:
        """Sends a part to the worker with least to do, its own among equals."""
        on, own = self._on.setdefault(slot, set()), self._crew.roster.address(slot)
        able = [
            address
            for address, health in self._crew.health.items()
            if address not in on and address not in not_on and not health.absent
        ]
        if not able:
            return
        address = min(able, key=lambda a: (self._crew.health[a].owes, a != own))
        if slot in self._sent:
            self.copies += 1
        else:
            self._sent[slot] = self._uncopied[slot] = now
        self.collector.sent(slot, now, 0, address)
        on.add(address)
        self._crew.health[address].begin((self, slot), now, None)
        yield Send(slot, address)

    def _end(self, event: Answered | Failed) -> None:
        self._on[event.slot].discard(event.worker)
        if event.worker in self._crew.health:
            self._crew.health[event.worker].end((self, event.slot), event.arrived)

    def _finish(self) -> Commands:
        if not self.over:
            self.over = True
            self.collector.stop()
            yield Finish()
