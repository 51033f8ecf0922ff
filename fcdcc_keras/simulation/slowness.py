"""When a worker is done with a piece of work, by the law of its stragglers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import numpy as np

from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning.stragglers import OnOff, Straggling

_AT_ONCE = 4096
"""Slowdowns drawn at a time."""


class Slowness(ABC):
    """The workers' pace through time."""

    @abstractmethod
    def finish(self, worker: int, start: float, seconds: float) -> float:
        """Returns when a worker finishes what usually takes some seconds.

        Args:
            worker: Its index.
            start: When it starts; not before its last piece of work was finished.
            seconds: Usual duration.
        """


class PerSubtask(Slowness):
    """Every subtask is slowed by a factor of its own."""

    def __init__(self, straggling: Straggling, seed: int) -> None:
        self._straggling = straggling
        self._rng = np.random.default_rng(seed)
        self._factors = self._draw()

    def finish(self, worker: int, start: float, seconds: float) -> float:
        """See ``Slowness.finish``."""
        return start + seconds * next(self._factors)

    def _draw(self) -> Iterator[float]:
        while True:
            yield from self._straggling.sample(self._rng, _AT_ONCE).tolist()


class Spells(Slowness):
    """Workers are at their usual speed or slowed, for exponentially long spells."""

    def __init__(self, law: OnOff, workers: int, seed: int) -> None:
        self._law = law
        self._rngs = [np.random.default_rng([seed, w]) for w in range(workers)]
        # Everybody begins as at any other moment.
        self._slow = [rng.random() < law.probability for rng in self._rngs]
        self._until = [self._spell(w) for w in range(workers)]

    def finish(self, worker: int, start: float, seconds: float) -> float:
        """See ``Slowness.finish``."""
        now, left = start, seconds
        while left > 0:
            while self._until[worker] <= now:
                self._slow[worker] = not self._slow[worker]
                self._until[worker] += self._spell(worker)
            factor = self._law.factor if self._slow[worker] else 1.0
            if now + left * factor <= self._until[worker]:
                return now + left * factor
            left -= (self._until[worker] - now) / factor
            now = self._until[worker]
        return now

    def _spell(self, worker: int) -> float:
        law = self._law
        mean = law.spell if self._slow[worker] else law.usual_spell
        if law.probability in (0, 1):
            return math.inf
        return float(self._rngs[worker].exponential(mean))


class Slowed(Slowness):
    """Some workers are slower than the others all the time."""

    def __init__(self, usual: Slowness, factors: Mapping[int, float]) -> None:
        self._usual = usual
        self._factors = factors

    def finish(self, worker: int, start: float, seconds: float) -> float:
        """See ``Slowness.finish``."""
        factor = self._factors.get(worker, 1.0)
        if math.isinf(factor):
            return math.inf
        return self._usual.finish(worker, start, seconds * factor)


def slowness(
    straggling: Straggling, slowed: Mapping[int, float], workers: int, seed: int
) -> Slowness:
    """Returns the pace of n workers.

    Args:
        straggling: The law of stragglers, the same for all.
        slowed: Besides: how many times slower some are all the time, by worker.
        workers: n.
        seed: Of the chances.

    Raises:
        PlanError: A factor is not positive, or that of no worker.
    """
    for worker, factor in slowed.items():
        if not (0 <= worker < workers and factor > 0):
            raise PlanError(
                "`slowed` must give positive factors of workers that are there. "
                f"Received: {worker!r}: {factor!r}, with {workers} workers. Number the "
                f"workers from 0 to {workers - 1}, and use inf for one that is stopped."
            )
    if isinstance(straggling, OnOff):
        usual: Slowness = Spells(straggling, workers, seed)
    else:
        usual = PerSubtask(straggling, seed)
    return Slowed(usual, slowed) if slowed else usual
