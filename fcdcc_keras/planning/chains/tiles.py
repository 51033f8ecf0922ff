"""Which tiles a chain is cut into for the workers that are there. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from fcdcc_keras.codes.figures import rounded
from fcdcc_keras.partition.boxes import Box, SizedProgram
from fcdcc_keras.partition.tiling import bands, blocks, grid
from fcdcc_keras.planning.chains.box_costs import BoxCosts
from fcdcc_keras.planning.chains.tile_time import Rates, TileCost, chain_time

__all__ = [
    "Rates",
    "Tiles",
    "best_tiles",
    "nbytes",
    "parts",
    "tilings",
]
Tiles = tuple[tuple[int, Box], ...]
"""(worker, box), in the order in which they are sent."""
_MANY = 16
"""Workers from which on not every grid is tried."""


def best_tiles(
    sized: SizedProgram,
    speeds: Sequence[float],
    rates: Rates | None = None,
    parts_sent: tuple[float, float] = (1.0, 1.0),
) -> Tiles:
    """Returns the tiles that are there soonest: (worker, box), one after another.

    Where there are images enough each worker has some, whole.

    Args:
        sized: The chain.
        speeds: Of the workers that are to have tiles, relative to each other.
        rates: What they are weighed by; default: ``Rates()``.
        parts_sent: Of the bytes of what they read, and of their results.

    Returns:
        Boxes that make up the output, each with the number of the worker that suits.
    """
    found = tilings(sized.shapes[-1], speeds, local=sized.local)
    if len(found) == 1:
        return found[0]
    costs, able = BoxCosts(sized), rates or Rates()
    given, channels, dtype = sized.shapes[0], sized.shapes[-1][-1], sized.program.dtype

    def seconds(tiles: Tiles) -> float:
        asked = []
        for worker, box in tiles:
            read, spent, _ = costs.back(box, able.engine)
            sent, answer = nbytes(read, given[-1], dtype), nbytes(box, channels, dtype)
            own = spent / speeds[worker]
            asked.append(TileCost(worker, sent, own, answer, *parts_sent))
        return rounded(chain_time(asked, able).total)

    return min(found, key=seconds)


def tilings(
    shape: Sequence[int], speeds: Sequence[float], *, local: bool
) -> list[Tiles]:
    """Returns the ways to cut an output that are compared; the first is preferred.

    Args:
        shape: Of the output, ``(B, H, W, C)``.
        speeds: Of the workers.
        local: Whether it can be cut otherwise than along the images.
    """
    images = _sorted(bands(shape, speeds, axis=0))
    if not local or len(shape) < 3 or shape[0] >= len(speeds):
        return [images]
    found = list[Tiles]()
    for team in teams(speeds):
        for tiles in _all_used(shape, [speeds[worker] for worker in team]):
            found.append(tuple((team[worker], box) for worker, box in tiles))
    found.append(images)
    return list(dict.fromkeys(found))


def teams(speeds: Sequence[float]) -> list[tuple[int, ...]]:
    """Returns the workers that may have tiles: all, the faster half, and so on.

    To send to many may take longer than what they compute.

    Args:
        speeds: Of the workers.
    """
    found, many = [], len(speeds)
    by_speed = sorted(range(many), key=lambda worker: -speeds[worker])
    while many > 1:
        found.append(tuple(sorted(by_speed[:many])))
        many //= 2
    return found


def _all_used(shape: Sequence[int], speeds: Sequence[float]) -> list[Tiles]:
    """Returns ways to cut an output among all of some workers."""
    workers, axes = len(speeds), range(1, len(shape) - 1)
    found = [_sorted(bands(shape, speeds, axis)) for axis in axes]
    found.append(_sorted(blocks(shape, speeds)))
    if len(set(speeds)) == 1:
        counts = counts_of(shape[:-1], workers)
        found += [tuple(enumerate(grid(shape, each))) for each in counts]
    return found


def counts_of(sizes: Sequence[int], workers: int) -> list[tuple[int, ...]]:
    """Returns the parts along each axis that together are a tile for each worker.

    Args:
        sizes: Of an output, at least as many as parts.
        workers: Of the same speed; where they are many, few of the ways come back.
    """
    counts = [
        each
        for each in product(*(range(1, min(n, workers) + 1) for n in sizes))
        if math.prod(each) == workers
    ]
    if workers > _MANY:
        counts = sorted(counts, key=lambda each: (max(each), each))[: len(sizes) + 1]
    return counts


def parts(tiles: Tiles) -> tuple[int, ...]:
    """Returns the parts along images, rows and columns; () where they are no grid."""
    boxes = [box for _, box in tiles]
    counts = tuple(len(set(rows)) for rows in zip(*boxes, strict=True))
    return counts if math.prod(counts) == len(set(boxes)) else ()


def nbytes(box: Box, channels: int, dtype: str) -> int:
    """Returns the bytes of a box of a value."""
    return math.prod(map(len, box)) * channels * np.dtype(dtype).itemsize


def _sorted(boxes: dict[int, Box]) -> Tiles:
    return tuple(sorted(boxes.items()))
