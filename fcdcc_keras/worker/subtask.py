"""What runs on a worker: one convolution of its coded input and coded kernel.

Everything here is importable without TensorFlow, picklable and free of clients,
since the scheduler and the workers import it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.worker.loading import prepare_tensorflow
from fcdcc_keras.worker.operation import Convolution
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.tensors import as_array, as_tensor

if TYPE_CHECKING:
    import tensorflow as tf


class KernelShare:
    """A worker's coded kernels, all ℓ_B of them side by side on the channel axis.

    Converted to a tensor at its first use and kept as such, so that no call pays
    for it again and no second copy is held.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.shape = array.shape
        """``(K_H, K_W, C, ℓ_B·⌈N/k_B⌉)``."""
        self._array: np.ndarray | None = array
        self._tensor: tf.Tensor | None = None

    @property
    def array(self) -> np.ndarray:
        """Shape ``(K_H, K_W, C, ℓ_B·⌈N/k_B⌉)``."""
        array = self._array  # another thread may be converting it
        if array is None:
            assert self._tensor is not None
            array = as_array(self._tensor)
        return array

    def tensor(self) -> tf.Tensor:
        """Returns the share on the device that convolves."""
        array = self._array
        if array is not None:
            self._tensor = as_tensor(array)
            self._array = None
        return self._tensor

    def __reduce__(self) -> tuple[Any, ...]:
        return KernelShare, (self.array,)

    def __sizeof__(self) -> int:
        # Dask's accounting of a worker's memory reads this.
        return 64 + self.array.nbytes


def run_subtask(share: KernelShare, coded: np.ndarray, conv: Convolution) -> np.ndarray:
    """Convolves a worker's coded inputs with its coded kernels, all in one call.

    Args:
        share: The coded kernels.
        coded: The coded inputs, all ℓ_A on the batch axis: ``(ℓ_A·B, Ĥ, W, C)``.
        conv: The convolution.

    Returns:
        The result, shape ``(ℓ_A·B, h', W', ℓ_B·⌈N/k_B⌉)``; read-only.
    """
    prepare_tensorflow()
    return convolve(coded, share.tensor(), conv)


def answer(share: KernelShare, coded: np.ndarray, conv: Convolution) -> bytearray:
    """Runs a subtask as a Dask task; see ``run_subtask``.

    Returns:
        Its reply as bytes: Dask pickles what a task returns otherwise.
    """
    return Reply.of(lambda: run_subtask(share, coded, conv)).to_bytes()


def convolve(
    inputs: np.ndarray, kernel: np.ndarray | tf.Tensor, conv: Convolution
) -> np.ndarray:
    """Returns the convolution of inputs and kernel, computed by TensorFlow.

    Args:
        inputs: Shape ``(B, H, W, C)``.
        kernel: As ``partition.geometry.Kind`` has it; ``(K_H, K_W, C, N)``.
        conv: The convolution.

    Returns:
        Shape ``(B, H', W', N)``, dtype of both; read-only.
    """
    if isinstance(kernel, np.ndarray):
        kernel = as_tensor(kernel)
    outputs = conv(as_tensor(inputs), kernel)
    return as_array(outputs)
