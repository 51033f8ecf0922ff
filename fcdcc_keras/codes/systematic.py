"""Systematic codes: the first δ workers compute plain blocks, the others parity.

Nothing is encoded for the first δ workers, and nothing decoded when they are the
survivors; with e of them missing, e·ℓ_A·ℓ_B blocks are solved for. The parity
columns are random: real, or quaternions × reals, whose bad survivor sets are rarer
(see ``quaternion``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.khatri_rao import gaussian
from fcdcc_keras.codes.quaternion import (
    FourSided,
    Side,
    check_fours,
    fours,
    matrices,
)
from fcdcc_keras.codes.splits import factor_pairs
from fcdcc_keras.errors import PlanError

Parity = Literal["gaussian", "quaternion"]


@dataclass(frozen=True)
class Systematic(FourSided):
    """Plain blocks on δ workers, random parity on γ."""

    seed: int = 0
    """Seed of the parity columns."""
    parity: Parity = "gaussian"
    """"gaussian": δ = k_A·k_B, one block for each worker. "quaternion":
    δ = k_A·k_B/4, four blocks of one side for each worker."""
    side: Side = ""
    """Side of the quaternions, as in ``Quaternion``; empty for Gaussian parity."""

    name = "systematic"

    def __post_init__(self) -> None:
        if self.parity == "quaternion":
            self._choose_side()
        super().__post_init__()

    def _check(self) -> None:
        if self.parity == "quaternion":
            check_fours(self, self.side)
        elif self.parity != "gaussian" or self.side != "":
            raise PlanError(
                "`parity` must be 'gaussian', without a side, or 'quaternion'. "
                f"Received: parity={self.parity!r}, side={self.side!r}. Choose one."
            )

    @classmethod
    def designs(cls, workers: int, threshold: int) -> list[Code]:
        """Returns the codes for n workers with recovery threshold δ, both parities."""
        gaussian: list[Code] = [cls(a, b, workers) for a, b in factor_pairs(threshold)]
        return gaussian + [
            cls(a, b, workers, parity="quaternion", side=side)
            for a, b, side in fours(threshold)
        ]

    @property
    def plain_workers(self) -> int:
        """δ: the first ones."""
        return self.recovery_threshold

    @cached_property
    def input_matrix(self) -> np.ndarray:
        """A: shape ``(k_A, ℓ_A·n)``; unit columns for the first δ workers."""
        ell, groups = self.ell_a, self.k_a // self.ell_a
        plain = np.kron(np.eye(groups), np.ones((1, self.k_b // self.ell_b)))
        return np.hstack([np.kron(plain, np.eye(ell)), self._parity[0]])

    @cached_property
    def kernel_matrix(self) -> np.ndarray:
        """B: shape ``(k_B, ℓ_B·n)``; unit columns for the first δ workers."""
        ell, groups = self.ell_b, self.k_b // self.ell_b
        plain = np.kron(np.ones((1, self.k_a // self.ell_a)), np.eye(groups))
        return np.hstack([np.kron(plain, np.eye(ell)), self._parity[1]])

    @cached_property
    def _parity(self) -> tuple[np.ndarray, np.ndarray]:
        if self.parity == "quaternion":
            split = (self.k_a, self.k_b)
            return matrices(
                "systematic", self.workers, self.stragglers, split, self.side, self.seed
            )
        return (
            gaussian(self.k_a, self.stragglers, [self.seed, 0]),
            gaussian(self.k_b, self.stragglers, [self.seed, 1]),
        )
