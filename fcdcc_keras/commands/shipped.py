"""The small models that are trained on first use and kept in the user's cache."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from fcdcc_keras.commands import networks
from fcdcc_keras.commands.samples import Samples, load_digits, load_mnist
from fcdcc_keras.errors import FcdccError
from fcdcc_keras.text import said_by

SEED = 7
"""Decides the division into training and test, and the first weights."""
DATA: dict[str, Callable[[int], Samples]] = {"digits": load_digits, "mnist": load_mnist}
"""Gives the samples of each shipped set for a seed."""


@dataclass(frozen=True)
class Recipe:
    """How a model is made."""

    data: str
    """Name of its samples in ``DATA``."""
    side: int
    """Height and width of their images."""
    build: Callable[[int], keras.Model]
    """Gives the untrained model for images of this size."""
    epochs: int


RECIPES = {
    "digits-vgg": Recipe("digits", 8, networks.build_vgg, 15),
    "digits-resnet": Recipe("digits", 8, networks.build_resnet, 8),
    "mnist-vgg": Recipe("mnist", 28, networks.build_vgg, 12),
    "mnist-resnet": Recipe("mnist", 28, networks.build_resnet, 8),
}
"""The models there are, by name."""


def shipped_model(
    name: str, on_epoch: Callable[[], None] = lambda: None
) -> keras.Model:
    """Returns a trained model: from the cache, or trained now and put there.

    Args:
        name: One of ``RECIPES``.
        on_epoch: Called after each epoch, if it is trained.

    Raises:
        FcdccError: Its samples' package is missing, or the cached file is broken.
    """
    recipe = RECIPES[name]
    samples = DATA[recipe.data](SEED)
    path = cache_folder() / f"{name}-{_fingerprint(recipe, samples)}.keras"
    if path.exists():
        return _load(path)
    model = untrained(name)
    networks.train(model, samples, epochs=recipe.epochs, on_epoch=on_epoch)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of two that train at the same time, either's file is whole.
    ours = path.with_name(f"{os.getpid()}-{path.name}")
    model.save(ours)
    os.replace(ours, path)
    return model


def untrained(name: str) -> keras.Model:
    """Returns a shipped model with its first weights; sets Keras's random seed."""
    recipe = RECIPES[name]
    keras.utils.set_random_seed(SEED)
    return recipe.build(recipe.side)


def cache_folder() -> Path:
    """Returns where trained models are kept: ``$XDG_CACHE_HOME/fcdcc_keras``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fcdcc_keras"


def _fingerprint(recipe: Recipe, samples: Samples) -> str:
    """Returns a text that changes with whatever the trained weights depend on."""
    digest = hashlib.sha256()
    digest.update(inspect.getsource(networks).encode())
    settings = (recipe.build.__name__, recipe.epochs, SEED, keras.__version__)
    digest.update(repr(settings).encode())
    digest.update(samples.train_images.tobytes())
    digest.update(samples.train_labels.tobytes())
    return digest.hexdigest()[:12]


def _load(path: Path) -> keras.Model:
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # of many kinds, by where the file is broken
        raise FcdccError(
            "A model in the cache must be one that was saved there whole. Received: "
            f"{path}: {said_by(error)}. Delete the file: the model is then trained "
            "again."
        ) from error
