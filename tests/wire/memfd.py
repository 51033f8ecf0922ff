"""Counting the memory in common that a process has open."""

import os


def files():
    """How many files of this kind the process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += "memfd:fcdcc" in os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass
    return count


def held():
    """Bytes of all files of this kind that the process has open or mapped."""
    sizes = {}  # a map has a descriptor of its own
    for name in os.listdir("/proc/self/fd"):
        try:
            if "memfd:fcdcc" in os.readlink(f"/proc/self/fd/{name}"):
                found = os.stat(f"/proc/self/fd/{name}")
                sizes[found.st_ino] = found.st_size
        except OSError:
            pass
    return sum(sizes.values())
