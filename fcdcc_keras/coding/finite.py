"""Numbers that are not finite: in results, and where the input is to blame for them."""

from __future__ import annotations

import numpy as np

from fcdcc_keras.codes import Code
from fcdcc_keras.partition import ConvGeometry

NOT_FINITE = "the result holds numbers that are not finite"
UNBOUNDED = "the input or the kernel is not finite, or too large to stay so"


def all_finite(array: np.ndarray) -> bool:
    """Returns whether an array holds no NaN and no infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        # The sum, the fastest pass there is, cannot be finite otherwise.
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def bounded(
    code: Code, geometry: ConvGeometry, inputs: np.ndarray, kernel: np.ndarray
) -> bool:
    """Returns whether true results must be finite.

    In coded inputs and kernels the parts of an image and its batch are mixed, so that
    what the plain convolution would confine to some outputs spreads to all: where this
    does not hold, workers cannot compute the layer.

    Args:
        code: How they are mixed.
        geometry: Sizes of the layer.
        inputs: X, shape ``(B, H, W, C)``.
        kernel: K, shape ``(K_H, K_W, C, N)``.
    """
    # Of two kernels in one, each output has a factor of both.
    factors = 2 if geometry.kind == "separable" else 1
    gains = [
        np.abs(m).sum(axis=0).max() for m in (code.input_matrix, code.kernel_matrix)
    ]
    sizes = [float(np.maximum(a.max(), -a.min())) for a in (inputs, kernel)]
    with np.errstate(over="ignore", invalid="ignore"):
        mixed = np.multiply(gains, sizes)
        image, share = map(float, mixed)
        sums = [geometry.terms * image * share**n for n in range(1, factors + 1)]
        largest = (image, share, *sums)
    # NaN is not below anything.
    limit = float(np.finfo(inputs.dtype).max)
    return all(size < limit for size in largest)
