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

from fcdcc_keras.execution.subtask import Reply, no_reply, text_of

_ALIGNMENT = 64
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
    """What a worker says of its result. It may be anything: only its types are sure."""

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
            TypeError: Likewise.
            KeyError: Likewise.
        """
        said = json.loads(text)
        error = said["error"]
        return cls(
            error=None if error is None else str(error),
            started=float(said["started"]),
            finished=float(said["finished"]),
            shape=tuple(int(size) for size in said["shape"] or ()),
            dtype=np.dtype(str(said["dtype"] or "u1")),
            shared=bool(said["shared"]),
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


def parted(whole: Any) -> Reply:
    """Returns the reply that ``joined`` made bytes of; its result shares their memory.

    Raises:
        ValueError: They are no such bytes.
        TypeError: Likewise.
        KeyError: Likewise.
    """
    view = memoryview(whole)
    length = int.from_bytes(view[:_LENGTH], "little")
    said = About.read(bytes(view[_LENGTH : _LENGTH + length]))
    if said.error is not None:
        return said.reply(None)
    count, start = math.prod(said.shape), _start(length)
    array = np.frombuffer(view, said.dtype, count, start)
    return said.reply(array.reshape(said.shape))


def _start(length: int) -> int:
    return -(-(_LENGTH + length) // _ALIGNMENT) * _ALIGNMENT
