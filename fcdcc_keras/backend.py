"""Checking that Keras computes with TensorFlow, before Keras is imported by us."""

from __future__ import annotations

from fcdcc_keras.errors import FcdccError


def check_backend() -> None:
    """Checks that TensorFlow is there and that Keras uses it.

    Raises:
        FcdccError: TensorFlow is missing, or Keras has another backend.
    """
    try:
        import tensorflow  # noqa: F401
    except ImportError as error:
        raise FcdccError(
            "fcdcc_keras computes with TensorFlow, which must be installed. "
            f"Received: {error}. Run `pip install fcdcc_keras[cpu]`, or [gpu]."
        ) from error
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise FcdccError(
            "Keras must use its TensorFlow backend. Received: the backend "
            f"{backend!r}. Set the environment variable KERAS_BACKEND=tensorflow "
            "before Keras is imported."
        )
