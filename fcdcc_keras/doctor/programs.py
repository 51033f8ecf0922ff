"""Small programs, and what the times that they take say of a worker. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from statistics import median

from fcdcc_keras.doctor.findings import Speed
from fcdcc_keras.execution.calibration.figures import (
    Computing,
    Sized,
    Timed,
    additions,
    computing,
    convolutions,
    costs,
    small_additions,
)

KINDS: tuple[tuple[Callable[[int], Sized], int, int], ...] = (
    # How chains are made, and how many a shorter and a longer one has.
    (small_additions, 64, 256),
    (additions, 1, 4),
    (convolutions, 1, 4),
)


def rate_of(speed: Speed) -> float:
    """Returns a worker's multiply-adds per second."""
    return usual([speed]).rate


def usual(speeds: Sequence[Speed], kernel_byte: float = 0.0) -> Computing:
    """Returns what the usual one of some workers can do.

    Args:
        speeds: Of the workers.
        kernel_byte: As ``execution.calibration.figures.computing`` has it.
    """
    call = median(speed.call for speed in speeds)
    pairs = []
    for number, (make, *lengths) in enumerate(KINDS):
        both = [
            Timed(
                costs(make(n)), median(speed.pairs[number][which] for speed in speeds)
            )
            for which, n in enumerate(lengths)
        ]
        pairs.append((both[0], both[1]))
    return computing(pairs, call, kernel_byte)


@cache
def _costs(make: Callable[[int], Sized], many: int) -> tuple[float, ...]:
    return costs(make(many))
