"""The models of the soak, their inputs, and what the plain models answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.figures.models import build, random_images

_LARGE = {"resnet50": "ResNet50", "vgg16": "VGG16"}
_IMAGES = 5


@dataclass(frozen=True)
class Subject:
    """A plain model, inputs of one image each, and its outputs for them."""

    model: Any
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]

    def deviation(self, index: int, output: np.ndarray) -> float:
        """Returns how far an output is off, relative to the greatest that is right."""
        right = self.outputs[index % len(self.outputs)]
        if output.shape != right.shape or not np.isfinite(output).all():
            return float("inf")
        return float(np.abs(output - right).max() / np.abs(right).max())

    def input(self, index: int) -> np.ndarray:
        """Returns the input of some inference, counted from 0."""
        return self.inputs[index % len(self.inputs)]


def subject(name: str, seed: int) -> Subject:
    """Returns a subject: "resnet" on digits, "resnet50" or "vgg16" on random images."""
    import keras

    keras.utils.set_random_seed(seed)
    if name in _LARGE:
        model = build(_LARGE[name])
        images = random_images(_IMAGES)
    else:
        from fcdcc_keras.commands.networks import build_resnet
        from fcdcc_keras.commands.samples import load_digits

        images = load_digits(seed).test_images
        model = build_resnet(images.shape[1])
    inputs = [image[None] for image in images]
    return Subject(model, inputs, [model.predict_on_batch(x) for x in inputs])
