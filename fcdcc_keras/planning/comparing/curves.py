"""How α grows with n and with γ, for the plots of ``fcdcc-keras codes``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fcdcc_keras.codes.certify import MOST_COMPARED, check_certifiable, glance
from fcdcc_keras.planning.comparing.designs import kinds, may_be_chosen
from fcdcc_keras.planning.redundancy import check_redundancy

SAMPLES = 500
"""Random survivor sets for each point of a curve."""
_POINTS = 8
_WIDEST = 16
"""δ up to which the curves over n go at least."""


@dataclass(frozen=True)
class Curve:
    """α of one kind of code, near-square splits, over a range of n or γ."""

    kind: str
    """Name of the code, with its parity where there are several."""
    at: tuple[int, ...]
    """The n or γ of each point."""
    median: tuple[float, ...]
    """Median of α over survivor sets."""
    high: tuple[float, ...]
    """99th percentile of α."""


def over_workers(
    workers: int, stragglers: int, *, samples: int = SAMPLES
) -> list[Curve]:
    """Returns α over n for a fixed γ, up to a given n or somewhat beyond.

    Args:
        workers: The largest n, unless it leaves too few for a curve.
        stragglers: γ.
        samples: Random survivor sets for each point.

    Raises:
        PlanError: The numbers are impossible.
    """
    check_redundancy(workers, stragglers)
    check_certifiable(workers, MOST_COMPARED)
    own = workers - stragglers
    sizes = [stragglers + t for t in _thresholds(max(own, _WIDEST), own)]
    return _curves(((n, stragglers, n) for n in sizes), samples)


def over_stragglers(
    workers: int, stragglers: int, *, samples: int = SAMPLES
) -> list[Curve]:
    """Returns α over γ ≥ 1 for a fixed n.

    Args:
        workers: n.
        stragglers: A γ to be among those of the curves.
        samples: Random survivor sets for each point.

    Raises:
        PlanError: The numbers are impossible.
    """
    check_redundancy(workers, stragglers)
    check_certifiable(workers, MOST_COMPARED)
    thresholds = _thresholds(workers - 1, workers - stragglers)
    missing = sorted(workers - t for t in thresholds)
    return _curves(((workers, gamma, gamma) for gamma in missing), samples)


def _thresholds(largest: int, own: int) -> list[int]:
    """Returns the δ to show: multiples of 4, which every kind can split evenly."""
    step = 4 if largest >= 12 else 1
    all_of_them = range(step, largest + 1, step)
    few = np.linspace(0, len(all_of_them) - 1, min(_POINTS, len(all_of_them)))
    return sorted({own, *(all_of_them[round(i)] for i in few)})


def _curves(points: Iterable[tuple[int, int, int]], samples: int) -> list[Curve]:
    found: dict[str, list[tuple[int, float, float]]] = {}
    for workers, stragglers, at in points:
        for kind, (square, *_) in kinds(workers, stragglers).items():
            if may_be_chosen(square):
                alpha = glance(square, samples=samples)
                found.setdefault(kind, []).append((at, *alpha))
    return [
        Curve(kind, *map(tuple, zip(*rows, strict=True)))
        for kind, rows in found.items()
    ]
