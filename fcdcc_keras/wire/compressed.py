"""Compressed bytes of a worker, expanded only where they stay within a limit.

Where a cluster's ``distributed.comm.compression`` asks for it, Dask compresses what a
worker sends. It expands whatever comes: 1.5 MB may become gigabytes. Here the size is
read first, from where each format notes it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from fcdcc_keras.dask_internals import decompress

_ZSTD = b"\x28\xb5\x2f\xfd"


def expanded(name: str | None, frame: Any, most: int) -> Any:
    """Returns a frame as it was before it was compressed.

    Args:
        name: How, as Dask names it; None: it was not.
        frame: Bytes.
        most: Bytes that it may be.

    Raises:
        ValueError: It would be more, or does not say how much.
    """
    if name is None:
        found = memoryview(frame)
    elif name == "zlib":
        found = memoryview(zlib.decompressobj().decompress(frame, most + 1))
    elif name in _ANNOUNCED:
        announced = _ANNOUNCED[name](bytes(frame[:32]))
        if announced > most:
            raise _too_large(announced, most)
        found = memoryview(decompress(name, frame))
    else:
        raise ValueError(f"compressed by {name!r}, which does not say to what size")
    if found.nbytes > most:
        raise _too_large(found.nbytes, most)
    return found


def _too_large(size: int, most: int) -> ValueError:
    return ValueError(f"{size} bytes or more in place of {most} at most")


def _lz4(head: bytes) -> int:
    return int.from_bytes(head[:4], "little")


def _snappy(head: bytes) -> int:
    size = 0
    for place, byte in enumerate(head[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return size
    raise ValueError("no size of a snappy frame")


def _zstd(head: bytes) -> int:
    """Reads the content size of a frame's header, RFC 8878, 3.1.1.1."""
    if head[:4] != _ZSTD or len(head) < 5:
        raise ValueError("no zstd frame")
    single, field = head[4] >> 5 & 1, head[4] >> 6
    size = (single, 2, 4, 8)[field]
    start = 5 + (1 - single) + (0, 1, 2, 4)[head[4] & 3]
    if not size or len(head) < start + size:
        raise ValueError("no size in a zstd frame")
    return int.from_bytes(head[start : start + size], "little") + 256 * (field == 1)


_ANNOUNCED: dict[str, Callable[[bytes], int]] = {
    "lz4": _lz4,
    "snappy": _snappy,
    "zstd": _zstd,
}
