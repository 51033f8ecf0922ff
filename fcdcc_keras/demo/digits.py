"""A small ResNet and the handwritten digits that scikit-learn ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

_TEST_SHARE = 0.25
_TRAINING_BATCH = 32
# The default 0.99 would need more steps than this short training has.
_BN_MOMENTUM = 0.9


@dataclass(frozen=True)
class Digits:
    """Handwritten digits, divided once and for all."""

    train_images: NDArray[np.float32]
    """Grey values in [0, 1], of shape (1347, 8, 8, 1)."""
    train_labels: NDArray[np.int64]
    """The digit of each training image, of shape (1347,)."""
    test_images: NDArray[np.float32]
    """Grey values in [0, 1], of shape (450, 8, 8, 1)."""
    test_labels: NDArray[np.int64]
    """The digit of each test image, of shape (450,)."""


def load(seed: int) -> Digits:
    """Loads the digits and holds a quarter of each class back for the test.

    Args:
        seed: Decides which images are held back.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=_TEST_SHARE, stratify=labels, random_state=seed
    )
    return Digits(train_x, train_y, test_x, test_y)


def build_resnet() -> keras.Model:
    """Returns an untrained residual network for (8, 8, 1) images and ten classes.

    Its output is one logit per class, of shape (B, 10). Eleven convolutions: a
    first one, and four blocks of two, two of which halve the map and so
    carry a 1x1 convolution on their shortcut.
    """
    inputs = keras.Input((8, 8, 1))
    x = _convolution(inputs, 16, 3)
    x = layers.ReLU()(x)
    for filters, stride in ((16, 1), (32, 2), (32, 1), (64, 2)):
        x = _residual_block(x, filters, stride)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(x), name="resnet_digits")


def _residual_block(x: Any, filters: int, stride: int) -> Any:
    y = layers.ReLU()(_convolution(x, filters, 3, stride))
    y = _convolution(y, filters, 3)
    if stride != 1 or x.shape[-1] != filters:
        x = _convolution(x, filters, 1, stride)
    return layers.ReLU()(layers.Add()([x, y]))


def _convolution(x: Any, filters: int, size: int, stride: int = 1) -> Any:
    x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization(momentum=_BN_MOMENTUM)(x)


def train(
    model: keras.Model,
    digits: Digits,
    *,
    epochs: int,
    on_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Trains a model in place to tell the digits apart.

    Args:
        model: Takes (B, 8, 8, 1) images and returns (B, 10) logits.
        digits: The training images and labels.
        epochs: Passes over the training images.
        on_epoch: Called after each epoch.
    """
    model.compile(
        optimizer=keras.optimizers.Adam(_falling_rate(digits, epochs)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Compiling by XLA takes longer than the whole training.
        jit_compile=False,
    )
    model.fit(
        digits.train_images,
        digits.train_labels,
        batch_size=_TRAINING_BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch())
        ],
    )


def _falling_rate(digits: Digits, epochs: int) -> Any:
    steps = epochs * -(-len(digits.train_labels) // _TRAINING_BATCH)
    return keras.optimizers.schedules.CosineDecay(2e-3, steps)
