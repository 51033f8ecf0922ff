"""The adversary: which survivors would make decoding worst?

A greedy search over swaps of one survivor s for one of the others, t. With
C = G_S⁻¹·G_t, the swap multiplies det G_S by the determinant of the ℓ×ℓ block of C
that belongs to s. Near-singular sets are what amplifies, so the swaps that shrink
the determinant most are tried, and the one with the largest α is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fcdcc_keras.codes.amplification import amplifications, generators, inverse, scaled
from fcdcc_keras.codes.base import Code

_STEPS = 100
_DECIMALS = 9
"""Of determinants that swaps are compared by."""
_RUNS = 6
"""Runs of neighbours to start from, around the circle of workers."""


def worst_survivors(
    code: Code,
    start: Sequence[int] | np.ndarray,
    *,
    restarts: int = 18,
    tried: int = 24,
    seed: int = 0,
) -> tuple[int, ...]:
    """Returns the δ survivors with the largest amplification that is found.

    Args:
        code: A code of which any δ workers are a square system.
        start: A set to start from, beside runs of neighbours and random ones.
        restarts: Sets to start from in all.
        tried: Swaps whose amplification is computed in each step.
        seed: Seed of the random starts.
    """
    n, threshold = code.workers, code.recovery_threshold
    rng = np.random.default_rng(seed)
    # Runs of neighbours are CRME's worst, and bad starts for other codes too.
    runs = [(np.arange(threshold) + i * n // _RUNS) % n for i in range(_RUNS)]
    starts = [np.sort(np.asarray(start)), *map(np.sort, runs)]
    while len(starts) < restarts:
        starts.append(np.sort(rng.choice(n, threshold, replace=False)))
    columns = scaled(generators(code))
    found = [_descend(code, columns, start, tried) for start in starts]
    _, worst = max(found, key=lambda pair: pair[0])
    return tuple(int(w) for w in worst)


def _descend(
    code: Code, columns: np.ndarray, survivors: np.ndarray, tried: int
) -> tuple[float, np.ndarray]:
    alpha = float(amplifications(code, survivors[None])[0])
    for _ in range(_STEPS):
        swaps = _shrinking_swaps(columns, survivors, tried)
        if len(swaps) == 0:
            break
        alphas = amplifications(code, swaps)
        best = int(alphas.argmax())
        if not alphas[best] > alpha:
            break
        alpha, survivors = float(alphas[best]), swaps[best]
    return alpha, survivors


def _shrinking_swaps(
    columns: np.ndarray, survivors: np.ndarray, tried: int
) -> np.ndarray:
    """Returns the sets after the swaps that shrink the determinant most."""
    n, size, ell = columns.shape
    others = np.setdiff1d(np.arange(n), survivors)
    if not others.size:
        return np.empty((0, len(survivors)), int)
    try:
        decoding = inverse(columns, survivors)
    except np.linalg.LinAlgError:
        return np.empty((0, len(survivors)), int)  # it cannot get worse
    # C for all others at once: (δ·ℓ, others·ℓ), then its ℓ×ℓ blocks.
    mixed = decoding @ np.hstack(list(columns[others]))
    blocks = mixed.reshape(len(survivors), ell, len(others), ell).swapaxes(1, 2)
    # Of those that are equal but for rounding the first.
    shrink = np.abs(np.linalg.det(blocks)).round(_DECIMALS)
    best = np.argsort(shrink, axis=None, kind="stable")[:tried]
    sets = np.repeat(survivors[None], len(best), axis=0)
    out, into = np.unravel_index(best, shrink.shape)
    sets[np.arange(len(best)), out] = others[into]
    assert size == len(survivors) * ell
    return np.sort(sets, axis=1)
