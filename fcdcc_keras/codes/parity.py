"""Parity: whether more results than decoding needs agree with each other.

Symbols, as in ``decoding.py``, and:

- ``U``: G_S with columns of unit norm, shape ``(k_A·k_B, m)``.
- ``P``: parity matrix, shape ``(m, p)``, p = m − k_A·k_B: an orthonormal basis of the
  null space of U, so that true results R, each over its g_m, give R·P = 0.

Worker m's rounding noise grows with g_m. P is orthonormal, so noise of one unit in
every R_m/g_m leaves a residual R·P of one unit, whoever the survivors are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from fcdcc_keras.codes.base import Code
from fcdcc_keras.programs.exactness import plain_error

FALSE_ALARM = 1e-9
"""Probability with which true results of one layer may be taken for contradictory,
if their rounding is Gaussian noise as large as the worst CPU's."""


@dataclass(frozen=True, eq=False)
class Parity:
    """The parity equations of one set of workers; prepared once, applied often."""

    matrix: np.ndarray
    """P with row m divided by g_m: ``(m, p)``, float64. True results times it are 0."""
    norms: np.ndarray
    """g_m, shape ``(m,)``."""


def parity(code: Code, workers: Iterable[int]) -> Parity:
    """Returns the parity equations of some workers, from a bounded cache.

    Args:
        code: The code.
        workers: Workers whose results give the output, in any order; the rows of the
            matrix are in ascending order.
    """
    return _parity(code, tuple(sorted(workers)))


def redundant(code: Code, workers: Iterable[int], spare: int) -> bool:
    """Returns whether the output is determined without any ``spare`` of the workers.

    With ``spare`` = 1 the error of any one worker shows; with 2 there is but one
    worker without whom the others agree.
    """
    return _redundant(code, frozenset(workers), spare)


def rounding_limit(
    dtype: str, terms: int, size: float | np.ndarray, count: int
) -> float | np.ndarray:
    """Returns how large the largest of many rounding errors may be.

    Errors of standard deviation σ = ``plain_error`` · size are further than
    σ·√(2·ln(2·count/``FALSE_ALARM``)) from 0 anywhere with at most the probability
    ``FALSE_ALARM``: the union bound over Gaussian tails.

    Args:
        dtype: float32 or float64.
        terms: Products in the sum of one output, K_H·K_W·C.
        size: Of the largest numbers that are rounded.
        count: Number of errors.
    """
    deviations = math.sqrt(2 * math.log(2 * count / FALSE_ALARM))
    return deviations * plain_error(dtype, terms) * size


@lru_cache(maxsize=1024)
def _parity(code: Code, workers: tuple[int, ...]) -> Parity:
    generator = code.generator(workers)
    norms = np.linalg.norm(generator, axis=0)
    norms[norms == 0] = 1.0  # such a result is 0
    # G_S has rank k_A·k_B, so the other right singular vectors span the null space.
    _, _, vectors = np.linalg.svd(generator / norms)
    return Parity(vectors[len(generator) :].T / norms[:, None], norms)


@lru_cache(maxsize=4096)
def _redundant(code: Code, workers: frozenset[int], spare: int) -> bool:
    return all(
        code.decodable(workers - set(missing))
        for missing in combinations(workers, min(spare, len(workers)))
    )
