"""How long a chain's tiles take when workers straggle: order statistics.

All tiles are needed, and each comes from whichever worker has it first. "hedged": a
tile that is late, by the rule of ``dispatch.health``, goes to another worker as well,
and so on. "eager": γ + 1 workers compute it from the beginning, each after what it has
of its own. Of a run whose workers exchange halos none goes elsewhere: when one is late,
it is given up, and done again chain by chain by way of the client.
"""

from __future__ import annotations

import math

import numpy as np

from fcdcc_keras.dispatch.health import Pace
from fcdcc_keras.planning.chains.tile_time import ChainTime
from fcdcc_keras.planning.objective import TIMEOUT
from fcdcc_keras.planning.stragglers import Floats, NoStraggling, Straggling
from fcdcc_keras.planning.waiting import Waiting

_POINTS = 200
"""Of the law of a copy's slowdown."""
_MOST_COPIES = 8
_ROUNDING = 1e-9
_DECIMALS = 9


def chain_law(
    time: ChainTime,
    tiles: int,
    straggling: Straggling,
    *,
    hedged: bool,
    stragglers: int,
    workers: int,
) -> Waiting:
    """Returns the law of a chain's seconds, each tile taken for the largest.

    Args:
        time: When nobody straggles.
        tiles: How many there are.
        straggling: Law of each worker's slowdown.
        hedged: Whether a tile has a second copy only when it is late.
        stragglers: γ.
        workers: n.
    """
    if isinstance(straggling, NoStraggling) or time.work <= 0:
        return Waiting(np.array([time.total]), np.array([1.0]))
    slowdowns = _slowdowns(straggling)
    usual = time.work + time.around
    if hedged:
        late = Pace(usual, 0.0, 0.0).late_after
        copies = min(workers, _MOST_COPIES)
        begun = [(time.around + late * copy, time.work) for copy in range(copies)]
    else:
        begun = [
            (time.around, time.work * (copy + 1)) for copy in range(stragglers + 1)
        ]
    points = [fixed + work * slowdowns for fixed, work in begun]
    seconds = np.unique(np.concatenate(points))
    seconds = np.append(seconds[seconds < TIMEOUT], max(TIMEOUT, usual))
    none = np.ones_like(seconds)
    for fixed, work in begun:
        none *= 1 - straggling.cdf((seconds - fixed) / work + _ROUNDING)
    cdf = ((1 - none) ** tiles).round(_DECIMALS)
    cdf[-1] = 1.0
    return Waiting(time.total - usual + seconds, cdf)


def law_until_late(
    time: ChainTime, tiles: int, straggling: Straggling
) -> tuple[Waiting, float]:
    """Returns the law of the seconds until a chain is done, or a tile of it is late.

    Args:
        time: When nobody straggles.
        tiles: How many there are, each taken for the largest.
        straggling: Law of each worker's slowdown.

    Returns:
        The law, and the chance that a tile is late, by the rule of ``dispatch.health``.
    """
    if isinstance(straggling, NoStraggling) or time.work <= 0:
        return Waiting(np.array([time.total]), np.array([1.0])), 0.0
    usual = time.work + time.around
    late = Pace(usual, 0.0, 0.0).late_after
    seconds = np.unique(time.around + time.work * _slowdowns(straggling))
    seconds = np.append(seconds[seconds < late], late)
    well = straggling.cdf((seconds - time.around) / time.work + _ROUNDING)
    cdf = (well**tiles).round(_DECIMALS)
    chance, cdf[-1] = 1.0 - float(cdf[-1]), 1.0
    return Waiting(time.total - usual + seconds, cdf), chance


def done_again(law: Waiting, chance: float, seconds: float) -> Waiting:
    """Returns the law of what now and then takes longer by some seconds.

    Args:
        law: Of what it takes otherwise.
        chance: That it takes longer.
        seconds: By how many.
    """
    if chance <= 0:
        return law
    points = np.unique(np.concatenate([law.seconds, law.seconds + seconds]))
    cdf = np.zeros(len(points))
    for part, later in ((1 - chance, 0.0), (chance, seconds)):
        there = np.searchsorted(law.seconds + later, points, side="right")
        cdf += part * np.concatenate([[0.0], law.cdf])[there]
    cdf = np.minimum(cdf, 1.0).round(_DECIMALS)
    cdf[-1] = 1.0
    return Waiting(points, cdf)


def power(speeds: tuple[float, ...], straggling: Straggling) -> float:
    """Returns how many workers of speed 1, of which none straggles, get as much done.

    Args:
        speeds: Of the workers.
        straggling: Law of each worker's slowdown.
    """
    chances = (np.arange(_POINTS) + 0.5) / _POINTS
    with np.errstate(divide="ignore"):
        part = float(np.mean(1 / straggling.quantile(chances)))
    return math.fsum(speeds) * part


def _slowdowns(straggling: Straggling) -> Floats:
    """Returns some at which the law of a copy is followed."""
    chances = np.linspace(0, 1, _POINTS, endpoint=False)
    tail = 1 - np.geomspace(1 / _POINTS, 1e-6, _POINTS // 4)
    return straggling.quantile(np.concatenate([chances, tail]))
