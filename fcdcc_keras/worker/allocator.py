"""Having glibc keep the memory of large arrays, instead of mapping each anew."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_SETTINGS = {
    # Numbers of ``mallopt`` in glibc's ``malloc.h``, and how many bytes.
    "MALLOC_MMAP_THRESHOLD_": (-3, 1 << 30),
    "MALLOC_TRIM_THRESHOLD_": (-1, 1 << 30),
    "MALLOC_TOP_PAD_": (-2, 64 << 20),
}
ALLOCATOR = {name: str(nbytes) for name, (_, nbytes) in _SETTINGS.items()}
"""Environment for glibc's allocator, read when a process starts."""


def keep_large_arrays() -> None:
    """Sets the same in this process, which runs already; nothing without glibc."""
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for number, nbytes in _SETTINGS.values():
            mallopt(number, nbytes)
