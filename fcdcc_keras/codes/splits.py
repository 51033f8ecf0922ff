"""Which pairs (k_A, k_B) a kind of code can have, and the checks of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcdcc_keras.errors import PlanError

if TYPE_CHECKING:
    from fcdcc_keras.codes.base import Code


def factor_pairs(product: int) -> list[tuple[int, int]]:
    """Returns all pairs of positive integers with a product."""
    return [(k, product // k) for k in range(1, product + 1) if product % k == 0]


def pairs_of_planes(threshold: int) -> list[tuple[int, int]]:
    """Returns the splits for δ where coded sides are cut into 2×2 rotations.

    Without k = 2, which costs as much upload and storage as k = 1, except where
    the stride exceeds the kernel.
    """
    if threshold == 1:
        return [(1, 1)]
    both = [
        (a, b)
        for a, b in factor_pairs(4 * threshold)
        if min(a, b) >= 4 and a % 2 == b % 2 == 0
    ]
    return [(1, 2 * threshold), *both, (2 * threshold, 1)]


def check_planes(code: Code) -> None:
    """Checks that each side is even or 1.

    Raises:
        PlanError: One is not.
    """
    for field in ("k_a", "k_b"):
        k = getattr(code, field)
        if k != 1 and k % 2:
            raise PlanError(
                f"{type(code).__name__} needs an even number of blocks on each side, "
                f"or 1. Received: {field}={k}. Use {k - 1} or {k + 1}."
            )
