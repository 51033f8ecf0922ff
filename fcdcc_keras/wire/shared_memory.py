"""Memory that the client and workers on its own machine have in common.

Between processes of one machine, sockets copy everything four times. Here the client
has anonymous files, which vanish with it whatever happens; a worker opens one by the
client's process and maps it. Linux only; elsewhere, and between containers, workers
cannot open it and are sent everything as from afar.

A worker may keep a segment mapped, and write to it when nobody expects it. So inputs
are in segments that only the client can write to, and a worker's results in segments
that no other worker is ever told of.
"""

from __future__ import annotations

import mmap
import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any

import numpy as np

from fcdcc_keras.worker.attachments import UNUSED_FOR

_LEAST = 1 << 16
"""Bytes of the smallest segment; below, a socket is as fast."""
_ROOMIEST = 4
"""A segment is not used for less than this part of it, or large ones never were
unused."""
_SEAL_FUTURE_WRITE = 0x10
"""F_SEAL_FUTURE_WRITE of Linux 5.1: only who has the file mapped can write to it."""


Found = tuple[tuple[int, int, int, int], int, int]
"""Name and size of a segment, and an offset in it, in bytes."""


class Segment:
    """A piece of memory that has a file; gone with this object at the latest."""

    def __init__(self, file: int, size: int, writer: str | None) -> None:
        """Takes a file of so many bytes, which is closed with it.

        Args:
            file: An anonymous file.
            size: Its bytes.
            writer: Address of the worker that may write to it; None: nobody else.
        """
        self._close = weakref.finalize(self, os.close, file)
        self.memory = mmap.mmap(file, size)
        _seal(file, writer is None)
        found = os.fstat(file)
        self.writer = writer
        self.start = np.frombuffer(self.memory, "u1").ctypes.data
        """Its address in this process."""
        self.name = (os.getpid(), file, found.st_dev, found.st_ino)
        """What a worker finds it by: process, file, and the file's device and inode."""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.memory)

    def forget(self) -> None:
        """Ends it here; its memory goes when nobody maps it any more."""
        self._close()


class SharedMemory:
    """The client's segments, used again and again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes what tells the time in seconds."""
        self._clock = clock
        self._free: list[tuple[Segment, float]] = []
        """With when each was used last."""
        self._lent: set[Segment] = set()
        self._returned: deque[Segment] = deque()
        """Segments whose arrays are gone. The garbage collector says so in whichever
        thread it runs, which may hold the lock: it only leaves them here."""
        self._lock = Lock()
        self._closed = False

    def take(self, nbytes: int, writer: str | None = None) -> Segment:
        """Returns a segment of at least so many bytes that nobody else uses.

        Args:
            nbytes: Bytes.
            writer: Address of the worker that may write to it. It never is another's;
                None: only this process can write to it.

        Raises:
            OSError: The system has no such memory.
        """
        with self._lock:
            self._collect()
            # Of equal ones the last used, so that others may go unused.
            found = min(
                (
                    (segment.size, -used, index)
                    for index, (segment, used) in enumerate(self._free)
                    if segment.writer == writer
                    and nbytes <= segment.size <= _ROOMIEST * _size(nbytes)
                ),
                default=None,
            )
            if found is not None:
                return self._free.pop(found[2])[0]
        return _new(nbytes, writer)

    def give_back(self, segment: Segment) -> None:
        """Lets a segment be used again. Takes no lock: finalizers call it.

        Never to be called for one that a worker may yet write to: forget such a one,
        and it lives as long as the worker maps it.
        """
        self._returned.append(segment)
        if self._closed:
            self._forget_returned()

    def lend(self, nbytes: int) -> np.ndarray:
        """Returns ``(nbytes,)`` bytes, given back when they and their views are gone.

        Raises:
            OSError: The system has no such memory.
        """
        segment = self.take(nbytes)
        array = self.array(segment, (nbytes,), "u1")
        with self._lock:
            self._lent.add(segment)
        return array

    def find(self, array: np.ndarray) -> Found | None:
        """Returns where memory that was lent begins with this array, or None."""
        address = array.ctypes.data
        with self._lock:
            for segment in list(self._lent):  # finalizers may take some out
                if segment.start <= address < segment.start + segment.size:
                    return segment.name, segment.size, address - segment.start
        return None

    def array(
        self, segment: Segment, shape: Sequence[int], dtype: str | np.dtype[Any]
    ) -> np.ndarray:
        """Returns an array in a segment, which is given back when the array is gone."""
        count = int(np.prod(shape))
        array = np.frombuffer(segment.memory, dtype, count)
        weakref.finalize(array, self.give_back, segment).atexit = False
        return array.reshape(shape)

    def shrink(self) -> bool:
        """Gives segments that were not used for a while back to the system.

        Returns:
            Whether it should be done again later.
        """
        with self._lock:
            self._collect()
            since = self._clock() - UNUSED_FOR
            old = [segment for segment, used in self._free if used <= since]
            self._free = [(s, used) for s, used in self._free if used > since]
            left = bool(self._free or self._lent)
        for segment in old:
            segment.forget()
        return left

    def close(self) -> None:
        """Frees all segments that are not in use, and the others when they are not."""
        with self._lock:
            self._closed, free, self._free = True, self._free, []
        for segment, _ in free:
            segment.forget()
        self._forget_returned()

    def _collect(self) -> None:
        """Takes up what finalizers have left."""
        if self._closed:
            return
        now = self._clock()
        while self._returned:
            segment = self._returned.popleft()
            self._lent.discard(segment)
            self._free.append((segment, now))

    def _forget_returned(self) -> None:
        # Several threads may do so at a time.
        with suppress(IndexError):
            while True:
                segment = self._returned.popleft()
                self._lent.discard(segment)
                segment.forget()


def _size(nbytes: int) -> int:
    return max(_LEAST, 1 << (nbytes - 1).bit_length())


def _new(nbytes: int, writer: str | None) -> Segment:
    create: Any = getattr(os, "memfd_create", None)
    if create is None:
        raise OSError("this system has no anonymous files")
    segment_file = create("fcdcc_keras", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(segment_file, _size(nbytes))
    except OSError:
        os.close(segment_file)
        raise
    return Segment(segment_file, _size(nbytes), writer)


def _seal(file: int, against_writing: bool) -> None:
    """Keeps other processes from cutting a file off, and from writing to it.

    Reading what was cut off would end this process.
    """
    import fcntl

    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    if against_writing:
        with suppress(OSError):  # a kernel older than that
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEAL_FUTURE_WRITE)
