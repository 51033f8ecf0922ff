"""The simulated workers: what each has to do, which shares it has, when it dies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fcdcc_keras.errors import PlanError
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


class Machine:
    """One worker's; it computes one subtask after another."""

    def __init__(self, index: int, slowness: Slowness, dies: float) -> None:
        self.index = index
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

    def answers(self, now: float) -> bool:
        """Returns whether it answers a ping: it is not dead, nor stopped for good."""
        return self.dies > now and not math.isinf(self._busy_until)

    def holds(self, layer: int, slot: int) -> bool:
        """Returns whether it has a layer's share for a slot."""
        return slot == self.index or (layer, slot) in self.taken_over


def machines(
    workers: int, slowness: Slowness, deaths: Sequence[Death]
) -> list[Machine]:
    """Returns n machines, by how many there are, their pace, and when some die.

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
    return [Machine(w, slowness, dies[w]) for w in range(workers)]
