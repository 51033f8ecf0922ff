"""Random Gaussian Khatri-Rao code (Subramaniam, Heidarzadeh and Narayanan).

arXiv:1907.05965: A and B have independent normal entries, so that the generator is
their column-wise Kronecker, or Khatri-Rao, product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fcdcc_keras.codes.real import RealCode


@dataclass(frozen=True)
class KhatriRao(RealCode):
    """Independent Gaussian entries on both sides."""

    seed: int = 0
    """Seed of the entries."""

    name = "khatri_rao"

    @cached_property
    def input_matrix(self) -> np.ndarray:
        """A: shape ``(k_A, n)``, normal entries."""
        return gaussian(self.k_a, self.workers, [self.seed, 0])

    @cached_property
    def kernel_matrix(self) -> np.ndarray:
        """B: shape ``(k_B, n)``, normal entries."""
        return gaussian(self.k_b, self.workers, [self.seed, 1])


def gaussian(k: int, workers: int, seed: list[int]) -> np.ndarray:
    """Returns normal entries with columns of unit norm; ones where k = 1.

    Shape ``(k, workers)``. A worker's scale means nothing to decoding.
    """
    if k == 1:
        return np.ones((1, workers))
    matrix = np.random.default_rng(seed).normal(size=(k, workers))
    unit: np.ndarray = matrix / np.linalg.norm(matrix, axis=0)
    return unit
