"""Images in a folder with a folder for each class."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcdcc_keras.commands.samples import need
from fcdcc_keras.errors import FcdccError

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_WORDNET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Folder:
    """The images found."""

    images: tuple[tuple[Path, int], ...]
    """Path and class of each."""
    classes: int | None
    """How many; None: the folders are named by numbers or by WordNet, and tell."""


def find_images(folder: Path) -> Folder:
    """Returns the images of a folder of class folders.

    Folders that are named by numbers, or all by WordNet as ImageNet's are
    (``n01440764``), stand for those outputs of a model; others stand for its outputs
    in the order of their names.

    Args:
        folder: With a folder for each class, and images in it.

    Raises:
        FcdccError: There are no images, or ImageNet's list of classes cannot be had.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    number, known = _numbering(names)
    found = tuple(
        (path, number(name))
        for name in names
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in _SUFFIXES
    )
    if not found:
        raise FcdccError(
            "A folder of data must have a folder for each class with images in it. "
            f"Received: {str(folder)!r}, with {len(names)} folders and no image in "
            f"them. Name the folder above the classes; images are {sorted(_SUFFIXES)}."
        )
    return Folder(found, None if known else len(names))


def read_image(path: Path) -> NDArray[np.uint8]:
    """Returns an image's pixels: red, green, blue in [0, 255], shape (H, W, 3).

    Raises:
        FcdccError: It is not one.
    """
    need("PIL", "Reading images")
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise FcdccError(
            f"Every image of the data must be readable. Received: {path}: {error}. "
            "Repair or remove the file."
        ) from error


def _numbering(names: Sequence[str]) -> tuple[Callable[[str], int], bool]:
    """Returns what gives a folder's class, and whether their names say it."""
    if names and all(name.isdecimal() for name in names):
        return int, True
    if names and all(map(_WORDNET.fullmatch, names)):
        return _imagenet_classes().__getitem__, True
    return list(names).index, False


def _imagenet_classes() -> dict[str, int]:
    """Returns the number of each of ImageNet's classes by its WordNet name."""
    import keras

    try:
        wanted: Any = keras.applications.imagenet_utils.decode_predictions(
            np.arange(1000.0)[None], top=1000
        )
    except Exception as error:  # Keras raises a plain Exception when a download fails
        raise FcdccError(
            "Folders with WordNet's names need ImageNet's list of classes, which "
            f"Keras downloads the first time. Received: {error}. Check the connection, "
            "or name the folders by the numbers of the model's outputs."
        ) from error
    # The value of each output was its number, so the greatest comes first.
    return {name: 999 - rank for rank, (name, *_) in enumerate(wanted[0])}
