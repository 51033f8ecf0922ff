"""The whole demonstration, from training to results."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from rich.console import Console

from fcdcc_keras.commands import photos
from fcdcc_keras.commands.demo_passes import Subject
from fcdcc_keras.commands.demo_results import ModelResult
from fcdcc_keras.commands.demo_study import study
from fcdcc_keras.commands.networks import build_resnet
from fcdcc_keras.commands.progress import Stages
from fcdcc_keras.commands.sabotage import expected_losses, orderly_end
from fcdcc_keras.commands.samples import load_digits
from fcdcc_keras.commands.training import train
from fcdcc_keras.execution.embedded import start_local_cluster, stop_local_cluster

WORKERS = 6
STRAGGLERS = 2
MODELS = ("resnet", "vgg16")
_SEED = 7
_EPOCHS = 8


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration found out."""

    models: tuple[ModelResult, ...]
    """One result a model."""
    seconds: float
    """How long all of it took."""

    @property
    def identical_predictions(self) -> bool:
        """Whether coding and losing workers changed no prediction of any model."""
        return all(
            mode.identical_predictions
            for model in self.models
            for mode in (model.coded, model.degraded)
        )

    def to_json(self) -> dict[str, Any]:
        """Returns what this found as JSON values."""
        return {
            "workers": WORKERS,
            "stragglers": STRAGGLERS,
            "models": [model.to_json() for model in self.models],
            "identical_predictions": self.identical_predictions,
            "seconds": self.seconds,
        }


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


def _subject(name: str, weights: str, stages: Stages) -> Subject:
    keras.utils.set_random_seed(_SEED)
    if name == "resnet":
        with stages.stage("Train a ResNet on handwritten digits", _EPOCHS) as step:
            data = load_digits(_SEED)
            model = build_resnet(side=8)
            train(model, data, epochs=_EPOCHS, on_epoch=step)
        return Subject(
            "ResNet, digits", model, data.test_images, data.test_labels, batch_size=50
        )
    with stages.stage(f"Build VGG16 with {weights} weights"):
        model = photos.build_vgg16(weights)
        images = photos.load()
    return Subject("VGG16, photographs", model, images, None, batch_size=1)
