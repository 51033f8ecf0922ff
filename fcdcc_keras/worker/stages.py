"""What a worker does between one chain of layers and the next: plain data, as bytes.

Where workers exchange halos, a worker that has its tile of a chain gives others what
their next tiles read of it, and takes from others what its own next one reads.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any

from fcdcc_keras.partition.boxes import Box, slices

_KEPT = 64
"""Texts whose stages are kept: of models, shapes of inputs, and teams of workers."""
_LONGEST = 1 << 24
"""Bytes that such a text may have."""
Bounds = tuple[tuple[int, int], ...]
"""Of a box: where each axis begins and ends."""


@dataclass(frozen=True)
class ExchangeStage:
    """What follows a chain on one worker."""

    share: str
    """Key of the next chain's weights."""
    program: str
    """The text of its next tile's program."""
    shape: tuple[int, ...]
    """Of what that reads, ``(B, H, W, C)``."""
    own: tuple[tuple[Bounds, Bounds], ...]
    """What is its own of that: where it is in its result, and where it goes."""
    gives: tuple[tuple[str, Bounds], ...]
    """To which address it gives what of its result."""
    takes: tuple[tuple[int, Bounds], ...]
    """From which tile comes what of that which it reads."""


def bounds(box: Box) -> Bounds:
    """Returns where a box begins and ends along each axis."""
    return tuple((rows.start, rows.stop) for rows in box)


def part(of: Bounds) -> tuple[slice, ...]:
    """Returns what takes a box out of an array."""
    return slices(tuple(range(*ends) for ends in of))


def packed_stages(stages: Sequence[ExchangeStage]) -> bytes:
    """Returns stages as bytes: programs are long, and much alike."""
    return zlib.compress(json.dumps([astuple(stage) for stage in stages]).encode(), 1)


@lru_cache(_KEPT)
def unpacked_stages(data: bytes) -> tuple[ExchangeStage, ...]:
    """Returns the stages of ``packed_stages``."""
    text = zlib.decompressobj().decompress(data, _LONGEST)
    return tuple(ExchangeStage(*map(_tuples, stage)) for stage in json.loads(text))


def _tuples(read: Any) -> Any:
    """Returns lists as tuples, however deep."""
    return tuple(map(_tuples, read)) if isinstance(read, list) else read
