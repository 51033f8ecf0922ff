"""Whom to send a layer's coded inputs to: pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from statistics import median

from fcdcc_keras.codes import Code
from fcdcc_keras.codes.parity import redundant
from fcdcc_keras.errors import DecodeError

_SLOW = 2.0
"""A worker that takes this many times as long as the median is not chosen first."""
_TRIES = 24


def choose_few(
    code: Code,
    usual: Mapping[int, float],
    spare: int,
    enough: Callable[[Collection[int]], bool],
) -> list[int]:
    """Returns the least number of workers that gives the output, the best ones.

    Slow workers are left out; of the others those are taken whose results amplify
    errors least, so that of a systematic code the plain blocks are computed.

    Args:
        code: The layer's code.
        usual: Seconds that each worker that may be chosen usually takes.
        spare: Workers without any of whom the others must still do.
        enough: Whether the results of some workers do.

    Returns:
        All of them where no smaller set is known to do.
    """
    for pool in (quick(usual), tuple(sorted(usual))):
        chosen = _best(code, pool, spare)
        if chosen is not None and enough(chosen):
            return list(chosen)
    return sorted(usual)


def quick(usual: Mapping[int, float]) -> tuple[int, ...]:
    """Returns the workers, in order, that are not much slower than most."""
    middle = median(usual.values()) if usual else 0.0
    return tuple(sorted(w for w in usual if usual[w] <= _SLOW * middle))


@lru_cache(maxsize=1024)
def _best(code: Code, pool: tuple[int, ...], spare: int) -> tuple[int, ...] | None:
    if not redundant(code, pool, spare):
        return None
    rng = random.Random(0)
    # Neighbours first (systematic codes), then every second one, then by chance.
    orders = [pool, pool[::2] + pool[1::2]]
    orders += [tuple(rng.sample(pool, len(pool))) for _ in range(_TRIES)]
    found = {_thinned(code, order, spare): None for order in orders}  # in this order
    return min(
        found,
        key=lambda chosen: (
            len(chosen),
            plain_copies(code, chosen) is None,
            _amplification(code, chosen),
        ),
    )


def plain_copies(code: Code, workers: Collection[int]) -> tuple[int, ...] | None:
    """Returns workers whose plain blocks are the whole output, or None."""
    plain = tuple(sorted(w for w in workers if w < code.plain_workers))
    return _thinned(code, plain, 0) if code.decodable(plain) else None


def _thinned(code: Code, order: tuple[int, ...], spare: int) -> tuple[int, ...]:
    """Returns the first of these workers that suffice, without any needless one."""
    kept = list(order)
    for worker in reversed(order):
        without = [w for w in kept if w != worker]
        if redundant(code, without, spare):
            kept = without
    return tuple(sorted(kept))


def _amplification(code: Code, workers: tuple[int, ...]) -> float:
    try:
        return code.decoder(workers).amplification
    except DecodeError:
        return float("inf")
