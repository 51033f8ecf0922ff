"""Bringing images to the size and the colours that a model takes."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

# Red, green and blue in the brightness of a colour: ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Shape = tuple[int, int, int]
"""Height, width and channels of an image."""


def fit(images: NDArray[np.generic], shape: Shape) -> NDArray[np.float32]:
    """Returns images in a model's shape.

    What does not fit by its sides' ratio is cut off evenly, the rest is scaled with
    bilinear interpolation. Colours become grey by their brightness.

    Args:
        images: Shape ``(B, H, W, C)`` with one, three or four channels; of four, the
            last is transparency and is left out.
        shape: What they are to have.
    """
    found = np.asarray(images, np.float32)
    if found.shape[-1] == 4:
        found = found[..., :3]
    if found.shape[-1] == 3 and shape[2] == 1:
        found = (found @ _LUMA)[..., None]
    elif found.shape[-1] == 1 and shape[2] > 1:
        found = np.repeat(found, shape[2], axis=-1)
    if found.shape[1:3] != shape[:2]:
        resized = keras.preprocessing.image.smart_resize(found, shape[:2])
        found = np.asarray(resized, np.float32)
    return np.ascontiguousarray(found)
