"""How long it takes until enough workers have answered: order statistics.

With n independent workers of the same law F the time of the δ-th answer has the law
P(T ≤ t) = P(Binomial(n, F(t)) ≥ δ). Workers that begin later
are counted in the same way, with their own law.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fcdcc_keras.planning.stragglers import Floats, Straggling

_ROUNDING = 1e-9
"""Of slowdowns: what is computed from a time must not fall short of a jump of F."""
_DECIMALS = 9
"""Of probabilities."""
_POINTS = 1000
"""Of each law that is followed numerically."""


@dataclass(frozen=True)
class Group:
    """Workers that do the same at the same time."""

    workers: int
    fixed: float
    """Seconds before and after the computation, which no slowdown changes."""
    work: float
    """Seconds that the computation usually takes."""
    after: float = 0.0
    """Seconds after which they begin."""


@dataclass(frozen=True)
class Waiting:
    """The law of a time, at some points."""

    seconds: Floats
    """Increasing."""
    cdf: Floats
    """Probability that it takes no longer; the last is 1."""

    @property
    def mean(self) -> float:
        """The expected seconds."""
        steps = np.diff(self.seconds)
        return float(self.seconds[0] + np.sum(steps * (1 - self.cdf[:-1])))

    def quantile(self, probability: float | Floats) -> Floats:
        """Returns the least seconds that are not exceeded with a probability."""
        index = np.searchsorted(self.cdf, probability)
        return np.asarray(self.seconds[np.minimum(index, len(self.seconds) - 1)])


def waiting(
    straggling: Straggling, needed: int, groups: Sequence[Group], limit: float
) -> Waiting:
    """Returns the law of the time until enough workers are done.

    Args:
        straggling: Law of each worker's slowdown.
        needed: δ, workers that are enough.
        groups: The workers.
        limit: Seconds after which nobody is waited for.
    """
    chances = np.linspace(0, 1, _POINTS, endpoint=False)
    tail = 1 - np.geomspace(1 / _POINTS, 1e-9, _POINTS // 4)
    slowdowns = straggling.quantile(np.concatenate([chances, tail]))
    points = [group.after + group.fixed + group.work * slowdowns for group in groups]
    seconds = np.unique(np.concatenate(points))
    seconds = np.append(seconds[seconds < limit], limit)
    # Rows: probability of each number of workers; the last: of that or more.
    first, *others = (_count(straggling, group, seconds) for group in groups)
    done = _cut(first, needed)
    for law in others:
        done = _added(done, law)
    # A quantile that the law just reaches must not fall beyond it by rounding.
    cdf = np.minimum(done[needed], 1.0).round(_DECIMALS)
    cdf[-1] = 1.0
    return Waiting(seconds, cdf)


def _count(straggling: Straggling, group: Group, seconds: Floats) -> Floats:
    """Returns the law of how many are done by each time: a row for each number."""
    since = seconds - group.after - group.fixed
    return _binomial(group.workers, straggling.cdf(since / group.work + _ROUNDING))


def _cut(law: Floats, needed: int) -> Floats:
    """Returns a law with all numbers from ``needed`` on in that row."""
    rows = np.zeros((needed + 1, law.shape[1]))
    rows[: min(needed, len(law))] = law[:needed]
    rows[needed] = law[needed:].sum(axis=0)
    return rows


def _added(done: Floats, law: Floats) -> Floats:
    """Returns the law of the sum of two numbers, all from the last row's on in it."""
    last = len(done) - 1
    total = np.zeros_like(done)
    for number, chance in enumerate(law):
        kept = max(0, last - number)
        total[number : number + kept] += done[:kept] * chance
        total[last] += done[kept:].sum(axis=0) * chance
    return total


def _binomial(count: int, chance: Floats) -> Floats:
    """Returns the probabilities of 0 … count successes, a row for each number."""
    k = np.arange(count + 1)
    ways = [
        math.lgamma(count + 1) - math.lgamma(i + 1) - math.lgamma(count - i + 1)
        for i in k
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        yes = np.where(k[:, None] == 0, 0.0, k[:, None] * np.log(chance))
        left = count - k[:, None]
        no = np.where(left == 0, 0.0, left * np.log1p(-chance))
    return np.asarray(np.exp(np.asarray(ways)[:, None] + yes + no))
