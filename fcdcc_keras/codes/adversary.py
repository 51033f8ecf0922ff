"""The adversary: which survivors would make decoding worst?

A greedy search over swaps of one survivor s for one of the others, t. With
C = G_S⁻¹·G_t, the swap multiplies det G_S by the determinant of the ℓ×ℓ block of C
that belongs to s. Near-singular sets are what amplifies, so the swaps that shrink
the determinant most are tried, and the one with the largest α is taken.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import numpy as np

from fcdcc_keras.codes.amplification import (
    amplification,
    inverse,
    scaled,
    telling,
)
from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.figures import conditioned

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
    columns = scaled(code)
    found = [_descend(columns, start, tried) for start in starts]
    _, worst = max(found, key=lambda pair: pair[0])
    return tuple(int(w) for w in worst)


def _descend(
    columns: np.ndarray, survivors: np.ndarray, tried: int
) -> tuple[float, np.ndarray]:
    alpha, decoding = _solved(columns, survivors)
    for _ in range(_STEPS):
        if decoding is None:
            break  # it cannot get worse
        swaps, alphas = _shrinking_swaps(columns, survivors, decoding, tried)
        if len(swaps) == 0:
            break
        next_ones = swaps[int(alphas.argmax())]
        found, decoding = _solved(columns, next_ones)
        if not found > alpha:
            break
        alpha, survivors = found, next_ones
    return alpha, survivors


def _solved(
    columns: np.ndarray, survivors: np.ndarray
) -> tuple[float, np.ndarray | None]:
    """Returns α(S) and the inverse of the scaled G_S; infinite and None without one."""
    try:
        decoding = inverse(columns, survivors)
    except np.linalg.LinAlgError:
        return math.inf, None
    alpha = amplification(telling(decoding)[None])
    return float(conditioned(alpha)[0]), decoding


def _shrinking_swaps(
    columns: np.ndarray, survivors: np.ndarray, decoding: np.ndarray, tried: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sets after the swaps that shrink the determinant most, and their α.

    With D = G_S⁻¹, D_s the rows of s, and K the block of C that belongs to s, the
    swap takes (C − I_s)·K⁻¹·D_s from D (Woodbury's identity), I_s the columns of s of
    the identity.
    """
    n, size, ell = columns.shape
    others = np.setdiff1d(np.arange(n), survivors)
    if not others.size:
        return np.empty((0, len(survivors)), int), np.empty(0)
    # C for all others at once: (δ·ℓ, others·ℓ), then its ℓ×ℓ blocks.
    mixed = decoding @ np.hstack(list(columns[others]))
    blocks = mixed.reshape(len(survivors), ell, len(others), ell).swapaxes(1, 2)
    # Of those that are equal but for rounding the first.
    shrink = _determinants(blocks).round(_DECIMALS)
    last = min(tried, shrink.size) - 1
    few = np.flatnonzero(shrink <= np.partition(shrink, last, axis=None)[last])
    best = few[np.argsort(shrink.ravel()[few], kind="stable")][:tried]
    sets = np.repeat(survivors[None], len(best), axis=0)
    out, into = np.unravel_index(best, shrink.shape)
    sets[np.arange(len(best)), out] = others[into]
    assert size == len(survivors) * ell
    alphas, some = np.full(len(best), np.inf), telling(decoding)
    for i, (s, t) in enumerate(zip(out.tolist(), into.tolist(), strict=True)):
        rows = slice(s * ell, (s + 1) * ell)
        change = mixed[:, t * ell : (t + 1) * ell].copy()
        change[rows] -= np.eye(ell)
        with contextlib.suppress(np.linalg.LinAlgError):  # infinite then
            step = np.linalg.solve(blocks[s, t], some[rows])
            alphas[i] = amplification((some - change @ step)[None])[0]
    return np.sort(sets, axis=1), conditioned(alphas)


def _determinants(blocks: np.ndarray) -> np.ndarray:
    """Returns |det| of the real matrices that blocks are, or stand for."""
    if np.iscomplexobj(blocks):  # of L(q) it is |q|⁴
        first = blocks[..., 0]
        norms: np.ndarray = (first.real**2 + first.imag**2).sum(axis=-1)
        return norms**2
    found: np.ndarray = np.abs(np.linalg.det(blocks))
    return found
