"""What codes over 2×2 rotations, real planes, share."""

from __future__ import annotations

from dataclasses import dataclass

from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.splits import check_planes, pairs_of_planes


@dataclass(frozen=True)
class PlaneCode(Code):
    """A code whose coded sides are cut into pairs of blocks; k = 1 is not coded."""

    def _check(self) -> None:
        check_planes(self)

    @classmethod
    def designs(cls, workers: int, threshold: int) -> list[Code]:
        """Returns the codes for n workers with recovery threshold δ."""
        return [cls(a, b, workers) for a, b in pairs_of_planes(threshold)]

    @property
    def ell_a(self) -> int:
        """ℓ_A: 2 where the input is coded, otherwise 1."""
        return 1 if self.k_a == 1 else 2

    @property
    def ell_b(self) -> int:
        """ℓ_B: 2 where the kernel is coded, otherwise 1."""
        return 1 if self.k_b == 1 else 2
