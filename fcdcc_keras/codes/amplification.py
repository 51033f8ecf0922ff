"""The error amplification of many survivor sets at once.

As ``decoding_matrix`` gives it for one set, for codes without extra results: every
set has exactly δ workers, so G_S is square and α(S) is the largest column norm of
the inverse of G_S with its columns scaled to unit norm. Figures are rounded as
``figures`` has it.

Quaternions are computed with as pairs of complex numbers: a + bi + cj + dk is the 2×2
matrix [[α, β], [−β̄, ᾱ]] with α = a + bi, β = c + di, in place of the 4×4 matrix L(q).
Both multiply as quaternions do, so that the inverse of the one form is that of the
other, with the same norms of columns and the same singular values, for a third of the
work.
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
    workers = scaled(code)
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


def generators(code: Code) -> np.ndarray:
    """Returns G_w of every worker, shape ``(n, k_A·k_B, ℓ_A·ℓ_B)``.

    Of codes with quaternions in complex form, ``(n, k_A·k_B/2, 2)``.
    """
    n = code.workers
    a = code.input_matrix.reshape(code.k_a, 1, n, code.ell_a, 1)
    b = code.kernel_matrix.reshape(1, code.k_b, n, 1, code.ell_b)
    products: np.ndarray = np.moveaxis(a * b, 2, 0)
    if code.quaternion_side:
        return _complex_form(products, code.quaternion_side)
    return products.reshape((n, code.k_a * code.k_b, code.ell_a * code.ell_b))


def _complex_form(products: np.ndarray, side: str) -> np.ndarray:
    """Returns quaternions as pairs of complex numbers.

    Args:
        products: G_w, shape ``(n, k_A, k_B, ℓ_A, ℓ_B)``.
        side: "input" or "kernel", where each 4×4 block is an L(q).
    """
    n, k_a, k_b, _, _ = products.shape
    first = products[..., 0, 0]  # of L(q), which is q itself
    if side == "input":
        first = first.swapaxes(1, 2)
    a, b, c, d = np.moveaxis(first.reshape(n, k_a * k_b // 4, 4), -1, 0)
    alpha, beta = a + 1j * b, c + 1j * d
    pairs = np.array([[alpha, beta], [-beta.conj(), alpha.conj()]])
    form: np.ndarray = pairs.transpose(2, 3, 0, 1).reshape(n, k_a * k_b // 2, 2)
    return form


def telling(matrices: np.ndarray) -> np.ndarray:
    """Returns the columns of inverses that are needed for norms.

    Those of a quaternion in complex form are two of equal norm.
    """
    return matrices[..., ::2] if np.iscomplexobj(matrices) else matrices


def inverse(workers: np.ndarray, survivors: np.ndarray) -> np.ndarray:
    """Returns the inverse of the scaled G_S, shape ``(δ·ℓ_A·ℓ_B, k_A·k_B)``.

    In complex form half of either.

    Args:
        workers: What ``scaled`` gave.
        survivors: δ workers.

    Raises:
        numpy.linalg.LinAlgError: G_S is singular.
    """
    matrix: np.ndarray = np.linalg.inv(_square(workers[survivors][None])[0])
    return matrix


@lru_cache(maxsize=4)
def scaled(code: Code) -> np.ndarray:
    """Returns what ``generators`` does, with columns of unit norm."""
    workers = generators(code)
    unit: np.ndarray = workers / np.linalg.norm(workers, axis=1, keepdims=True)
    return unit


def _amplifications(workers: np.ndarray) -> np.ndarray:
    matrices = _square(workers)
    wanted = telling(np.eye(matrices.shape[1], dtype=matrices.dtype))
    try:
        inverses = np.linalg.solve(matrices, wanted)
    except np.linalg.LinAlgError:  # one of them is singular: find out which
        inverses = np.full((len(matrices), *wanted.shape), np.inf, matrices.dtype)
        for i, matrix in enumerate(matrices):
            if np.linalg.matrix_rank(matrix) == len(matrix):
                inverses[i] = np.linalg.solve(matrix, wanted)
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
