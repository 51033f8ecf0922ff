"""Memory that the client and workers on its own machine have in common.

Between processes of one machine, sockets copy everything four times. Here the client
has anonymous files, which vanish with it whatever happens; a worker opens one by the
client's process and maps it for one subtask. Linux only; elsewhere, and between
containers, workers cannot open it and are sent everything as from afar.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

_KEPT = 16
"""Segments of a client that a worker keeps mapped: mapping is quick, but each page is
asked for anew afterwards."""
_LEAST = 1 << 16
"""Bytes of the smallest segment; below, a socket is as fast."""


Found = tuple[tuple[int, int, int, int], int, int]
"""Name and size of a segment, and an offset in it, in bytes."""


class Segment:
    """A piece of memory that has a file; gone with this object at the latest."""

    def __init__(self, file: int, size: int) -> None:
        """Takes a file of so many bytes, which is closed with it."""
        self._close = weakref.finalize(self, os.close, file)
        self.memory = mmap.mmap(file, size)
        found = os.fstat(file)
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


class Attachments:
    """Segments of other processes, kept mapped for when they are used again."""

    def __init__(self) -> None:
        self._mapped: OrderedDict[tuple[int, ...], mmap.mmap] = OrderedDict()

    def get(self, name: Sequence[int], size: int) -> mmap.mmap:
        """Returns a segment; see ``attach``.

        Raises:
            OSError: It is not there, or something else is in its place.
        """
        key = (*name, size)
        memory = self._mapped.pop(key, None) or attach(name, size)
        self._mapped[key] = memory
        while len(self._mapped) > _KEPT:
            self._mapped.popitem(last=False)
        return memory


class SharedMemory:
    """The client's segments, used again and again."""

    def __init__(self) -> None:
        self._free: list[Segment] = []
        self._lent: set[Segment] = set()
        self._lock = Lock()
        self._closed = False

    def take(self, nbytes: int) -> Segment:
        """Returns a segment of at least so many bytes that nobody else uses.

        Raises:
            OSError: The system has no such memory.
        """
        with self._lock:
            fitting = [s for s in self._free if s.size >= nbytes]
            if fitting:
                best = min(fitting, key=lambda segment: segment.size)
                self._free.remove(best)
                return best
        return _new(nbytes)

    def give_back(self, segment: Segment) -> None:
        """Lets a segment be used again.

        Never to be called for one that a worker may yet write to: forget such a one,
        and it lives as long as the worker maps it.
        """
        with self._lock:
            self._lent.discard(segment)
            if not self._closed:
                self._free.append(segment)
                return
        segment.forget()

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
            for segment in self._lent:
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

    def close(self) -> None:
        """Frees all segments that are not in use, and the others when they are not."""
        with self._lock:
            self._closed, free, self._free = True, self._free, []
        for segment in free:
            segment.forget()


def attach(name: Sequence[int], size: int) -> mmap.mmap:
    """Returns a segment of another process of this machine.

    Raises:
        OSError: It is not there, or something else is in its place.
    """
    process, file, device, inode = name
    handle = os.open(f"/proc/{process}/fd/{file}", os.O_RDWR | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if (found.st_dev, found.st_ino) != (device, inode):
            raise OSError(f"/proc/{process}/fd/{file} is another file")
        return mmap.mmap(handle, size)
    finally:
        os.close(handle)


def _new(nbytes: int) -> Segment:
    create: Any = getattr(os, "memfd_create", None)
    if create is None:
        raise OSError("this system has no anonymous files")
    size = max(_LEAST, 1 << (nbytes - 1).bit_length())
    segment_file = create("fcdcc_keras", os.MFD_CLOEXEC)
    try:
        os.ftruncate(segment_file, size)
    except OSError:
        os.close(segment_file)
        raise
    return Segment(segment_file, size)
