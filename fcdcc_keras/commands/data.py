"""The images that a model is judged by: shipped ones, folders, tensorflow_datasets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fcdcc_keras.commands.samples import CLASSES, need
from fcdcc_keras.commands.shipped import DATA, SEED
from fcdcc_keras.errors import FcdccError
from fcdcc_keras.text import said_by, text_of

# Red, green and blue in the brightness of a colour: ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_WORDNET = re.compile(r"n\d{8}")

Shape = tuple[int, int, int]
"""Height, width and channels of an image."""
Batch = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Images of shape (B, H, W, C), and the class of each: (B,)."""


@dataclass(frozen=True)
class Dataset:
    """Images with their classes, read batch by batch."""

    name: str
    images: int
    """How many."""
    classes: int | None
    """How many; None: their numbers are those of the model's outputs."""
    peak: float
    """The brightest value that a pixel can have: 1 or 255."""
    batches: Callable[[int], Iterator[Batch]]
    """Gives all images in batches of this size; the last may be smaller."""


def open_data(
    name: str, shape: Shape, *, split: str = "test", limit: int | None = None
) -> Dataset:
    """Returns a set of images in the shape that a model takes.

    Args:
        name: "digits" or "mnist" (those not used in training), a folder of class
            folders, or a name in ``tensorflow_datasets``.
        shape: The model's height, width and channels.
        split: Which part, for ``tensorflow_datasets``.
        limit: Images at most; None: all.

    Raises:
        FcdccError: There is no such set, or a package that it needs is missing.
    """
    if name in DATA:
        samples = DATA[name](SEED)
        images, labels = samples.test_images[:limit], samples.test_labels[:limit]
        return Dataset(
            name,
            len(images),
            CLASSES,
            1.0,
            lambda size: (
                (fit(images[i : i + size], shape), labels[i : i + size])
                for i in range(0, len(images), size)
            ),
        )
    if Path(name).is_dir():
        files = find_images(Path(name))
        every = len(files.images)
        count = every if limit is None else min(limit, every)
        # Files are in the order of their classes: a few are to be of all.
        found = [files.images[i * every // count] for i in range(count)]
        return Dataset(
            name,
            count,
            files.classes,
            255.0,
            lambda size: _one_by_one(
                ((read_image(path), label) for path, label in found), size, shape
            ),
        )
    return _tensorflow_datasets(name, shape, split, limit)


def _one_by_one(
    pairs: Iterator[tuple[NDArray[Any], int]], size: int, shape: Shape
) -> Iterator[Batch]:
    images, labels = [], []
    for image, label in pairs:
        images.append(fit(image[None], shape))
        labels.append(label)
        if len(images) == size:
            yield np.concatenate(images), np.array(labels)
            images, labels = [], []
    if images:
        yield np.concatenate(images), np.array(labels)


def _tensorflow_datasets(
    name: str, shape: Shape, split: str, limit: int | None
) -> Dataset:
    if find_spec("tensorflow_datasets") is None:
        raise FcdccError(
            "Data must be digits, mnist, a folder with a folder for each class, or a "
            f"set in tensorflow_datasets, which must be installed. Received: {name!r}, "
            "which is no folder, and no module named 'tensorflow_datasets'. Check the "
            "name, or: pip install tensorflow-datasets"
        )
    import tensorflow_datasets as tfds

    try:
        loaded, info = tfds.load(name, split=split, as_supervised=True, with_info=True)
        count = int(info.splits[split].num_examples)
        classes = int(info.features["label"].num_classes)
    except Exception as error:  # its own errors are of every kind
        raise FcdccError(
            "A set of tensorflow_datasets must have the split asked for, images with "
            "one label each, and be downloadable or downloaded. Received: "
            f"{name!r}, split={split!r}: {text_of(error)}. Check both "
            "names and the connection, or use a folder of images."
        ) from error
    count = count if limit is None else min(limit, count)

    def batches(size: int) -> Iterator[Batch]:
        pairs = (
            (np.asarray(image), int(label))
            for image, label in tfds.as_numpy(loaded.take(count))
        )
        return _one_by_one(pairs, size, shape)

    return Dataset(f"{name}, {split}", count, classes, 255.0, batches)


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
            f"Keras downloads the first time. Received: {said_by(error)}. Check the "
            "connection, or name the folders by the numbers of the model's outputs."
        ) from error
    # The value of each output was its number, so the greatest comes first.
    return {name: 999 - rank for rank, (name, *_) in enumerate(wanted[0])}


def fit(images: NDArray[np.generic], shape: Shape) -> NDArray[np.float32]:
    """Returns images in a model's shape.

    What does not fit by its sides' ratio is cut off evenly, the rest is scaled with
    bilinear interpolation. Colours become grey by their brightness.

    Args:
        images: Shape ``(B, H, W, C)`` with one, three or four channels; of four, the
            last is transparency and is left out.
        shape: What they are to have.
    """
    found = np.asarray(images, np.float32)
    if found.shape[-1] == 4:
        found = found[..., :3]
    if found.shape[-1] == 3 and shape[2] == 1:
        found = (found @ _LUMA)[..., None]
    elif found.shape[-1] == 1 and shape[2] > 1:
        found = np.repeat(found, shape[2], axis=-1)
    if found.shape[1:3] != shape[:2]:
        resized = keras.preprocessing.image.smart_resize(found, shape[:2])
        found = np.asarray(resized, np.float32)
    return np.ascontiguousarray(found)
