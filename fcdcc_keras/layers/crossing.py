"""The one place where a TensorFlow graph hands tensors to the workers and back."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fcdcc_keras.errors import FcdccError
from fcdcc_keras.layers.own_errors import let_marked_out, marked
from fcdcc_keras.worker.tensors import as_array, as_tensor

Plain = Callable[..., tf.Tensor]
"""Of an input and weights, as tensors."""
OnWorkers = Callable[..., np.ndarray]
"""Of the same, as arrays."""

_WIDE = (tf.float32, tf.float64)


def crossed(
    on_workers: OnWorkers, plain: Plain, inputs: tf.Tensor, *weights: tf.Tensor
) -> tf.Tensor:
    """Returns what the workers compute of an input and weights, differentiable.

    Args:
        on_workers: Computes it of arrays on the workers, a bound method.
        plain: The same in TensorFlow, a bound method: gives the gradient.
        inputs: Shape ``(B, H, W, C)``.
        *weights: As ``partition.geometry.Kind`` has the kernel of a layer; the
            variables of a stretch.

    Returns:
        Shape ``(B, H', W', N)``, in a graph not known, dtype of the inputs. Types
        narrower than float32 are computed in float32.
    """
    wide = _coded_type(inputs.dtype)
    # TensorFlow keeps the gradient functions of all graphs for ever, and with them
    # the graphs: strong references would keep every traced model's cluster alive.
    weak_workers, weak_plain = weakref.WeakMethod(on_workers), weakref.WeakMethod(plain)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(x: tf.Tensor, *w: tf.Tensor) -> tuple[tf.Tensor, Callable[..., object]]:
        y = _cross(weak_workers, wide, (x, *w))

        def gradient(dy: tf.Tensor) -> object:
            with tf.GradientTape() as tape:
                tape.watch((x, *w))
                reference = alive(weak_plain)(x, *w)
            return tape.gradient(reference, (x, *w), dy)

        return tf.cast(y, x.dtype), gradient

    values = (tf.convert_to_tensor(weight, dtype=inputs.dtype) for weight in weights)
    return compute(inputs, *values)


def as_coded(kernel: tf.Tensor | tf.Variable, dtype: str) -> np.ndarray:
    """Returns a kernel as ``crossed`` hands it over.

    Args:
        kernel: Of any shape.
        dtype: Type that the layer computes in.
    """
    computed = tf.cast(tf.convert_to_tensor(kernel), dtype)
    array: np.ndarray = tf.cast(computed, _coded_type(computed.dtype)).numpy()
    return array


def _coded_type(dtype: tf.DType) -> tf.DType:
    return dtype if dtype in _WIDE else tf.float32


def _cross(
    on_workers: weakref.ref[OnWorkers], wide: tf.DType, given: Sequence[tf.Tensor]
) -> tf.Tensor:
    given = [tf.cast(one, wide) for one in given]
    if tf.executing_eagerly():
        # `numpy_function` would copy all arguments here.
        return as_tensor(alive(on_workers)(*map(as_array, given)))

    def compute(*arrays: np.ndarray) -> np.ndarray:
        for array in arrays:
            array.flags.writeable = False  # it is the tensor's memory
        with marked():
            outputs: np.ndarray = alive(on_workers)(*arrays)
        return outputs

    let_marked_out()
    # Not stateful: TensorFlow would run independent branches one after another.
    return tf.numpy_function(compute, given, wide, stateful=False)


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """Returns what calls a bound method without keeping its object alive."""
    reference = weakref.WeakMethod(method)
    return lambda *args: alive(reference)(*args)


def alive(reference: weakref.ref[Any]) -> Any:
    """Returns what a reference is to.

    Raises:
        FcdccError: It is gone.
    """
    target = reference()
    if target is None:
        raise FcdccError(
            "A traced function needs the model that it was traced from. Received: "
            "one whose model is gone. Keep a reference to the model."
        )
    return target
