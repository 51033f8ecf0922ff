"""A small ResNet and a small VGG for images of digits, and how they are trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from fcdcc_keras.commands.samples import CLASSES, Samples

# The default 0.99 would need more steps than a short training has.
_BN_MOMENTUM = 0.9
_BATCH = 32


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


def train(
    model: keras.Model,
    samples: Samples,
    *,
    epochs: int,
    on_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Trains a model in place to tell the classes apart.

    Args:
        model: Takes images of the samples' shape and returns logits of the classes.
        samples: The training images and labels.
        epochs: Passes over the training images.
        on_epoch: Called after each epoch.
    """
    model.compile(
        optimizer=keras.optimizers.Adam(_falling_rate(samples, epochs)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Compiling by XLA takes longer than the whole training.
        jit_compile=False,
    )
    model.fit(
        samples.train_images,
        samples.train_labels,
        batch_size=_BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch())
        ],
    )


def _residual_block(x: Any, filters: int, stride: int) -> Any:
    y = layers.ReLU()(_convolution(x, filters, 3, stride))
    y = _convolution(y, filters, 3)
    if stride != 1 or x.shape[-1] != filters:
        x = _convolution(x, filters, 1, stride)
    return layers.ReLU()(layers.Add()([x, y]))


def _convolution(x: Any, filters: int, size: int, stride: int = 1) -> Any:
    x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization(momentum=_BN_MOMENTUM)(x)


def _falling_rate(samples: Samples, epochs: int) -> Any:
    steps = epochs * -(-len(samples.train_labels) // _BATCH)
    return keras.optimizers.schedules.CosineDecay(2e-3, steps)
