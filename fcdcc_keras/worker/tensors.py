"""Arrays to tensors and back, in the same memory wherever TensorFlow allows it.

Importable without TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

Allocate = Callable[[int], "np.ndarray | None"]
"""Gives so many bytes of memory that is sent from at less cost, or None."""
_ALIGNMENT = 64
"""Bytes. TensorFlow copies memory that is aligned to less, or ends the process."""


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Returns an uninitialized array whose memory a tensor can have."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def aligned(array: np.ndarray) -> np.ndarray:
    """Returns an array in memory that a tensor can have; itself, where it is so."""
    if array.flags.c_contiguous and not array.ctypes.data % _ALIGNMENT:
        return array
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def as_tensor(array: np.ndarray) -> tf.Tensor:
    """Returns an array as a tensor on the CPU, copied only where it must be.

    The array must not be written to any more: the tensor may have its memory.
    """
    import tensorflow as tf

    flags = array.flags
    # NumPy hands out no read-only memory this way; `from_dlpack` checks nothing.
    fits = flags.c_contiguous and flags.writeable and array.size > 0
    if not fits or array.ctypes.data % _ALIGNMENT:
        # `tf.constant` would copy twice.
        copy = aligned_empty(array.shape, array.dtype)
        copy[...] = array
        array = copy
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def as_array(tensor: tf.Tensor) -> np.ndarray:
    """Returns an eager tensor as an array, read-only where it has its memory.

    ``tensor.numpy()`` would copy.
    """
    array: np.ndarray = np.asarray(tensor)
    return array
