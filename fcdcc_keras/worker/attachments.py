"""Memory of a client on the same machine, mapped into a worker; see shared_memory."""

from __future__ import annotations

import mmap
import os
from collections import OrderedDict
from collections.abc import Sequence

_KEPT = 16
"""Segments of a client that a worker keeps mapped: mapping is quick, but each page is
asked for anew afterwards."""
UNUSED_FOR = 30.0
"""Seconds after which a segment that was not used is given back to the system."""


class Attachments:
    """Segments of other processes, kept mapped for when they are used again."""

    def __init__(self) -> None:
        self._mapped: OrderedDict[tuple[int, ...], tuple[mmap.mmap, float]] = (
            OrderedDict()
        )

    def get(
        self, name: Sequence[int], size: int, now: float, *, write: bool
    ) -> mmap.mmap:
        """Returns a segment; see ``attach``.

        Raises:
            OSError: It is not there, or something else is in its place.
        """
        key = (*name, size, write)
        memory, _ = self._mapped.pop(key, (None, now))
        memory = memory or attach(name, size, write=write)
        self._mapped[key] = memory, now
        while len(self._mapped) > _KEPT:
            self._mapped.popitem(last=False)
        return memory

    def shrink(self, now: float) -> float | None:
        """Lets go of segments that were not used for a while.

        Returns:
            When the next may have to go, or None: there is none.
        """
        # They are in the order of their last use.
        while self._mapped:
            key, (_, used) = next(iter(self._mapped.items()))
            if now < used + UNUSED_FOR:
                return used + UNUSED_FOR
            del self._mapped[key]
        return None


def attach(name: Sequence[int], size: int, *, write: bool) -> mmap.mmap:
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
        access = mmap.PROT_READ | mmap.PROT_WRITE if write else mmap.PROT_READ
        return mmap.mmap(handle, size, prot=access)
    finally:
        os.close(handle)
