"""Passes of images through a model, with the time of every batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Subject:
    """A trained model and the images it is to be judged by."""

    name: str
    """What the result table calls it."""
    model: keras.Model
    """Maps (B, H, W, C) images to (B, N) logits of N classes."""
    images: NDArray[np.float32]
    """Test images, of shape (I, H, W, C)."""
    labels: NDArray[np.int64] | None
    """The true class of each image, of shape (I,), where known."""
    batch_size: int
    """B, images a batch."""

    @property
    def batches(self) -> int:
        """Batches in one pass over the images."""
        return -(-len(self.images) // self.batch_size)


def logits(
    model: keras.Model,
    subject: Subject,
    after_batch: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float32]:
    """Returns a model's (I, N) logits for all of a subject's images.

    Args:
        model: The subject's model, or its coded counterpart.
        subject: Whose images are predicted.
        after_batch: Called after each batch with the number of batches done.
    """
    return _predict(model, subject.images, subject.batch_size, _After(after_batch))


def seconds_per_image(
    model: keras.Model,
    subject: Subject,
    repeats: int,
    after_batch: Callable[[int], None] = lambda done: None,
) -> float:
    """Returns the median time of a batch, after one to warm up, per image in it.

    Args:
        model: The subject's model, or its coded counterpart.
        subject: Whose images are used, from the first on and round again.
        repeats: Batches timed.
        after_batch: Called after each batch with the number of batches done.
    """
    size = subject.batch_size
    images = subject.images.take(range(size * (repeats + 1)), axis=0, mode="wrap")
    stopwatch = _After(after_batch)
    _predict(model, images, size, stopwatch)
    return statistics.median(stopwatch.seconds[1:]) / size


class _After(keras.callbacks.Callback):  # type: ignore[misc, unused-ignore]
    """Times every batch and reports each when it is done."""

    def __init__(self, after_batch: Callable[[int], None]) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._after_batch = after_batch
        self._began = 0.0

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._began = time.perf_counter()

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self._began)
        self._after_batch(len(self.seconds))


def _predict(
    model: keras.Model, images: NDArray[np.float32], size: int, callback: _After
) -> NDArray[np.float32]:
    outputs = model.predict(images, batch_size=size, verbose=0, callbacks=[callback])
    return np.asarray(outputs)
