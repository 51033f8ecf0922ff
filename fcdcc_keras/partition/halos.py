"""Halos: what of each tile the next tiles of others read. Pure.

Tiles of a chain of layers lie on the workers that computed them. What the tile of the
next chain reads on the same worker is mostly its own; the rest, its halo, others have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fcdcc_keras.partition.boxes import Box


@dataclass(frozen=True)
class Halo:
    """What one tile's result has that another tile reads."""

    giver: int
    """Number of the tile whose result has it."""
    taker: int
    """Number of the tile, of the next chain, that reads it."""
    given: Box
    """Where it lies in the giver's result."""
    taken: Box
    """Where it lies in what the taker reads."""


def halos(results: Sequence[Box], reads: Sequence[Box]) -> Iterator[Halo]:
    """Yields what goes from the tiles of a chain to those of the next.

    What a tile reads of the result with its own number, which need not be sent, is
    among it.

    Args:
        results: Box of each tile's result; together they are all of the value.
        reads: Box of that value that each tile of the next chain reads.
    """
    for giver, result in enumerate(results):
        for taker, read in enumerate(reads):
            common = tuple(map(_common, result, read))
            if all(common):
                yield Halo(giver, taker, _within(common, result), _within(common, read))


def _common(one: range, other: range) -> range:
    return range(max(one.start, other.start), min(one.stop, other.stop))


def _within(box: Box, outer: Box) -> Box:
    """Returns a box as counted from the first of another that has it."""
    return tuple(
        range(own.start - all_.start, own.stop - all_.start)
        for own, all_ in zip(box, outer, strict=True)
    )
