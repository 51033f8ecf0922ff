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
from functools import cached_property

import numpy as np

from fcdcc_keras.codes.figures import rounded
from fcdcc_keras.codes.linear import combine, unit_rows
from fcdcc_keras.errors import DecodeError

_RESIDUAL = 1e-6
"""Largest entry of G·D − I up to which D, itself in float64, is trusted."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """Decodes the results of one survivor set; prepared once, applied often."""

    survivors: tuple[int, ...]
    """Workers whose results are decoded, in the order of their results."""
    matrix: np.ndarray
    """D: shape ``(m, k_A·k_B)``, float64, m results in all."""
    amplification: float
    """α(S): growth of the workers' rounding noise in the worst block."""
    generator: np.ndarray
    """G_S: shape ``(k_A·k_B, m)``, float64."""

    @cached_property
    def condition_number(self) -> float:
        """2-norm condition number of G_S, dimensionless."""
        return condition_number(self.generator)

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
    """Returns the decoding matrix, and its amplification.

    A block that some result shows plainly (a unit column) is taken from there.
    The others are solved for, with what is known subtracted: an e×e system where e
    blocks are unknown.

    Args:
        generator: G_S, shape ``(k_A·k_B, m)``.

    Returns:
        D of shape ``(m, k_A·k_B)``, and α(S).

    Raises:
        DecodeError: The results do not determine the blocks.
    """
    norms = np.linalg.norm(generator, axis=0)

    def amplification(decoder: np.ndarray) -> float:
        return float(np.linalg.norm(decoder * norms[:, None], axis=0).max())

    decoder = _from_plain_blocks(generator)
    blocks, results = generator.shape
    if results > blocks:
        # With results to spare, averaging over all of them may beat plain copies.
        options = decoder, _solve(generator)
        decoder = min(options, key=lambda found: rounded(amplification(found)))
    return decoder, amplification(decoder)


def _from_plain_blocks(generator: np.ndarray) -> np.ndarray:
    blocks, results = generator.shape
    decoder = np.zeros((results, blocks))
    unit = np.flatnonzero(unit_rows(generator.T))
    shown, first = np.unique(generator[:, unit].argmax(axis=0), return_index=True)
    decoder[unit[first], shown] = 1.0
    unknown = np.setdiff1d(np.arange(blocks), shown)
    if unknown.size:
        mixed = np.setdiff1d(np.arange(results), unit)
        solution = _solve(generator[np.ix_(unknown, mixed)])
        decoder[np.ix_(mixed, unknown)] = solution
        known = generator[np.ix_(shown, mixed)]
        decoder[np.ix_(unit[first], unknown)] = -known @ solution
    return decoder


def _solve(generator: np.ndarray) -> np.ndarray:
    """Returns D with ``generator · D = I``, of least noise where there is a choice.

    Worker m's rounding error grows with g_m, the size of what it computes, so
    columns are scaled to unit norm first: the inverse, or with more results than
    needed the pseudo-inverse, is then the weighted least squares solution.
    """
    blocks, results = generator.shape
    norms = np.linalg.norm(generator, axis=0)
    norms[norms == 0] = 1.0  # such a result says nothing, and is given no weight
    scaled = generator / norms
    try:
        square = results == blocks
        inverse = np.linalg.inv(scaled) if square else np.linalg.pinv(scaled)
        residual = np.abs(scaled @ inverse - np.eye(blocks)).max()
    except np.linalg.LinAlgError:
        residual = np.inf
    if not residual < _RESIDUAL:
        raise DecodeError(
            "The results of the survivors must determine every block. Received: "
            f"{results} results for {blocks} unknown blocks, which solve them up to "
            f"{residual:.1g}. Wait for more workers, or use a code that is better "
            "conditioned for this many stragglers."
        )
    solution: np.ndarray = inverse / norms[:, None]
    return solution
