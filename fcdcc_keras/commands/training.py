"""Training small models on samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from fcdcc_keras.commands.samples import Samples

_BATCH = 32


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


def _falling_rate(samples: Samples, epochs: int) -> Any:
    steps = epochs * -(-len(samples.train_labels) // _BATCH)
    return keras.optimizers.schedules.CosineDecay(2e-3, steps)
