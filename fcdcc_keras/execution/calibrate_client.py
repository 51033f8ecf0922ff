"""Measuring what this process can do without any worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from fcdcc_keras.coding.compute import convolve
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning.cost import narrowness

_ROUNDS = 7
_SMALLEST = 1e-9
_PIXELS = 1 << 21
"""Numbers of the map that memory is measured with: 8 MiB."""
_FEATURES = 4096
"""Of the matrix that reading kernels is measured with: 64 MiB, for caches."""
_CHAIN = 64


@dataclass(frozen=True)
class ClientSpeed:
    """What a client can do; ``Calibration`` says what the numbers mean."""

    rate: float
    kernel_rate: float
    memory_rate: float
    operation: float


def client_speed(geometry: ConvGeometry) -> ClientSpeed:
    """Measures this process.

    Args:
        geometry: Of the convolution to measure with.
    """
    inputs, kernel = random_layer(geometry)
    seconds = _median_of(lambda: convolve(inputs, kernel, geometry))
    work = geometry.multiply_adds / narrowness(geometry.filters)
    kernel_rate, memory_rate, operation = _tensorflow()
    return ClientSpeed(work / seconds, kernel_rate, memory_rate, operation)


def random_layer(geometry: ConvGeometry) -> tuple[np.ndarray, np.ndarray]:
    """Returns an input of one image and a kernel."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, *geometry.input_size, geometry.channels))
    k = rng.normal(size=(*geometry.kernel_size, geometry.channels, geometry.filters))
    return x.astype(np.float32), k.astype(np.float32)


def _tensorflow() -> tuple[float, float, float]:
    """Returns bytes of kernel and of maps per second, and seconds of an operation."""
    import tensorflow as tf

    row, matrix = tf.ones((1, _FEATURES)), tf.ones((_FEATURES, _FEATURES))
    pixels, few = tf.ones((_PIXELS,)), tf.ones((4,))

    @tf.function  # type: ignore[untyped-decorator]
    def chain(x: tf.Tensor) -> tf.Tensor:
        for _ in range(_CHAIN):
            x = tf.nn.relu(x)
        return x

    # Reading the result waits for it.
    dense = _median_of(lambda: tf.linalg.matmul(row, matrix).numpy())
    relu = _median_of(lambda: tf.nn.relu(pixels)[0].numpy())
    small = _median_of(lambda: chain(few).numpy()) / _CHAIN
    itemsize = 4
    return _FEATURES**2 * itemsize / dense, 2 * _PIXELS * itemsize / relu, small


def _median_of(run: Callable[[], object]) -> float:
    spans = []
    for _ in range(_ROUNDS + 1):
        start = time.perf_counter()
        run()
        spans.append(time.perf_counter() - start)
    return max(median(spans[1:]), _SMALLEST)
