"""Which faults happen where, in which order: pure, and the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KINDS = (
    *("restart", "stop", "slow", "exception", "memory", "link"),
    *("leave", "terminate", "chaos"),
)
"""SIGKILL and restart by the nanny; SIGSTOP and SIGCONT; ten times slower; exception
in the subtask; memory limit exceeded, and restart; link down and up; leaving
gracefully, and another joining; SIGTERM, and another joining;
``distributed.chaos.KillWorker``, and restart."""
RESTARTING = frozenset({"restart", "memory", "leave", "terminate", "chaos"})
"""Kinds after which there is a new worker process."""
_LASTS = (0.3, 2.5)
"""Least and greatest seconds from the beginning of a fault to its end."""
_PAUSE = (0.1, 0.6)
"""Least and greatest seconds before it, when the one before is over."""


@dataclass(frozen=True)
class Gust:
    """One thing that happens to one worker."""

    kind: str
    place: int
    """Where: the index of a worker."""
    lasts: float
    """Seconds from its beginning to its end, for what does not end by itself."""
    pause: float
    """Seconds without a fault before it."""


def write_script(
    seed: int, counts: Mapping[str, int], places: int, lanes: int = 2
) -> list[list[Gust]]:
    """Returns what happens: one list for each lane, whose faults follow each other.

    Lanes have places of their own, so as many faults as there are lanes can be at
    once, and never two at one place. The first place of every lane never restarts:
    there memory can be compared.

    Args:
        seed: Of the order, the places and the times.
        counts: How many faults of each kind, over all lanes.
        places: Number of workers, at least two for each lane.
        lanes: Most faults at once.
    """
    rng = random.Random(seed)
    script: list[list[Gust]] = []
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    for lane in range(lanes):
        own = list(range(lane, places, lanes))
        faults = [_gust(kind, own, rng) for kind in kinds[lane::lanes]]
        rng.shuffle(faults)
        script.append(faults)
    return script


def steady_places(places: int, lanes: int = 2) -> list[int]:
    """Returns the places whose workers no fault of a script restarts."""
    return list(range(min(lanes, places)))


def _gust(kind: str, places: Sequence[int], rng: random.Random) -> Gust:
    allowed = places[1:] if kind in RESTARTING else places
    lasts, pause = round(rng.uniform(*_LASTS), 2), round(rng.uniform(*_PAUSE), 2)
    return Gust(kind, rng.choice(allowed), lasts, pause)
