"""A subtask's reply as text and bytes, made on the worker and read in the client.

What a worker returns is never unpickled: numbers and texts cross as JSON, the result as
its bytes, and an exception as its text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcdcc_keras.worker.subtask import Reply, no_reply, text_of

_ALIGNMENT = 64
MOST_TEXT = 1 << 20
"""Bytes of text that may come with a result."""
_MOST_AXES = 8
_NONSENSE = (ValueError, TypeError, KeyError, RecursionError, OverflowError)
_TYPES = tuple(np.dtype(name).str for name in ("float32", "float64"))
_LENGTH = 8
"""Bytes that say how long the text is, where text and result are one."""


def plain_reply(work: Callable[[], Reply]) -> Reply:
    """Does a subtask, and returns plain data only, whatever it returns or raises."""
    try:
        reply = work()
        array, error = reply["array"], reply["error"]
        if error is None and not isinstance(array, np.ndarray):
            error = f"the subtask returned a {type(array).__name__}, not an array"
        elif error is None and array is not None and array.dtype.hasobject:
            error = "the subtask returned objects, not numbers"
        return Reply(
            array=array if error is None else None,
            error=None if error is None else str(error),
            started=float(reply["started"]),
            finished=float(reply["finished"]),
        )
    # An exception that leaves a task crosses as a pickle, and one that is no
    # `Exception` ends the worker.
    except BaseException as error:
        return no_reply(text_of(error))


def about(reply: Reply, *, shared: bool = False) -> str:
    """Returns what there is to say of a plain reply's result.

    Args:
        reply: What ``plain_reply`` returned.
        shared: Whether the result is in shared memory; otherwise it is sent.
    """
    array = reply["array"]
    return json.dumps(
        {
            "started": reply["started"],
            "finished": reply["finished"],
            "error": reply["error"],
            "shape": None if array is None else array.shape,
            "dtype": None if array is None else array.dtype.str,
            "shared": shared,
        }
    )


@dataclass(frozen=True)
class About:
    """What a worker says of its result: perhaps untrue, but there can be such one."""

    error: str | None
    """Why there is none."""
    started: float
    finished: float
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shared: bool
    """Whether it is in shared memory; otherwise it was sent."""

    @classmethod
    def read(cls, text: str | bytes) -> About:
        """Returns what ``about`` made a text of.

        Raises:
            ValueError: It is no such text.
        """
        try:
            if len(text) > MOST_TEXT:
                raise ValueError(f"{len(text)} bytes of it")
            said = json.loads(text)
            error, shape, dtype = said["error"], said["shape"], said["dtype"]
            times = float(said["started"]), float(said["finished"])
            shared = said["shared"] is True
            nothing = error is not None or shape is None
            shape, dtype = ((), _TYPES[0]) if nothing else (tuple(shape), dtype)
            sizes = all(type(size) is int and size >= 0 for size in shape)
            if not sizes or len(shape) > _MOST_AXES:
                raise ValueError(f"the shape {shape}")
            if dtype not in _TYPES or not all(map(math.isfinite, times)):
                raise ValueError(f"the type {dtype!r}, times {times}")
        # A text may nest deeper than Python recurses, a number exceed its floats.
        except _NONSENSE as wrong:
            raise ValueError(
                f"what is said of the result cannot be true: {text_of(wrong)[:200]}"
            ) from wrong
        return cls(
            error=None if error is None else str(error),
            started=times[0],
            finished=times[1],
            shape=shape,
            dtype=np.dtype(dtype),
            shared=shared,
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the result, where there is one."""
        return self.dtype.itemsize * math.prod(self.shape)

    def check(self, nbytes: int) -> None:
        """Checks that a result is as large as it must be, before there is an array.

        Raises:
            ValueError: It is larger or smaller.
        """
        if self.error is None and self.nbytes != nbytes:
            raise ValueError(
                f"result of shape {self.shape} and type {self.dtype} in place of "
                f"{nbytes} bytes"
            )

    def reply(self, array: np.ndarray | None) -> Reply:
        """Returns the reply with this result."""
        return Reply(
            array=None if self.error is not None else array,
            error=self.error,
            started=self.started,
            finished=self.finished,
        )


def joined(reply: Reply) -> bytearray:
    """Returns a plain reply as one run of bytes, its result aligned within."""
    text, array = about(reply).encode(), reply["array"]
    start = _start(len(text))
    whole = bytearray(start + (0 if array is None else array.nbytes))
    whole[:_LENGTH] = len(text).to_bytes(_LENGTH, "little")
    whole[_LENGTH : _LENGTH + len(text)] = text
    if array is not None:
        target = np.frombuffer(whole, array.dtype, array.size, start)
        target.reshape(array.shape)[...] = array
    return whole


def parted(whole: Any, nbytes: int) -> Reply:
    """Returns the reply that ``joined`` made bytes of; its result shares their memory.

    Args:
        whole: The bytes.
        nbytes: How many of them must be the result's.

    Raises:
        ValueError: They are no such bytes.
    """
    view = memoryview(whole)
    length = int.from_bytes(view[:_LENGTH], "little")
    said = About.read(bytes(view[_LENGTH : _LENGTH + length]))
    if said.error is not None:
        return said.reply(None)
    said.check(nbytes)
    count, start = math.prod(said.shape), _start(length)
    array = np.frombuffer(view, said.dtype, count, start)
    return said.reply(array.reshape(said.shape))


def _start(length: int) -> int:
    return -(-(_LENGTH + length) // _ALIGNMENT) * _ALIGNMENT
