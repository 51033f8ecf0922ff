"""What the demonstration found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mode:
    """One way of running a model, compared with running it plainly."""

    accuracy: float | None
    """Share of images whose class is right, where that is known."""
    top1_agreement: float
    """Share of images given the same class as by the plain model."""
    largest_deviation: float
    """max |logits - plain logits| / max |plain logits|."""
    seconds_per_image: float
    """Median over batches, after one to warm up."""
    workers_used: int
    """Workers of which at least one answer was used in the timed batches."""

    @property
    def identical_predictions(self) -> bool:
        """Whether every image was given the class that the plain model gives it."""
        return self.top1_agreement == 1.0

    def to_json(self) -> dict[str, Any]:
        """Returns what this found as JSON values."""
        return {
            "accuracy": self.accuracy,
            "top1_agreement": self.top1_agreement,
            "identical_predictions": self.identical_predictions,
            "largest_deviation": self.largest_deviation,
            "seconds_per_image": self.seconds_per_image,
            "workers_used": self.workers_used,
        }


@dataclass(frozen=True)
class ModelResult:
    """The three modes of one model."""

    name: str
    """The model and its data, in a few words."""
    images: int
    """Images compared."""
    plain: Mode
    """The model itself in this process."""
    coded: Mode
    """Over all workers."""
    degraded: Mode
    """With one worker stopped and one killed half way through the images."""
    local_convolutions: int
    """Convolutions of the coded model that no workers computed."""

    def to_json(self) -> dict[str, Any]:
        """Returns what this found as JSON values."""
        return {
            "model": self.name,
            "images": self.images,
            "plain": self.plain.to_json(),
            "coded": self.coded.to_json(),
            "two_workers_gone": self.degraded.to_json(),
            "local_convolutions": self.local_convolutions,
        }


def compare(
    outputs: NDArray[np.float32],
    plain: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    seconds_per_image: float,
    workers_used: int = 0,
) -> Mode:
    """Compares one way of running a model with running it plainly.

    Args:
        outputs: Its logits, of shape (I, N) for I images and N classes.
        plain: The plain model's logits, of the same shape.
        labels: The true classes, of shape (I,), where known.
        seconds_per_image: The time it took.
        workers_used: Workers whose answers it used.
    """
    predicted = outputs.argmax(axis=1)
    deviation = np.abs(outputs - plain).max() / np.abs(plain).max()
    return Mode(
        accuracy=None if labels is None else float((predicted == labels).mean()),
        top1_agreement=float((predicted == plain.argmax(axis=1)).mean()),
        largest_deviation=float(deviation),
        seconds_per_image=seconds_per_image,
        workers_used=workers_used,
    )
