"""A small ResNet and a small VGG for images of digits, untrained."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from fcdcc_keras.commands.samples import CLASSES

# The default 0.99 would need more steps than a short training has.
_BN_MOMENTUM = 0.9


def build_resnet(side: int) -> keras.Model:
    """Returns a residual network.

    Eleven convolutions: a first one, and four blocks of two, two of which halve the
    map and so carry a 1x1 convolution on their shortcut.

    Args:
        side: Height and width of the images, which are (B, side, side, 1).

    Returns:
        A model whose output is one logit per class, of shape (B, 10).
    """
    inputs = keras.Input((side, side, 1))
    x = _convolution(inputs, 16, 3)
    x = layers.ReLU()(x)
    for filters, stride in ((16, 1), (32, 2), (32, 1), (64, 2)):
        x = _residual_block(x, filters, stride)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES)(x), name="resnet_digits")


def build_vgg(side: int) -> keras.Model:
    """Returns a network in the manner of VGG.

    Six convolutions in three blocks, each of which halves the map by pooling.

    Args:
        side: Height and width of the images, which are (B, side, side, 1).

    Returns:
        A model whose output is one logit per class, of shape (B, 10).
    """
    inputs = x = keras.Input((side, side, 1))
    for filters in (16, 32, 64):
        for _ in range(2):
            x = layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
            )(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    x = layers.Dropout(0.3)(x)
    return keras.Model(inputs, layers.Dense(CLASSES)(x), name="vgg_digits")


def _residual_block(x: Any, filters: int, stride: int) -> Any:
    y = layers.ReLU()(_convolution(x, filters, 3, stride))
    y = _convolution(y, filters, 3)
    if stride != 1 or x.shape[-1] != filters:
        x = _convolution(x, filters, 1, stride)
    return layers.ReLU()(layers.Add()([x, y]))


def _convolution(x: Any, filters: int, size: int, stride: int = 1) -> Any:
    x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization(momentum=_BN_MOMENTUM)(x)
