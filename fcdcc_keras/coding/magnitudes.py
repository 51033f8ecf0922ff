"""Images of a batch of very different magnitudes, brought to the same one and back.

Where the parts of a layer are images, a code mixes images with each other, and rounding
errors are relative to the largest number in the mixture: they would drown an image that
is small beside another. Powers of two change no digit, so images are scaled by such
before they are mixed, and their outputs back: then the certificate holds for each image
by itself. The output of an image of zeros is zeros.
"""

from __future__ import annotations

import numpy as np

_APART = 2
"""Powers of two by which an image must be smaller than the largest to be scaled: what
is left is less than the spread of values within an image."""


def scales(images: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns powers of two that bring images to the largest magnitude, and back.

    Args:
        images: Shape ``(B, …)``, floating point, C-contiguous.

    Returns:
        Factors of the images, at least 1, and of their outputs, 0 for images of zeros;
        both of shape ``(B, 1, …)``. None where there is nothing to scale, or where a
        number is not finite.
    """
    flat = images.reshape(len(images), -1)
    largest = np.maximum(flat.max(axis=1), -flat.min(axis=1))
    seen = largest > 0
    if not (np.isfinite(largest).all() and seen.any()):
        return None
    exponents = np.frexp(largest)[1]
    steps = np.where(seen, exponents[seen].max() - exponents, 0)
    if steps.max() < _APART and seen.all():
        return None
    # Both the scale and its inverse are normal numbers.
    steps = np.minimum(steps, np.finfo(images.dtype).maxexp - 2)
    shape = -1, *(1,) * (images.ndim - 1)
    there = np.ldexp(np.ones((), images.dtype), steps).reshape(shape)
    return there, seen.reshape(shape) / there
