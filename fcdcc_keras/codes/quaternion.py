"""Quaternions on one side, real numbers on the other.

One side's matrix has 4×4 blocks L(q_{i,w}), left multiplication by quaternions, of
unit norm and random or found by a search; the other side's entries r_{j,w} are
real. As r commutes with every quaternion, the products r·L(q) are again a matrix of
quaternions, and the system is a real representation of a quaternionic one of a
quarter of its size. The
probability of a singular value below ε is ∝ ε⁴ then (Dyson's β = 4), where it is
∝ ε for real random codes: the bad survivor sets become rare. With quaternions on
both sides, or complex numbers on the other, the product is of real type again and
the property is lost.

δ = k_A·k_B/4, and four convolutions for each worker, as in CRME.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.library import Kind, load
from fcdcc_keras.codes.splits import factor_pairs
from fcdcc_keras.errors import PlanError

Side = Literal["", "input", "kernel"]


class FourSided(Code):
    """A code with blocks of four on one side."""

    side: Side
    """Which side has them; empty: none."""

    @property
    def ell_a(self) -> int:
        """ℓ_A: 4 where the input has the quaternions, otherwise 1."""
        return 4 if self.side == "input" else 1

    @property
    def ell_b(self) -> int:
        """ℓ_B: 4 where the kernel has the quaternions, otherwise 1."""
        return 4 if self.side == "kernel" else 1

    @property
    def quaternion_side(self) -> str:
        """See ``Code.quaternion_side``."""
        return self.side

    def _choose_side(self) -> None:
        """Takes the input's side, where its k allows it, if none is given."""
        if self.side == "" and isinstance(self.k_a, int):
            side = "kernel" if self.k_a % 4 else "input"
            object.__setattr__(self, "side", side)


@dataclass(frozen=True)
class Quaternion(FourSided):
    """Quaternions × real numbers; searched for common sizes, otherwise random."""

    seed: int = 0
    """Seed of quaternions and reals; 0 takes optimised ones where there are any."""
    side: Side = ""
    """Which side has the quaternions; its k must be a multiple of 4. Left out: the
    input, where its k is one, otherwise the kernel."""

    name = "quaternion"

    def __post_init__(self) -> None:
        self._choose_side()
        super().__post_init__()

    def _check(self) -> None:
        check_fours(self, self.side)

    @classmethod
    def designs(cls, workers: int, threshold: int) -> list[Code]:
        """Returns the codes for n workers with recovery threshold δ."""
        return [cls(a, b, workers, side=side) for a, b, side in fours(threshold)]

    @cached_property
    def input_matrix(self) -> np.ndarray:
        """A: shape ``(k_A, ℓ_A·n)``."""
        return self._matrices[0]

    @cached_property
    def kernel_matrix(self) -> np.ndarray:
        """B: shape ``(k_B, ℓ_B·n)``."""
        return self._matrices[1]

    @cached_property
    def _matrices(self) -> tuple[np.ndarray, np.ndarray]:
        n, split = self.workers, (self.k_a, self.k_b)
        return matrices("quaternion", n, n, split, self.side, self.seed)


def matrices(
    kind: Kind,
    workers: int,
    columns: int,
    split: tuple[int, int],
    side: Side,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns A and B with quaternions on one side and reals on the other.

    Seed 0 takes the matrices that a search has found for this code, where there are
    some; other seeds, and other codes, draw at random.

    Args:
        kind: Name of the code.
        workers: n.
        columns: Workers that get such columns: n, or the γ of parity.
        split: (k_A, k_B).
        side: Where the quaternions are.
        seed: Seed of quaternions and reals.
    """
    fours, reals = split if side == "input" else split[::-1]
    found = load(kind, workers, fours // 4, reals) if seed == 0 else None
    quaternions, real = found or _random(fours // 4, reals, columns, seed)
    left = left_multiplications(quaternions)
    return (left, real) if side == "input" else (real, left)


def _random(
    quaternions: int, reals: int, columns: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, columns])
    q = rng.normal(size=(quaternions, columns, 4))
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    real = rng.normal(size=(reals, columns)) if reals > 1 else np.ones((1, columns))
    # A worker's scale means nothing to decoding; this keeps coded inputs in size.
    return q, real / np.linalg.norm(real, axis=0)


def left_multiplications(quaternions: np.ndarray) -> np.ndarray:
    """Returns the matrix of the 4×4 blocks L(q), for which L(q)·p = q·p.

    Args:
        quaternions: q = a + bi + cj + dk, shape ``(m, n, 4)``.

    Returns:
        Shape ``(4m, 4n)``.
    """
    m, n, _ = quaternions.shape
    a, b, c, d = np.moveaxis(quaternions, -1, 0)
    rows = [[a, -b, -c, -d], [b, a, -d, c], [c, d, a, -b], [d, -c, b, a]]
    blocks = np.array(rows)  # (4, 4, m, n)
    matrix: np.ndarray = blocks.transpose(2, 0, 3, 1).reshape(4 * m, 4 * n)
    return matrix


def fours(threshold: int) -> list[tuple[int, int, Side]]:
    """Returns (k_A, k_B, side) with k_A·k_B = 4δ and whole quaternions on a side."""
    pairs = factor_pairs(4 * threshold)
    found: list[tuple[int, int, Side]] = [
        (a, b, "input") for a, b in pairs if a % 4 == 0
    ]
    return found + [(a, b, "kernel") for a, b in pairs if b % 4 == 0]


def check_fours(code: Code, side: Side) -> None:
    """Checks that the side of the quaternions has whole ones.

    Raises:
        PlanError: It has not, or there is no such side.
    """
    if side not in ("input", "kernel"):
        raise PlanError(
            "`side` must be 'input' or 'kernel'. Received: "
            f"side={side!r}. Choose where the quaternions are."
        )
    field = "k_a" if side == "input" else "k_b"
    k = getattr(code, field)
    if k % 4:
        raise PlanError(
            "The side of the quaternions must have a multiple of 4 blocks. Received: "
            f"k_a={code.k_a}, k_b={code.k_b}, side={side!r}. Use {field}="
            f"{k + 4 - k % 4}, or the other side."
        )
