"""The error amplification of many survivor sets at once.

As ``decoding_matrix`` gives it for one set, for codes without extra results: every
set has exactly δ workers, so G_S is square and α(S) is the largest column norm of
the inverse of G_S with its columns scaled to unit norm. Figures are rounded as
``figures`` has it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.figures import conditioned

_CHUNK_FLOATS = 4_000_000
"""Floats of generator matrices inverted at once: 32 MB."""


def amplifications(code: Code, sets: np.ndarray) -> np.ndarray:
    """Returns α(S) of survivor sets; infinite where the set cannot be decoded.

    Args:
        code: A code of which any δ workers are a square system.
        sets: Survivors, shape ``(m, δ)``, integers.

    Returns:
        Shape ``(m,)``.
    """
    workers = scaled(generators(code))
    size = workers.shape[1]
    chunk = max(1, _CHUNK_FLOATS // (size * size))
    parts = [
        _amplifications(workers[sets[i : i + chunk]])
        for i in range(0, len(sets), chunk)
    ]
    return conditioned(np.concatenate(parts))


def condition_numbers(code: Code, sets: np.ndarray) -> np.ndarray:
    """Returns the 2-norm condition numbers of survivor sets, shape ``(m,)``.

    Args:
        code: A code of which any δ workers are a square system.
        sets: Survivors, shape ``(m, δ)``, integers.
    """
    workers = generators(code)
    size = workers.shape[1]
    chunk = max(1, _CHUNK_FLOATS // (size * size))
    parts = []
    for i in range(0, len(sets), chunk):
        matrices = _square(workers[sets[i : i + chunk]])
        values = np.linalg.svd(matrices, compute_uv=False)
        with np.errstate(divide="ignore"):
            parts.append(values[:, 0] / values[:, -1])
    return conditioned(np.concatenate(parts))


@lru_cache(maxsize=4)
def generators(code: Code) -> np.ndarray:
    """Returns G_w of every worker, shape ``(n, k_A·k_B, ℓ_A·ℓ_B)``."""
    n = code.workers
    a = code.input_matrix.reshape(code.k_a, 1, n, code.ell_a, 1)
    b = code.kernel_matrix.reshape(1, code.k_b, n, 1, code.ell_b)
    products: np.ndarray = np.moveaxis(a * b, 2, 0)
    return products.reshape((n, code.k_a * code.k_b, code.ell_a * code.ell_b))


def inverse(workers: np.ndarray, survivors: np.ndarray) -> np.ndarray:
    """Returns the inverse of the scaled G_S, shape ``(δ·ℓ_A·ℓ_B, k_A·k_B)``.

    Args:
        workers: What ``generators`` gave, scaled by ``scaled``.
        survivors: δ workers.

    Raises:
        numpy.linalg.LinAlgError: G_S is singular.
    """
    matrix: np.ndarray = np.linalg.inv(_square(workers[survivors][None])[0])
    return matrix


def scaled(workers: np.ndarray) -> np.ndarray:
    """Returns G_w with columns of unit norm."""
    unit: np.ndarray = workers / np.linalg.norm(workers, axis=1, keepdims=True)
    return unit


def _amplifications(workers: np.ndarray) -> np.ndarray:
    matrices = _square(workers)
    try:
        inverses = np.linalg.inv(matrices)
    except np.linalg.LinAlgError:  # one of them is singular: find out which
        inverses = np.full_like(matrices, np.inf)
        for i, matrix in enumerate(matrices):
            if np.linalg.matrix_rank(matrix) == len(matrix):
                inverses[i] = np.linalg.inv(matrix)
    return amplification(inverses)


def amplification(inverses: np.ndarray) -> np.ndarray:
    """Returns α by inverses of scaled G_S, shape ``(m, ·, ·)``; not rounded yet."""
    alpha: np.ndarray = np.linalg.norm(inverses, axis=1).max(axis=1)
    # Of a matrix that is all but singular, NaN may come back in place of infinity.
    return np.where(np.isnan(alpha), np.inf, alpha)


def _square(workers: np.ndarray) -> np.ndarray:
    # (m, δ, k_A·k_B, ℓ_A·ℓ_B) to (m, k_A·k_B, δ·ℓ_A·ℓ_B).
    sets, _, blocks, _ = workers.shape
    return np.moveaxis(workers, 1, 2).reshape(sets, blocks, -1)
