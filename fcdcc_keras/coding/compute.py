"""What the client computes itself, by its own TensorFlow."""

from __future__ import annotations

import numpy as np

from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import convolution_program
from fcdcc_keras.worker.engines.base import Engine
from fcdcc_keras.worker.engines.tensorflow import TensorFlowEngine

CLIENT_ENGINE: Engine = TensorFlowEngine()
"""TensorFlow is there, since Keras runs on it."""


def convolve(
    inputs: np.ndarray, kernel: np.ndarray, geometry: ConvGeometry
) -> np.ndarray:
    """Returns a convolution.

    Args:
        inputs: X, shape ``(B, H, W, C)``, float32 or float64.
        kernel: K, as ``partition.geometry.Kind`` has it; ``(K_H, K_W, C, N)``.
        geometry: Its sizes.

    Returns:
        Y, shape ``(B, H', W', N)``, of the same type; read-only.
    """
    if inputs.size == 0:
        shape = (len(inputs), *geometry.output_size, geometry.filters)
        return np.zeros(shape, inputs.dtype)
    program = convolution_program(geometry, inputs.dtype.name)
    return CLIENT_ENGINE.prepare(program, [kernel])([inputs])
