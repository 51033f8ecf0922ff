"""What codes with one coded input and one coded kernel for each worker share."""

from __future__ import annotations

from dataclasses import dataclass

from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.splits import factor_pairs


@dataclass(frozen=True)
class RealCode(Code):
    """A code over single real numbers: ℓ_A = ℓ_B = 1 and δ = k_A·k_B."""

    @classmethod
    def designs(cls, workers: int, threshold: int) -> list[Code]:
        """Returns the codes for n workers with k_A·k_B = δ."""
        return [cls(a, b, workers) for a, b in factor_pairs(threshold)]

    @property
    def ell_a(self) -> int:
        """ℓ_A = 1."""
        return 1

    @property
    def ell_b(self) -> int:
        """ℓ_B = 1."""
        return 1
