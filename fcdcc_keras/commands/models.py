"""The model to be judged: shipped, of keras.applications, a file, or a function."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fcdcc_keras.commands.data import Shape
from fcdcc_keras.commands.shipped import RECIPES, shipped_model, untrained
from fcdcc_keras.errors import FcdccError
from fcdcc_keras.text import said_by

Preprocess = Callable[[NDArray[np.float32]], Any]
RANDOM = "random"
"""Weights as they are drawn."""
_IMAGENET = "imagenet"


@dataclass(frozen=True)
class Candidate:
    """A model with what is done to images before it sees them."""

    name: str
    model: keras.Model
    preprocess: Preprocess
    peak: float | None = None
    """The brightest value that ``preprocess`` takes; None: as the data has it."""
    data: str | None = None
    """The shipped set that it was trained on."""

    def prepare(self, images: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
        """Returns images as the model takes them; ``peak`` is the data's."""
        scale = 1.0 if self.peak is None else self.peak / peak
        return np.asarray(self.preprocess(images * np.float32(scale)), np.float32)

    def shape(self, side: int | None) -> Shape:
        """Returns height, width and channels of the images that it takes.

        Args:
            side: Height and width where the model leaves them open.

        Raises:
            FcdccError: It does not map images to classes, or its size is not known.
        """
        taken, given = self.model.input_shape, self.model.output_shape
        if not (_is_shape(taken, 4) and _is_shape(given, 2) and (given[1] or 0) > 1):
            raise FcdccError(
                "A model to evaluate must map images (B, H, W, C) to the scores of two "
                f"classes or more, (B, N). Received: {self.name}, which maps {taken} "
                f"to {given}. Give a classifier with one input and one output."
            )
        height, width, channels = taken[1] or side, taken[2] or side, taken[3]
        if height is None or width is None or channels is None:
            raise FcdccError(
                "The size of the images must be known. Received: "
                f"{self.name}, which takes {taken}. Give --image-size."
            )
        return height, width, channels


def load(
    name: str,
    weights: str | None = None,
    *,
    side: int | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> Candidate:
    """Returns the model that a name stands for.

    Args:
        name: One of ``RECIPES``, a ``.keras`` file, ``module:function`` (modules are
            also looked for in the current folder), or a name in
            ``keras.applications``.
        weights: "random" (keras.applications and shipped ones), "imagenet"
            (keras.applications), or a file of weights; None: as trained, "imagenet"
            for keras.applications.
        side: Height and width for keras.applications.
        on_epoch: Called after each epoch of a shipped model that is trained now.

    Raises:
        FcdccError: There is no such model, or no such weights.
    """
    if name in RECIPES:
        model = untrained(name) if weights else shipped_model(name, on_epoch)
        found = Candidate(name, model, _unchanged, data=RECIPES[name].data)
    elif Path(name).suffix in (".keras", ".h5"):
        found = Candidate(name, _from_file(name), _unchanged)
    elif ":" in name:
        model = function(name)()
        if not isinstance(model, keras.Model):
            raise FcdccError(
                f"{name} must return a keras.Model. Received: {model!r}. Name a "
                "function without arguments that builds the model."
            )
        found = Candidate(name, model, _unchanged)
    else:
        return _application(name, weights, side)
    if weights is not None and not (weights == RANDOM and name in RECIPES):
        _load_weights(found, weights)
    return found


def architecture(name: str, side: int | None = None) -> keras.Model:
    """Returns a model whose weights do not matter: none are downloaded or trained.

    Args:
        name: As for ``load``.
        side: Likewise.

    Raises:
        FcdccError: There is no such model.
    """
    own = Path(name).suffix in (".keras", ".h5") or ":" in name
    return load(name, None if own else RANDOM, side=side).model


def function(name: str) -> Callable[..., Any]:
    """Returns the function that ``module:function`` names.

    Raises:
        FcdccError: There is none.
    """
    module, _, attribute = name.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a command is not started from there
    try:
        found: Callable[..., Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise FcdccError(
            "module:function must name a function that can be imported. Received: "
            f"{name!r}: {error}. Check the name, and run the command in the folder of "
            "the module, or install it."
        ) from error
    return found


def _application(name: str, weights: str | None, side: int | None) -> Candidate:
    build = getattr(keras.applications, name, None)
    if not inspect.isfunction(build):
        raise FcdccError(
            "A model must be a shipped one, a .keras file, module:function, or a name "
            f"in keras.applications. Received: {name!r}. The shipped ones are "
            f"{', '.join(RECIPES)}; of keras.applications for example VGG16."
        )
    own = _IMAGENET if weights is None else None if weights == RANDOM else weights
    keras.utils.set_random_seed(0)
    size = {} if side is None else {"input_shape": (side, side, 3)}
    try:
        model = build(weights=own, **size)
    except Exception as error:
        # Keras raises a plain Exception when a download fails.
        raise FcdccError(
            f"{name} must be one that Keras can build, and its weights downloadable or "
            f"in Keras's cache. Received: --weights {weights or _IMAGENET}: "
            f"{said_by(error)}. Check the connection, or use --weights random."
        ) from error
    home: Any = inspect.getmodule(build)
    return Candidate(name, model, home.preprocess_input, peak=255.0)


def _from_file(path: str) -> keras.Model:
    import fcdcc_keras.layers  # noqa: F401  a saved coded model needs them registered

    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # of many kinds, by what is wrong with the file
        raise FcdccError(
            f"The file of a model must be one that Keras can load. Received: {path!r}: "
            f"{said_by(error)}. Check the path; a model of custom layers can be given "
            "as module:function."
        ) from error


def _load_weights(candidate: Candidate, weights: str) -> None:
    if weights in (RANDOM, _IMAGENET):
        raise FcdccError(
            "random and imagenet are weights of keras.applications; shipped models can "
            f"have random ones. Received: --weights {weights} for {candidate.name}. "
            "Give a file of weights, or leave it out."
        )
    try:
        candidate.model.load_weights(weights)
    except Exception as error:  # of many kinds, by what is wrong with the file
        raise FcdccError(
            f"The weights must be a file that fits the model. Received: {weights!r} "
            f"for {candidate.name}: {said_by(error)}. Save them with "
            "model.save_weights."
        ) from error


def _unchanged(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images


def _is_shape(shape: Any, axes: int) -> bool:
    single = isinstance(shape, tuple) and not any(isinstance(n, tuple) for n in shape)
    return single and len(shape) == axes
