"""No code at all: every worker computes one block, and all of them are needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.real import RealCode
from fcdcc_keras.codes.splits import factor_pairs
from fcdcc_keras.errors import PlanError


@dataclass(frozen=True)
class Uncoded(RealCode):
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
    def designs(cls, workers: int, threshold: int) -> list[Code]:
        """Returns the splits into n blocks; there is none where δ < n."""
        if threshold != workers:
            return []
        return [cls(a, b, workers) for a, b in factor_pairs(workers)]

    @property
    def plain_workers(self) -> int:
        """n: all of them."""
        return self.workers

    @cached_property
    def input_matrix(self) -> np.ndarray:
        """A: shape ``(k_A, n)``; worker w gets block w // k_B."""
        return np.kron(np.eye(self.k_a), np.ones((1, self.k_b)))

    @cached_property
    def kernel_matrix(self) -> np.ndarray:
        """B: shape ``(k_B, n)``; worker w holds block w % k_B."""
        return np.kron(np.ones((1, self.k_a)), np.eye(self.k_b))
