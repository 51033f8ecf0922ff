"""Checking that Keras computes with TensorFlow, before Keras is imported by us."""

from __future__ import annotations

import os
from importlib.util import find_spec

from fcdcc_keras.errors import FcdccError

_LOWEST = (3, 7)
"""Of Keras: a client's extras ask for it, but it may come with TensorFlow alone."""


def check_backend() -> None:
    """Checks that TensorFlow is there and that Keras uses it.

    Raises:
        FcdccError: TensorFlow is missing, or Keras is, or is too old, or has another
            backend.
    """
    if not _installed("tensorflow"):
        raise FcdccError(
            "fcdcc_keras computes with TensorFlow, which must be installed. "
            "Received: no module named 'tensorflow'. Run "
            "`pip install fcdcc_keras[cpu]`, or [gpu]."
        )
    if not _installed("keras"):
        raise FcdccError(
            "fcdcc_keras distributes models of Keras, which must be installed. "
            "Received: no module named 'keras'. Run "
            "`pip install fcdcc_keras[client]`."
        )
    try:
        import keras

        if tuple(map(int, keras.__version__.split(".")[:2])) < _LOWEST:
            raise FcdccError(
                f"Keras must be {_LOWEST[0]}.{_LOWEST[1]} or later. Received: "
                f"{keras.__version__}. Run `pip install fcdcc_keras[client]`."
            )
        backend = repr(keras.backend.backend())
    except (ImportError, ValueError) as error:  # it cannot load its backend either
        backend = f"{os.environ.get('KERAS_BACKEND', 'unknown')!r} ({error})"
    if backend != "'tensorflow'":
        raise FcdccError(
            "Keras must use its TensorFlow backend. Received: the backend "
            f"{backend}. Set the environment variable KERAS_BACKEND=tensorflow "
            "before Keras is imported."
        )


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # somebody put None in its place
        return False
