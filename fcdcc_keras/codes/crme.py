"""CRME: circulant and rotation matrix embedding.

Ramamoorthy and Tang, "Numerically stable coded matrix computations via
circulant and rotation matrix embeddings", arXiv:1910.06515, as used for
convolutions by FCDCC, arXiv:2411.01579.

With θ = 2π/q and R(φ) = [[cos φ, −sin φ], [sin φ, cos φ]], A has the 2×2 blocks
R(i·w·θ), i < k_A/2, and B the blocks R(j·w·(k_A/ℓ_A)·θ), j < k_B/2: together
they run over δ consecutive powers of n distinct points on the unit circle, which
is why any δ of n workers suffice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fcdcc_keras.codes.plane import PlaneCode
from fcdcc_keras.errors import PlanError


@dataclass(frozen=True)
class CRME(PlaneCode):
    """CRME code; a side with k = 1 is not coded and its matrix is a row of ones."""

    q: int = 0
    """Order of the rotations, q ≥ n; 0 stands for n, which is better conditioned
    for all survivor sets than the odd q of the literature (``odd_q``)."""

    name = "crme"

    def __post_init__(self) -> None:
        if self.q == 0:
            object.__setattr__(self, "q", self.workers)
        super().__post_init__()

    def _check(self) -> None:
        super()._check()
        if not isinstance(self.q, int) or self.q < self.workers:
            raise PlanError(
                "CRME needs an integer q of at least the number of workers. "
                f"Received: q={self.q!r}, workers={self.workers}. Use "
                f"q={self.workers}."
            )

    @cached_property
    def input_matrix(self) -> np.ndarray:
        """A: shape ``(k_A, ℓ_A·n)``, blocks R(i·w·θ)."""
        return self._rotations(self.k_a, step=1)

    @cached_property
    def kernel_matrix(self) -> np.ndarray:
        """B: shape ``(k_B, ℓ_B·n)``, blocks R(j·w·(k_A/ℓ_A)·θ)."""
        return self._rotations(self.k_b, step=self.k_a // self.ell_a)

    def _rotations(self, k: int, step: int) -> np.ndarray:
        if k == 1:
            return np.ones((1, self.workers))
        powers = np.outer(np.arange(k // 2) * step, np.arange(self.workers))
        # Modulo q while still integers: large multiples of θ would lose digits.
        phi = (powers % self.q) * (2 * np.pi / self.q)
        matrix = np.empty((k // 2, 2, self.workers, 2))
        matrix[:, 0, :, 0] = matrix[:, 1, :, 1] = np.cos(phi)
        matrix[:, 1, :, 0] = np.sin(phi)
        matrix[:, 0, :, 1] = -np.sin(phi)
        return matrix.reshape(k, 2 * self.workers)


def odd_q(workers: int) -> int:
    """Returns the smallest odd q ≥ n, the choice of the literature."""
    return workers + 1 - workers % 2
