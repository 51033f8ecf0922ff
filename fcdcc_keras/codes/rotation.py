"""Rotations by random angles: CRME's shape without its structure.

A has 2×2 blocks R(φ_{i,w}), B blocks R(ψ_{j,w}), with independent uniform angles.
A real rotation is a complex number of modulus 1, so the system splits into two
complex ones, in φ + ψ and φ − ψ. A small singular value of a random complex matrix
is far less likely than of a real one (probability ∝ ε² against ε), which keeps the
tail of the error short where CRME's contiguous survivor sets fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fcdcc_keras.codes.plane import PlaneCode


@dataclass(frozen=True)
class Rotation(PlaneCode):
    """Random rotations on each coded side; a side with k = 1 is a row of ones."""

    seed: int = 0
    """Seed of the angles."""

    name = "rotation"

    @cached_property
    def input_matrix(self) -> np.ndarray:
        """A: shape ``(k_A, ℓ_A·n)``, blocks R(φ_{i,w})."""
        return self._random(self.k_a, side=0)

    @cached_property
    def kernel_matrix(self) -> np.ndarray:
        """B: shape ``(k_B, ℓ_B·n)``, blocks R(ψ_{j,w})."""
        return self._random(self.k_b, side=1)

    def _random(self, k: int, side: int) -> np.ndarray:
        if k == 1:
            return np.ones((1, self.workers))
        rng = np.random.default_rng([self.seed, side])
        return rotations(rng.uniform(0, 2 * np.pi, (k // 2, self.workers)))


def rotations(phi: np.ndarray) -> np.ndarray:
    """Returns the matrix whose 2×2 blocks are R(φ) = [[cos φ, −sin φ], [sin φ, cos φ]].

    Args:
        phi: Angles, shape ``(m, n)``.

    Returns:
        Shape ``(2m, 2n)``.
    """
    blocks = np.stack([np.cos(phi), -np.sin(phi), np.sin(phi), np.cos(phi)], axis=-1)
    m, n = phi.shape
    matrix: np.ndarray = blocks.reshape(m, n, 2, 2).swapaxes(1, 2).reshape(2 * m, 2 * n)
    return matrix
