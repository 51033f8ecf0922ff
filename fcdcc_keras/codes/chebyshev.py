"""Orthogonal polynomial code (Fahim and Cadambe, arXiv:1903.08326).

The input is encoded by T_i(x_w), the kernel by T_{j·k_A}(x_w), where T are the
Chebyshev polynomials and x_w = cos((2w + 1)π/2n) their n nodes. Since
T_a·T_b = (T_{a+b} + T_{|a−b|})/2, the products run over polynomials of degrees 0 to
δ − 1 with each degree leading once, so any δ points determine them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fcdcc_keras.codes.real import RealCode


@dataclass(frozen=True)
class Chebyshev(RealCode):
    """Chebyshev polynomials at Chebyshev's nodes."""

    name = "chebyshev"

    @cached_property
    def input_matrix(self) -> np.ndarray:
        """A: shape ``(k_A, n)``, A[i, w] = T_i(x_w)."""
        return self._polynomials(np.arange(self.k_a))

    @cached_property
    def kernel_matrix(self) -> np.ndarray:
        """B: shape ``(k_B, n)``, B[j, w] = T_{j·k_A}(x_w)."""
        return self._polynomials(np.arange(self.k_b) * self.k_a)

    def _polynomials(self, degrees: np.ndarray) -> np.ndarray:
        angles = (2 * np.arange(self.workers) + 1) * np.pi / (2 * self.workers)
        values: np.ndarray = np.cos(np.outer(degrees, angles))
        return values
