"""Polynomial code over the reals (Yu, Maddah-Ali and Avestimehr, arXiv:1705.10464).

The input is encoded by the powers x_w^i, the kernel by x_w^{j·k_A}, at n equally
spaced points in [−1, 1]. Its condition number grows exponentially with δ: here for
comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fcdcc_keras.codes.real import RealCode


@dataclass(frozen=True)
class Vandermonde(RealCode):
    """Powers of equally spaced real points."""

    name = "vandermonde"

    @cached_property
    def input_matrix(self) -> np.ndarray:
        """A: shape ``(k_A, n)``, A[i, w] = x_w^i."""
        return self._powers(np.arange(self.k_a))

    @cached_property
    def kernel_matrix(self) -> np.ndarray:
        """B: shape ``(k_B, n)``, B[j, w] = x_w^{j·k_A}."""
        return self._powers(np.arange(self.k_b) * self.k_a)

    def _powers(self, exponents: np.ndarray) -> np.ndarray:
        n = self.workers
        # Symmetric points would include 0, at which only the power 0 is seen.
        points = np.linspace(-1, 1, n) if n > 1 else np.ones(1)
        powers: np.ndarray = points ** exponents[:, None]
        return powers
