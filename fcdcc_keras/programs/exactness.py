"""How exact the engines' plain convolutions are; known without any of them.

Measured over the convolutions of VGG16, ResNet50 and MobileNetV2, and larger ones, of
27 to 37,000 terms, on CPUs with AVX2 and AVX-512; the error grows with the root of the
number of terms wherever sums are not blocked.
"""

from __future__ import annotations

import math

TYPICAL_TERMS = 3 * 3 * 256
_LEAST_ERROR = {"float64": 3.7e-16, "float32": 2e-7}
"""Relative error of a plain convolution whose sums are blocked, or short."""
_PER_ROOT_TERM = {"tensorflow": 2.0**-24, "numpy": 2.0**-25, "light": 2.0**-24}
"""By this, times the root of the number of terms, grows the error in float32 of sums
that are not blocked: oneDNN's on some CPUs, LiteRT's everywhere. Of inputs that follow
a ReLU 0.2 to 0.55 · 2^-24 was measured, of inputs of either sign 0.4 to 0.9, where all
terms are positive 1.1."""


WORST = "light"
"""The engine that is least exact: what is certified for it holds for all."""


def plain_error(dtype: str, terms: int = TYPICAL_TERMS, engine: str = WORST) -> float:
    """Returns the relative error of a plain convolution, on CPUs that sum worst.

    Where sums are blocked it is three to ten times less; what decoding does to it is
    the same everywhere.

    Args:
        dtype: float32 or float64.
        terms: Products in the sum of one output, K_H·K_W·C.
        engine: tensorflow, light or numpy.

    Returns:
        Expected largest error in units of the largest output.
    """
    grows = _PER_ROOT_TERM[engine] if dtype == "float32" else 0.0
    return max(_LEAST_ERROR[dtype], grows * math.sqrt(terms))
