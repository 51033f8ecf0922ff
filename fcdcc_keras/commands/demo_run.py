"""The whole demonstration: plain, coded, and coded while two of six workers go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import fcdcc_keras as fk
from fcdcc_keras.commands import models as judged_models
from fcdcc_keras.commands.data import Batch, fit
from fcdcc_keras.commands.demo_results import (
    BOARD,
    STRAGGLERS,
    WORKERS,
    Boards,
    DemoResult,
    Mode,
    ModelResult,
)
from fcdcc_keras.commands.faults import (
    Fault,
    Saboteur,
    expected_losses,
    orderly_end,
    parse,
    schedule,
)
from fcdcc_keras.commands.networks import build_resnet, train
from fcdcc_keras.commands.progress import Stages
from fcdcc_keras.commands.samples import load_digits
from fcdcc_keras.commands.side_by_side import Comparison, compare
from fcdcc_keras.execution.cluster.embedded import (
    start_local_cluster,
    stop_local_cluster,
)
from fcdcc_keras.planning.devices import PROFILES

MODELS = ("resnet", "vgg16")
_FAULTS = "stop 0 at 50%; restart 1 at 50%"
_SEED = 7
_EPOCHS = 5
_SHAPE = (224, 224, 3)
_PEAK = 255.0


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

    def batches(self) -> Iterator[Batch]:
        """Yields images and their classes; 0 where they are not known."""
        size = self.batch_size
        labels = self.labels
        if labels is None:
            labels = np.zeros(len(self.images), np.int64)
        for i in range(0, len(self.images), size):
            yield self.images[i : i + size], labels[i : i + size]


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
        found = judged_models.load("VGG16", weights)
        # Softmax would hide deviations.
        found.model.layers[-1].activation = keras.activations.linear
        # XLA is slower than plain TensorFlow for this model on a CPU.
        found.model.compile(jit_compile=False)
        images = found.prepare(load_photos(), _PEAK)
    return DemoModel("VGG16, photographs", found.model, images, None, batch_size=1)


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
    images = len(subject.images)
    enough = f"any {workers - stragglers} of {workers} workers will do"
    with stages.stage(f"  distribute it: {enough}"):
        coded_model = fk.distribute(
            subject.model, client, workers=workers, stragglers=stragglers
        )

    with fk.closing(coded_model), Saboteur(client) as saboteur:

        def look(text: str, faults: Sequence[Fault] = ()) -> Comparison:
            with stages.stage(text, -(-images // subject.batch_size)) as step:
                return compare(
                    subject.model,
                    coded_model,
                    subject.batches(),
                    faults,
                    images=images,
                    strike=saboteur.strike,
                    after_batch=step,
                )

        whole = look(f"  predict {images} images, here and over {workers} workers")
        faults = schedule(parse(_FAULTS), workers, images)
        struck = look("  again: one worker is stopped, one killed half way", faults)
        saboteur.stop_restarted()
        left = look("  and without these two")
    with stages.stage(f"  predict what {workers} boards would do"):
        plan = fk.plan(
            subject.model,
            workers=workers,
            stragglers=stragglers,
            objective="latency",
            calibration=PROFILES[BOARD],
        )
    labelled, size = subject.labels is not None, subject.batch_size
    return ModelResult(
        name=subject.name,
        images=images,
        plain=Mode.of_plain(whole, size, labelled=labelled),
        coded=Mode.of_coded(whole, whole, size, labelled=labelled),
        degraded=Mode.of_coded(struck, left, size, labelled=labelled),
        local_convolutions=sum(x.summary.local for x in (whole, struck, left)),
        boards=Boards.of(plan),
    )


def load_photos() -> NDArray[np.float32]:
    """Returns the middle squares of china.jpg and flower.jpg, (2, 224, 224, 3)."""
    from sklearn.datasets import load_sample_images

    return fit(np.stack(load_sample_images().images), _SHAPE)
