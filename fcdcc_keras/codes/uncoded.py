"""No code at all: every worker computes one block, and all of them are needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fcdcc_keras.codes.base import Code
from fcdcc_keras.errors import PlanError


@dataclass(frozen=True)
class Uncoded(Code):
    """Worker i·k_B + j computes block (i, j); it tolerates no straggler."""

    name = "uncoded"

    def _check(self) -> None:
        if self.workers != self.k_a * self.k_b:
            raise PlanError(
                "An uncoded split needs exactly one worker for each of its "
                f"k_a·k_b blocks. Received: workers={self.workers}, "
                f"k_a={self.k_a}, k_b={self.k_b}. Use "
                f"workers={self.k_a * self.k_b}, or a code."
            )

    @classmethod
    def splits(cls, threshold: int) -> list[tuple[int, int]]:
        """Returns all pairs with k_A·k_B = δ."""
        return [
            (k, threshold // k) for k in range(1, threshold + 1) if threshold % k == 0
        ]

    @classmethod
    def for_split(cls, k_a: int, k_b: int, workers: int) -> Uncoded:
        """Returns the uncoded split."""
        return cls(k_a, k_b, workers)

    @property
    def ell_a(self) -> int:
        """ℓ_A = 1."""
        return 1

    @property
    def ell_b(self) -> int:
        """ℓ_B = 1."""
        return 1

    @cached_property
    def input_matrix(self) -> np.ndarray:
        """A: shape ``(k_A, n)``; worker w gets block w // k_B."""
        return np.kron(np.eye(self.k_a), np.ones((1, self.k_b)))

    @cached_property
    def kernel_matrix(self) -> np.ndarray:
        """B: shape ``(k_B, n)``; worker w holds block w % k_B."""
        return np.kron(np.ones((1, self.k_a)), np.eye(self.k_b))
