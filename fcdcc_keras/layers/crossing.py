"""The one place where a TensorFlow graph hands tensors to the workers and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

Plain = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Coded = Callable[[np.ndarray, np.ndarray], np.ndarray]

_WIDE = (tf.float32, tf.float64)


def coded_convolution(
    coded: Coded, plain: Plain, inputs: tf.Tensor, kernel: tf.Tensor
) -> tf.Tensor:
    """Returns the convolution as the workers compute it, differentiable.

    Args:
        coded: Computes the convolution of arrays on the workers.
        plain: The same convolution in TensorFlow: gives shape and gradient.
        inputs: Shape ``(B, H, W, C)``.
        kernel: Shape ``(K_H, K_W, C, N)``.

    Returns:
        Shape ``(B, H', W', N)``, dtype of the inputs. Types narrower than float32
        are coded in float32.
    """
    wide = _coded_type(inputs.dtype)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def convolve(x: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, Callable[..., object]]:
        y = tf.cast(_cross(coded, tf.cast(x, wide), tf.cast(k, wide)), inputs.dtype)

        def gradient(dy: tf.Tensor) -> object:
            with tf.GradientTape() as tape:
                tape.watch((x, k))
                reference = plain(x, k)
            return tape.gradient(reference, (x, k), dy)

        return y, gradient

    outputs = convolve(inputs, tf.convert_to_tensor(kernel, dtype=inputs.dtype))
    return outputs


def as_coded(kernel: tf.Tensor | tf.Variable, dtype: str) -> np.ndarray:
    """Returns a kernel as ``coded_convolution`` hands it over.

    Args:
        kernel: Shape ``(K_H, K_W, C, N)``.
        dtype: Type that the layer computes in.
    """
    computed = tf.cast(tf.convert_to_tensor(kernel), dtype)
    array: np.ndarray = tf.cast(computed, _coded_type(computed.dtype)).numpy()
    return array


def _coded_type(dtype: tf.DType) -> tf.DType:
    return dtype if dtype in _WIDE else tf.float32


def _cross(coded: Coded, x: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    if tf.executing_eagerly():
        # `numpy_function` would copy both arguments here.
        return tf.constant(coded(x.numpy(), k.numpy()))
    return tf.numpy_function(coded, (x, k), x.dtype, stateful=True)
