"""The images that a model is judged by: shipped ones, folders, tensorflow_datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcdcc_keras.commands.folders import find_images, read_image
from fcdcc_keras.commands.images import Shape, fit
from fcdcc_keras.commands.samples import CLASSES
from fcdcc_keras.commands.shipped import DATA, SEED
from fcdcc_keras.errors import FcdccError

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
            f"{name!r}, split={split!r}: {type(error).__name__}: {error}. Check both "
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
