"""A subtask's reply: made on the worker, sent as text and bytes, read in the client.

What a worker returns is never unpickled: numbers and texts cross as JSON, the result as
its bytes, and an exception as its text.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fcdcc_keras.text import text_of
from fcdcc_keras.worker.zeros import with_zeros

LOST_SHARE = "the worker has lost its kernel share"
"""The error of a worker that has no kernel to convolve with."""
_ALIGNMENT = 64
MOST_TEXT = 1 << 20
"""Bytes of text that may come with a result."""
_MOST_AXES = 8
_LONGEST = 32
"""Letters of an engine's name."""
_NONSENSE = (ValueError, TypeError, KeyError, RecursionError, OverflowError)
_TYPES = tuple(np.dtype(name).str for name in ("float32", "float64"))
Find = Callable[[tuple[int, ...], "np.dtype[Any]"], np.ndarray]
_LENGTH = 8
"""Bytes that say how long the text is, where text and result are one."""


@dataclass(frozen=True)
class Reply:
    """What has come of a subtask: plain data only. Times in seconds since the epoch."""

    array: np.ndarray | None = None
    """Result, shape ``(ℓ_A·B, h', W', ℓ_B·⌈N/k_B⌉)``; None after an error."""
    error: str | None = None
    """Text of the exception that the subtask raised, or why there is no result."""
    started: float = 0.0
    """By the worker's clock, as ``finished``; 0: it never was."""
    finished: float = 0.0
    engine: str = ""
    """What has computed it."""
    shared: bool = False
    """Whether the result is in memory that client and worker have in common."""
    without_zeros: np.ndarray | None = None
    """The result as it is sent, where its zeros are left out."""
    received: int = 0
    """In the client, bytes that it had on its way; on the worker, its input's."""
    waited: float = 0.0
    """Seconds from start to finish in which the worker waited for others."""
    chains: int = 0
    """How many chains were computed, where they are several in one."""
    lost: str = ""
    """Key of the weights that the worker has not, where it has lost them."""

    @property
    def computed(self) -> float:
        """Seconds that the worker computed, if its clock was not set meanwhile."""
        return max(0.0, self.finished - self.started - self.waited)

    @classmethod
    def of(
        cls,
        work: Callable[[], Any],
        memory: memoryview | None = None,
        catch: type[BaseException] = BaseException,
    ) -> Reply:
        """Does a subtask, whatever it returns or raises.

        The one place where that is caught: an exception that left a worker would cross
        as a pickle, and one that is no ``Exception`` would end it.

        Args:
            work: Gives the result.
            memory: Where to put that, if it has the room.
            catch: What is caught; in the client's process not its interrupts.
        """
        started = finished = time.time()
        try:
            array = work()
            finished = time.time()
            if not isinstance(array, np.ndarray):
                name = type(array).__name__
                raise TypeError(f"the subtask returned a {name}, not an array")
            if array.dtype.hasobject:
                raise TypeError("the subtask returned objects, not numbers")
            array = np.asarray(array, order="C")
            shared = False
            if memory is not None and array.nbytes <= memory.nbytes:
                shared = True
                target = np.frombuffer(memory, array.dtype, array.size)
                target.reshape(array.shape)[...] = array
            return cls(array, None, started, finished, shared=shared)
        except catch as error:
            return cls(error=text_of(error), started=started, finished=finished)

    def to_wire(self) -> str:
        """Returns what there is to say of the result, which is sent beside it."""
        array = self.array
        return json.dumps(
            {
                "started": self.started,
                "finished": self.finished,
                "error": self.error,
                "engine": self.engine,
                "shape": None if array is None else array.shape,
                "dtype": None if array is None else array.dtype.str,
                "shared": self.shared,
                "sparse": self.without_zeros is not None,
                "waited": self.waited,
                "chains": self.chains,
                "lost": self.lost,
            }
        )

    @classmethod
    def from_wire(
        cls,
        text: str | bytes,
        nbytes: int,
        data: Callable[[], Any],
        find: Find | None = None,
    ) -> Reply:
        """Returns the reply that ``to_wire`` made a text of: perhaps untrue.

        Args:
            text: The text.
            nbytes: Bytes that a result must have, checked before there is an array.
            data: Gives the result's bytes, where they have been sent.
            find: Gives the result, of a shape and type, where it is in memory that
                both have in common.

        Raises:
            ValueError: It is no such text, or of another result.
        """
        try:
            if len(text) > MOST_TEXT:
                raise ValueError(f"{len(text)} bytes of it")
            said = json.loads(text)
            error, shape, name = said["error"], said["shape"], said["dtype"]
            shared, sparse = said["shared"] is True, said["sparse"] is True
            engine = str(said["engine"])[:_LONGEST]
            times = float(said["started"]), float(said["finished"])
            waited, chains = float(said["waited"]), int(said["chains"])
            if not all(map(math.isfinite, (*times, waited))):
                raise ValueError(f"the times {times}, {waited}")
            why, lost = None if error is None else str(error), str(said["lost"])
            told = cls(None, why, *times, waited=waited, chains=chains)
            if error is not None:
                return replace(told, lost=lost)
            shape = tuple(shape)
            sizes = all(type(size) is int and size >= 0 for size in shape)
            if not sizes or len(shape) > _MOST_AXES or name not in _TYPES:
                raise ValueError(f"the shape {shape}, the type {name!r}")
        # A text may nest deeper than Python recurses, a number exceed its floats.
        except _NONSENSE as wrong:
            raise ValueError(
                f"what is said of the result cannot be true: {text_of(wrong)[:200]}"
            ) from wrong
        dtype = np.dtype(name)
        if dtype.itemsize * math.prod(shape) != nbytes:
            raise ValueError(
                f"result of shape {shape} and type {dtype} in place of {nbytes} bytes"
            )
        if shared and find is not None:
            array = find(shape, dtype)
            return replace(told, array=array, engine=engine, shared=shared)
        sent = memoryview(data())
        if sparse:
            array = with_zeros(sent, shape, dtype)
        else:
            array = np.frombuffer(sent, dtype).reshape(shape)
        return replace(told, array=array, engine=engine, received=sent.nbytes)

    def to_bytes(self) -> bytearray:
        """Returns the reply as one run of bytes, its result aligned within."""
        text, array = self.to_wire().encode(), self.array
        start = _start(len(text))
        whole = bytearray(start + (0 if array is None else array.nbytes))
        whole[:_LENGTH] = len(text).to_bytes(_LENGTH, "little")
        whole[_LENGTH : _LENGTH + len(text)] = text
        if array is not None:
            target = np.frombuffer(whole, array.dtype, array.size, start)
            target.reshape(array.shape)[...] = array
        return whole

    @classmethod
    def from_bytes(cls, whole: Any, nbytes: int) -> Reply:
        """Returns the reply of ``to_bytes``; its result shares their memory.

        Args:
            whole: The bytes.
            nbytes: How many of them must be the result's.

        Raises:
            ValueError: They are no such bytes.
        """
        view = memoryview(whole)
        length = int.from_bytes(view[:_LENGTH], "little")
        text = bytes(view[_LENGTH : _LENGTH + length])
        return cls.from_wire(text, nbytes, lambda: view[_start(length) :])


def _start(length: int) -> int:
    return -(-(_LENGTH + length) // _ALIGNMENT) * _ALIGNMENT
