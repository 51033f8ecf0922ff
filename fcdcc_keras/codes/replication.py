"""Replication: every block is computed by several workers, as it is.

Not an MDS code: whether a survivor set suffices depends on who is in it, not only
on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.real import RealCode
from fcdcc_keras.codes.splits import factor_pairs
from fcdcc_keras.errors import PlanError


@dataclass(frozen=True)
class Replication(RealCode):
    """Worker w computes block w mod k_A·k_B."""

    name = "replication"

    def _check(self) -> None:
        if self.workers < self.k_a * self.k_b:
            raise PlanError(
                "Replication needs a worker for each of its k_a·k_b blocks. "
                f"Received: workers={self.workers}, k_a={self.k_a}, "
                f"k_b={self.k_b}. Use at least {self.k_a * self.k_b} workers."
            )

    @classmethod
    def designs(cls, workers: int, threshold: int) -> list[Code]:
        """Returns the codes for n workers with δ = n − ⌊n/(k_A·k_B)⌋ + 1."""
        codes = [
            cls(a, b, workers)
            for blocks in range(1, threshold + 1)
            for a, b in factor_pairs(blocks)
        ]
        return [code for code in codes if code.recovery_threshold == threshold]

    @property
    def recovery_threshold(self) -> int:
        """δ = n − ⌊n/(k_A·k_B)⌋ + 1: with fewer, all copies of one may be missing."""
        return self.workers - self.workers // (self.k_a * self.k_b) + 1

    @property
    def worst_survivors(self) -> tuple[int, ...]:
        """All but the other copies of one block, which is left with nothing to average.

        The last block, for it has the fewest copies: no more than n − δ + 1.
        """
        last = self.k_a * self.k_b - 1
        return tuple(
            w for w in range(self.workers) if w == last or w % (last + 1) != last
        )

    def decodable(self, survivors: Iterable[int]) -> bool:
        """Returns whether the survivors have every block between them."""
        blocks = self.k_a * self.k_b
        return len({worker % blocks for worker in survivors}) == blocks

    @property
    def plain_workers(self) -> int:
        """n: all of them."""
        return self.workers

    @cached_property
    def input_matrix(self) -> np.ndarray:
        """A: shape ``(k_A, n)``, unit columns."""
        return np.eye(self.k_a)[:, self._blocks // self.k_b]

    @cached_property
    def kernel_matrix(self) -> np.ndarray:
        """B: shape ``(k_B, n)``, unit columns."""
        return np.eye(self.k_b)[:, self._blocks % self.k_b]

    @property
    def _blocks(self) -> np.ndarray:
        return np.arange(self.workers) % (self.k_a * self.k_b)
