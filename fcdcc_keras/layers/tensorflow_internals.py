"""All that is used of TensorFlow beyond its documentation; see ``undocumented``.

- ``tensorflow.python.saved_model.save_context``: whether a function is traced to be
  saved.
- The operation ``_ReadVariablesOp``, which reads any number of variables at once, and
  ``tensorflow.python.eager``: how to run it, and whether gradients may be asked for.
- ``tf.errors.UnknownError`` is the class that TensorFlow makes an error of for whatever
  Python raises in a graph, and its ``__new__`` can be replaced.

Beside these, a variable that changes is given other memory while an array has that
which it had, as what ``numpy_function`` gives to Python does: ``execution`` takes the
same memory for the same numbers. And memory that is aligned to 64 bytes is taken by
``from_dlpack`` as it is: ``execution.tensors`` gives it no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from fcdcc_keras.undocumented import changed


def saving() -> bool:
    """Returns whether TensorFlow traces a function in order to save it."""
    try:
        from tensorflow.python.saved_model.save_context import in_save_context
    except ImportError as error:
        raise changed("tensorflow", f"`save_context` is there ({error})") from error
    return bool(in_save_context())


def reading(variables: Sequence[tf.Variable]) -> Callable[[], list[tf.Tensor]]:
    """Returns what reads variables at once, outside of any graph.

    To read one by one takes ten times as long.

    Args:
        variables: Of the default strategy.
    """
    try:
        from tensorflow.python.eager.context import context
        from tensorflow.python.eager.execute import quick_execute

        handles = [variable.handle for variable in variables]
        types = [variable.dtype.as_datatype_enum for variable in variables]
    except (ImportError, AttributeError) as error:
        raise changed("tensorflow", f"variables have handles ({error})") from error
    many, given = len(handles), ("N", len(handles), "dtypes", types)

    def read() -> list[tf.Tensor]:
        found: list[tf.Tensor] = quick_execute(
            "_ReadVariablesOp", many, handles, given, context()
        )
        return found

    return read


def recording() -> bool:
    """Returns whether a gradient may be asked for of what is computed now."""
    try:
        from tensorflow.python.eager.record import could_possibly_record
    except ImportError as error:
        raise changed("tensorflow", f"`record` is there ({error})") from error
    return bool(could_possibly_record())


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
