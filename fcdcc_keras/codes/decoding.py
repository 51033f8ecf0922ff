"""Decoding matrices and what they do to rounding errors.

Symbols, as in the paper and in ``base.py``:

- ``G_S``: generator matrix of the survivors S, shape ``(k_A·k_B, m)``; column
  (w, a, b) holds the factors with which the true blocks enter that result.
- ``g_m``: Euclidean norm of column m of ``G_S``.
- ``D``: decoding matrix, shape ``(m, k_A·k_B)``, with ``G_S · D = I``.
- ``α``: error amplification, ``max_j √(Σ_m (g_m·D_mj)²)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fcdcc_keras.codes.linear import combine
from fcdcc_keras.errors import DecodeError


@dataclass(frozen=True, eq=False)
class Decoder:
    """Decodes the results of one survivor set; prepared once, applied often."""

    survivors: tuple[int, ...]
    """Workers whose results are decoded, in the order of their results."""
    matrix: np.ndarray
    """D: shape ``(m, k_A·k_B)``, float64, m results in all."""
    condition_number: float
    """2-norm condition number of G_S, dimensionless."""
    amplification: float
    """α(S): growth of the workers' rounding noise in the worst block."""

    def decode(self, results: np.ndarray) -> np.ndarray:
        """Returns the true blocks.

        Args:
            results: Shape ``(m, *block)``: the results of each survivor in
                turn, each worker's in (a, b) order.

        Returns:
            Shape ``(k_A·k_B, *block)``; block (i, j) stands at i·k_B + j.
        """
        return combine(self.matrix.T, results)


def condition_number(generator: np.ndarray) -> float:
    """Returns the 2-norm condition number of a generator matrix."""
    return float(np.linalg.cond(generator))


def decoding_matrix(generator: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the decoding matrix of least noise, and its amplification.

    Worker m's rounding error grows with g_m, the size of what it computes, so
    columns are scaled to unit norm first: the inverse, or with more results
    than needed the pseudo-inverse, of the scaled matrix is then the weighted
    least squares solution, and α its largest column norm.

    Args:
        generator: G_S, shape ``(k_A·k_B, m)`` with m ≥ k_A·k_B.

    Returns:
        D of shape ``(m, k_A·k_B)``, and α(S).

    Raises:
        DecodeError: The results do not determine the blocks.
    """
    blocks, results = generator.shape
    norms = np.linalg.norm(generator, axis=0)
    scaled = generator / norms
    if results < blocks or np.linalg.matrix_rank(scaled) < blocks:
        raise DecodeError(
            "The results of the survivors must determine every block. Received: "
            f"a generator matrix of shape {generator.shape} and rank "
            f"{np.linalg.matrix_rank(scaled)}. Wait for more workers, or use a "
            "code that is better conditioned for this many stragglers."
        )
    inverse = np.linalg.inv(scaled) if results == blocks else np.linalg.pinv(scaled)
    amplification = float(np.linalg.norm(inverse, axis=0).max())
    return inverse / norms[:, None], amplification
