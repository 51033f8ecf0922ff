"""VGG16 and the two photographs that scikit-learn ships."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fcdcc_keras.errors import FcdccError

_SIDE = 224


def load() -> NDArray[np.float32]:
    """Returns china.jpg and flower.jpg as VGG16 wants them.

    Returns:
        The middle square of each, of shape (2, 224, 224, 3): blue, green, red
        in [-124, 152], each about its mean over ImageNet.
    """
    from sklearn.datasets import load_sample_images

    squares = [_middle_square(image) for image in load_sample_images().images]
    prepared = keras.applications.vgg16.preprocess_input(np.stack(squares))
    return np.asarray(prepared, np.float32)


def _middle_square(image: NDArray[np.uint8]) -> Any:
    return keras.preprocessing.image.smart_resize(
        image.astype(np.float32), (_SIDE, _SIDE)
    )


def build_vgg16(weights: str) -> keras.Model:
    """Returns VGG16 with one logit for each of 1000 classes.

    Args:
        weights: ``"random"`` for drawn ones, or ``"imagenet"``, which are
            downloaded the first time.

    Raises:
        FcdccError: The ImageNet weights could not be had.
    """
    try:
        model = keras.applications.VGG16(
            weights=None if weights == "random" else weights,
            classifier_activation=None,
        )
    except Exception as error:
        # Keras raises a plain Exception when a download fails.
        if weights == "random":
            raise
        raise FcdccError(
            "VGG16's ImageNet weights must be downloadable or in Keras's cache. "
            f"Received: {error}. Check the connection, or use --weights random, "
            "which shows the same."
        ) from error
    # XLA is slower than plain TensorFlow for this model on a CPU.
    model.compile(jit_compile=False)
    return model
