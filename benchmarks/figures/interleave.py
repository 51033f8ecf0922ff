"""Measuring several things in turn, so that a busy machine is busy for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

Contender = Callable[[], "float | None"]
"""Does once what is to be measured. Returns the seconds that count, or None: all of
the call does."""


def interleave(
    contenders: Mapping[str, Contender],
    rounds: int,
    *,
    warm_up: int = 1,
    step: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Returns the seconds of every contender in every round.

    In each round every contender has one turn. Each round starts with another one, so
    that none always follows the same neighbour's left-overs.

    Args:
        contenders: What to measure, by name.
        rounds: How often.
        warm_up: Rounds before those, that do not count.
        step: Called after every round.
    """
    names = list(contenders)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warm_up, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            counted = contenders[name]()
            seconds = time.perf_counter() - start
            if number >= 0:
                samples[name].append(seconds if counted is None else counted)
        step()
    return samples
