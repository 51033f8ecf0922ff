"""Counting the memory in common that a test has opened."""

import os

_before = set()
"""What other tests have left, which may go at any time."""


def forget():
    """Leaves out from now on what is there already."""
    _before.clear()
    _before.update(_sizes())


def files():
    """How many files of this kind the process has open."""
    return len(_sizes())


def held():
    """Bytes of all files of this kind that the process has open or mapped."""
    return sum(_sizes().values())


def _sizes():
    sizes = {}  # a map has a descriptor of its own
    for name in os.listdir("/proc/self/fd"):
        try:
            if "memfd:fcdcc" in os.readlink(f"/proc/self/fd/{name}"):
                found = os.stat(f"/proc/self/fd/{name}")
                sizes[found.st_ino] = found.st_size
        except OSError:
            pass
    return {inode: size for inode, size in sizes.items() if inode not in _before}
