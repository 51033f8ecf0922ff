"""The one place where a TensorFlow graph hands tensors to the workers and back."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from fcdcc_keras.errors import FcdccError
from fcdcc_keras.layers.own_errors import let_marked_out, marked
from fcdcc_keras.worker.tensors import as_array, as_tensor

Plain = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Coded = Callable[[np.ndarray, np.ndarray], np.ndarray]

_WIDE = (tf.float32, tf.float64)


def coded_convolution(
    coded: Coded, plain: Plain, inputs: tf.Tensor, kernel: tf.Tensor
) -> tf.Tensor:
    """Returns the convolution as the workers compute it, differentiable.

    Args:
        coded: Computes the convolution of arrays on the workers, a bound method of the
            layer.
        plain: The same convolution in TensorFlow, a bound method of the layer: gives
            the gradient.
        inputs: Shape ``(B, H, W, C)``.
        kernel: As ``partition.geometry.Kind`` has it; ``(K_H, K_W, C, N)``.

    Returns:
        Shape ``(B, H', W', N)``, dtype of the inputs. Types narrower than float32
        are coded in float32.
    """
    wide = _coded_type(inputs.dtype)
    # TensorFlow keeps the gradient functions of all graphs for ever, and with them
    # the graphs: strong references would keep every traced model's cluster alive.
    weak_coded, weak_plain = weakref.WeakMethod(coded), weakref.WeakMethod(plain)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def convolve(x: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, Callable[..., object]]:
        y = _cross(weak_coded, tf.cast(x, wide), tf.cast(k, wide))

        def gradient(dy: tf.Tensor) -> object:
            with tf.GradientTape() as tape:
                tape.watch((x, k))
                reference = _alive(weak_plain)(x, k)
            return tape.gradient(reference, (x, k), dy)

        return tf.cast(y, x.dtype), gradient

    outputs = convolve(inputs, tf.convert_to_tensor(kernel, dtype=inputs.dtype))
    outputs.set_shape([None] * len(inputs.shape))
    return outputs


def as_coded(kernel: tf.Tensor | tf.Variable, dtype: str) -> np.ndarray:
    """Returns a kernel as ``coded_convolution`` hands it over.

    Args:
        kernel: Of any shape.
        dtype: Type that the layer computes in.
    """
    computed = tf.cast(tf.convert_to_tensor(kernel), dtype)
    array: np.ndarray = tf.cast(computed, _coded_type(computed.dtype)).numpy()
    return array


def _coded_type(dtype: tf.DType) -> tf.DType:
    return dtype if dtype in _WIDE else tf.float32


def _cross(coded: weakref.ref[Coded], x: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    if tf.executing_eagerly():
        # `numpy_function` would copy both arguments here.
        return as_tensor(_alive(coded)(as_array(x), as_array(k)))

    def compute(x: np.ndarray, k: np.ndarray) -> np.ndarray:
        with marked():
            outputs: np.ndarray = _alive(coded)(x, k)
        return outputs

    let_marked_out()
    # Not stateful: TensorFlow would run independent branches one after another.
    return tf.numpy_function(compute, (x, k), x.dtype, stateful=False)


def _alive(reference: weakref.ref[Any]) -> Any:
    target = reference()
    if target is None:
        raise FcdccError(
            "A traced function needs the model that it was traced from. Received: "
            "one whose model is gone. Keep a reference to the model."
        )
    return target
