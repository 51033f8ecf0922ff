"""The simulated workers: what each has to do, which slots it has, when it dies.

A layer has n coded parts, one for each *slot*; at first every worker has its own, as in
``execution.roster``. What the client may know of a worker is in the same ``Health``
that the execution keeps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.health import Health
from fcdcc_keras.simulation.slowness import Slowness


@dataclass(frozen=True)
class Death:
    """A worker that is gone for good."""

    worker: int
    """Its index."""
    at: float
    """Seconds from the beginning of the first pass."""
    noticed: float = 0.0
    """Seconds until the client knows. A process that is killed closes its connection at
    once; a machine without power or network does not answer a ping, which the client
    finds within 1.5 s while it waits for it."""

    def __post_init__(self) -> None:
        if not (self.worker >= 0 and self.at >= 0 and self.noticed >= 0):
            raise PlanError(
                "A death must be that of a worker at some time. Received: "
                f"{self}. Give an index and seconds of at least 0."
            )


class Worker:
    """One worker; it computes one subtask after another."""

    def __init__(self, index: int, slowness: Slowness, dies: float) -> None:
        self.index = index
        self.health = Health(str(index))
        self.slots = [index]
        """Those that it has, its own first."""
        self.dies = dies
        self.taken_over: set[tuple[int, int]] = set()
        """(Layer, slot) of the shares that it was given in place of others."""
        self._slowness = slowness
        self._busy_until = 0.0

    def compute(self, there: float, seconds: float, head_start: float = 0.0) -> float:
        """Returns when a subtask is finished; infinity: never.

        Args:
            there: When the worker has its input.
            seconds: How long it usually takes.
            head_start: By how many seconds it is sooner, if it is free.
        """
        start = max(there - head_start, self._busy_until)
        if math.isinf(start):
            return math.inf  # it never finishes what it has
        finish = self._slowness.finish(self.index, start, seconds)
        self._busy_until = max(there, finish)
        return self._busy_until

    def holds(self, layer: int, slot: int) -> bool:
        """Returns whether it has a layer's share for a slot."""
        return slot == self.index or (layer, slot) in self.taken_over


class Cluster:
    """All workers, and who has which slot."""

    def __init__(
        self, workers: int, slowness: Slowness, deaths: Sequence[Death]
    ) -> None:
        """Takes how many there are, their pace, and when some die.

        Raises:
            PlanError: One that dies is not there.
        """
        dies = dict.fromkeys(range(workers), math.inf)
        for death in deaths:
            if death.worker >= workers:
                raise PlanError(
                    f"Only workers that are there can die. Received: {death}, with "
                    f"{workers} workers. Number them from 0 to {workers - 1}."
                )
            dies[death.worker] = min(dies[death.worker], death.at)
        self.workers = [Worker(w, slowness, dies[w]) for w in range(workers)]
        self._owner = list(range(workers))

    def __len__(self) -> int:
        return len(self.workers)

    def of(self, slot: int) -> Worker:
        """Returns the worker that has a slot."""
        return self.workers[self._owner[slot]]

    def move(self, slot: int, not_to: set[int], now: float) -> Worker | None:
        """Gives a slot to the sound worker that has the fewest.

        Args:
            slot: The slot.
            not_to: Workers that have been tried.
            now: Seconds.

        Returns:
            The worker, or None where there is no other.
        """
        others = [
            w for w in self.workers if w.index not in not_to and w.health.sound(now)
        ]
        if not others:
            return None
        chosen = min(others, key=lambda w: len(w.slots))
        self.of(slot).slots.remove(slot)
        chosen.slots.append(slot)
        self._owner[slot] = chosen.index
        return chosen
