"""All that is used of TensorFlow beyond its documentation; see ``undocumented``.

- ``tensorflow.python.saved_model.save_context``: whether a function is traced to be
  saved.
- ``tf.errors.UnknownError`` is the class that TensorFlow makes an error of for whatever
  Python raises in a graph, and its ``__new__`` can be replaced.

Beside these, a variable that changes is given other memory while an array has that
which it had, as what ``numpy_function`` gives to Python does: ``execution`` takes the
same memory for the same numbers. And memory that is aligned to 64 bytes is taken by
``from_dlpack`` as it is: ``execution.tensors`` gives it no other.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from fcdcc_keras.undocumented import changed


def saving() -> bool:
    """Returns whether TensorFlow traces a function in order to save it."""
    try:
        from tensorflow.python.saved_model.save_context import in_save_context
    except ImportError as error:
        raise changed("tensorflow", f"`save_context` is there ({error})") from error
    return bool(in_save_context())


def make_unknown_errors(new: Callable[..., BaseException]) -> None:
    """Has TensorFlow make its ``UnknownError`` by a function of ours.

    Args:
        new: Takes the place of ``UnknownError.__new__``.
    """
    kind = tf.errors.UnknownError
    try:
        kind.__new__ = new
    except (AttributeError, TypeError) as error:
        what = f"`UnknownError.__new__` can be replaced ({error})"
        raise changed("tensorflow", what) from error
