"""The calls to Linux that Python has from 3.12 on, or not at all."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
"""A mount namespace, for ``unshare`` and ``setns``."""
CLONE_NEWPID = 0x20000000
"""A process namespace; ``unshare`` puts the children into it, not the caller."""
CLONE_NEWNET = 0x40000000
"""A network namespace, of the calling thread alone."""
MS_REC = 0x4000
MS_PRIVATE = 0x40000


def unshare(flags: int) -> None:
    """Moves the calling thread, or its children, into new namespaces.

    Raises:
        OSError: The kernel refuses, usually for want of CAP_SYS_ADMIN.
    """
    _checked("unshare", ctypes.c_int(flags))


def setns(descriptor: int, flags: int) -> None:
    """Moves the calling thread into the namespace that a descriptor refers to.

    Raises:
        OSError: The kernel refuses.
    """
    _checked("setns", ctypes.c_int(descriptor), ctypes.c_int(flags))


def mount(source: str, target: str, kind: str, flags: int = 0) -> None:
    """Mounts a file system, or changes how a mount propagates.

    Raises:
        OSError: The kernel refuses.
    """
    _checked(
        "mount",
        *(ctypes.c_char_p(text.encode()) for text in (source, target, kind)),
        ctypes.c_ulong(flags),
        ctypes.c_char_p(None),
    )


def _checked(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
