"""Figures as they decide and are written: without the digits that a machine adds.

The last digits of what LAPACK solves depend on the kernel that OpenBLAS takes for a
CPU and on its threads, those of NumPy's exponentials on its vectors. Whatever is
compared, sorted by or written into a plan is rounded first; what is equal then is
decided by order. Results that differ by 1e-13 of themselves round to 6 digits
differently once in ten million times.
"""

from __future__ import annotations

import math

import numpy as np

DIGITS = 6
_IN_FLOAT64 = 10
"""Decimal digits of the inverse of a well conditioned matrix that can be trusted on
any machine. One of amplification α has the fewer by log₁₀ α."""


def rounded(number: float, digits: int = DIGITS) -> float:
    """Returns a number with so many significant digits."""
    # Python converts exactly, whatever the machine.
    return float(f"{number:.{digits - 1}e}")


def conditioned(numbers: np.ndarray) -> np.ndarray:
    """Returns amplifications or condition numbers with the digits that are sure.

    Args:
        numbers: Any shape, at least 1 or infinite.

    Returns:
        The same shape.
    """
    found = [rounded(x, _sure(x)) for x in numbers.ravel().tolist()]
    return np.array(found, float).reshape(numbers.shape)


def _sure(number: float) -> int:
    if not 1 < number < math.inf:
        return DIGITS
    return min(DIGITS, max(1, _IN_FLOAT64 - math.floor(math.log10(number))))
