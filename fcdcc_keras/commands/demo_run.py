"""The whole demonstration: plain, coded, and coded while two of six workers go."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import fcdcc_keras as fk
from fcdcc_keras.commands.demo_results import (
    STRAGGLERS,
    WORKERS,
    DemoResult,
    ModelResult,
    compare,
)
from fcdcc_keras.commands.faults import (
    Saboteur,
    expected_losses,
    orderly_end,
    parse,
    schedule,
    take_due,
)
from fcdcc_keras.commands.networks import build_resnet, train
from fcdcc_keras.commands.progress import Stages
from fcdcc_keras.commands.samples import load_digits
from fcdcc_keras.errors import FcdccError
from fcdcc_keras.execution.embedded import start_local_cluster, stop_local_cluster

MODELS = ("resnet", "vgg16")
_FAULTS = "stop 0 at 50%; restart 1 at 50%"
_SEED = 7
_EPOCHS = 5
_REPEATS = 3
_SIDE = 224


@dataclass(frozen=True)
class DemoModel:
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


def run(
    console: Console, *, models: Sequence[str] = MODELS, weights: str = "random"
) -> DemoResult:
    """Runs the demonstration.

    Args:
        console: Where to show the progress.
        models: Which of ``MODELS`` to show.
        weights: VGG16's, ``"random"`` or ``"imagenet"``.
    """
    began = time.perf_counter()
    results = []
    with orderly_end(), Stages(console) as stages:
        with stages.stage(f"Start {WORKERS} worker processes on this machine"):
            client = start_local_cluster(WORKERS)
        with contextlib.ExitStack() as stack:
            stack.enter_context(expected_losses())
            stack.callback(stop_local_cluster, client)
            for name in models:
                subject = _subject(name, weights, stages)
                results.append(
                    study(
                        subject,
                        client,
                        stages,
                        workers=WORKERS,
                        stragglers=STRAGGLERS,
                    )
                )
    return DemoResult(tuple(results), time.perf_counter() - began)


def _subject(name: str, weights: str, stages: Stages) -> DemoModel:
    keras.utils.set_random_seed(_SEED)
    if name == "resnet":
        with stages.stage("Train a ResNet on handwritten digits", _EPOCHS) as step:
            data = load_digits(_SEED)
            model = build_resnet(side=8)
            train(model, data, epochs=_EPOCHS, on_epoch=step)
        return DemoModel(
            "ResNet, digits", model, data.test_images, data.test_labels, batch_size=50
        )
    with stages.stage(f"Build VGG16 with {weights} weights"):
        model = build_vgg16(weights)
        images = load_photos()
    return DemoModel("VGG16, photographs", model, images, None, batch_size=1)


def study(
    subject: DemoModel, client: Any, stages: Stages, *, workers: int, stragglers: int
) -> ModelResult:
    """Runs a model in all three modes and compares them.

    Args:
        subject: The model and its images, in two batches at least.
        client: A ``distributed.Client`` of a local cluster.
        stages: Where to show the progress.
        workers: n, the workers to use.
        stragglers: γ, how many may be missing: two at least, as two will be.
    """
    timed = _REPEATS + 1
    with stages.stage("  evaluate it here, plainly", subject.batches + timed) as step:
        plain = logits(subject.model, subject, step)
        plain_time = seconds_per_image(subject.model, subject, _REPEATS, step)

    enough = f"any {workers - stragglers} of {workers} workers will do"
    with stages.stage(f"  distribute it: {enough}"):
        coded_model = fk.distribute(
            subject.model, client, workers=workers, stragglers=stragglers
        )

    with fk.closing(coded_model), fk.trace(coded_model) as trace:
        text = f"  evaluate it over the {workers} workers"
        with stages.stage(text, subject.batches + timed) as step:
            coded = logits(coded_model, subject, step)
            coded_time, used = _timed(coded_model, subject, step)

        with Saboteur(client) as saboteur:
            text = "  again: one worker is stopped, one killed half way"
            with stages.stage(text, subject.batches) as step:
                faults = deque(schedule(parse(_FAULTS), workers, len(subject.images)))

                def after_batch(done: int) -> None:
                    step()
                    soon = (done + 1) * subject.batch_size
                    for fault in take_due(faults, soon, len(subject.images)):
                        saboteur.strike(fault)

                degraded = logits(coded_model, subject, after_batch)
            with stages.stage("  time it without these two", timed) as step:
                saboteur.stop_restarted()
                degraded_time, left = _timed(coded_model, subject, step)

    labels = subject.labels
    return ModelResult(
        name=subject.name,
        images=len(subject.images),
        plain=compare(plain, plain, labels, plain_time),
        coded=compare(coded, plain, labels, coded_time, used),
        degraded=compare(degraded, plain, labels, degraded_time, left),
        local_convolutions=trace.local_convolutions,
    )


def _timed(
    coded_model: keras.Model, subject: DemoModel, step: Callable[[int], None]
) -> tuple[float, int]:
    """Returns the seconds an image takes, and how many workers' answers were used."""
    with fk.trace(coded_model) as trace:
        seconds = seconds_per_image(coded_model, subject, _REPEATS, step)
    outcomes = trace.summary().outcomes.values()
    return seconds, sum(counts["used"] > 0 for counts in outcomes)


def logits(
    model: keras.Model,
    subject: DemoModel,
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
    subject: DemoModel,
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


def load_photos() -> NDArray[np.float32]:
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
