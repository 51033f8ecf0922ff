"""Arrays without their zeros, of which a ReLU yields many: they need not be sent.

Bit by bit the same when it is put together again: −0.0 is sent. First comes a bit for
each number, whether it is there, then those that are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fcdcc_keras.worker.tensors import aligned_empty

_FEWEST = 0.25
"""Zeros, as part of all numbers, from which on it is worth the time to leave them out:
to take a number out and to put it in takes as long as to send a quarter of it over
1 Gbit/s with a quarter of a core."""


def without_zeros(array: np.ndarray) -> np.ndarray | None:
    """Returns an array's bytes without its zeros, or None where it has too few.

    Args:
        array: Of any shape.
    """
    words = _words(np.ascontiguousarray(array))
    there = words != 0
    many = int(np.count_nonzero(there))
    if many > (1 - _FEWEST) * words.size:
        return None
    start = _start(words.size, words.itemsize)
    sent = np.zeros(start + many * words.itemsize, np.uint8)
    bits = np.packbits(there)
    sent[: bits.size] = bits
    # By its index it would take four times as long.
    np.compress(there, words, out=sent[start:].view(words.dtype))
    return sent


def with_zeros(data: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Returns the array that ``without_zeros`` was given.

    Args:
        data: What that returned, as bytes: perhaps not so.
        shape: The array's.
        dtype: Its type.

    Raises:
        ValueError: It is no such array's.
    """
    given, size = np.frombuffer(data, np.uint8), math.prod(shape)
    start = _start(size, dtype.itemsize)
    if given.size < start:
        raise ValueError(f"{given.size} bytes for {size} numbers without zeros")
    there = np.flatnonzero(np.unpackbits(given[:start], count=size))
    if given.size != start + there.size * dtype.itemsize:
        raise ValueError(f"{given.size} bytes for {there.size} numbers that are there")
    array = aligned_empty(shape, dtype)
    words = _words(array)
    words[:] = 0
    words[there] = given[start:].view(words.dtype)
    return array


def _start(size: int, itemsize: int) -> int:
    """Returns where the numbers begin: behind the bits, in a place for numbers."""
    return math.ceil(size / 8 / itemsize) * itemsize


def _words(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(f"u{array.itemsize}")
