"""Chains whose workers keep what they yield, and exchange halos of it. Pure.

Such chains follow each other in a *run*: the client sends the tiles of the first and
takes those of the last. In between each worker has one tile of every chain, always at
the same place of a grid, so that most of what it reads is its own; from others it takes
what lies around, and gives them what they lack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fcdcc_keras.codes.figures import rounded
from fcdcc_keras.partition.boxes import Box, SizedProgram, whole
from fcdcc_keras.partition.tiling import bands, blocks, grid
from fcdcc_keras.planning.chains.box_costs import BoxCosts
from fcdcc_keras.planning.chains.tile_time import (
    ChainTime,
    Rates,
    TileCost,
    chain_time,
)
from fcdcc_keras.planning.chains.tiles import Tiles, counts_of, nbytes, teams

MOST_EXCHANGING = 64
"""Workers that may exchange halos: a boundary waits for the slowest, and has to be
weighed against all others in all grids."""


@dataclass(frozen=True)
class TileGrid:
    """How outputs of any size are cut for some workers, each at the same place."""

    team: tuple[int, ...]
    """Numbers of the workers, of those of ``speeds``."""
    speeds: tuple[float, ...]
    """Of these."""
    by: tuple[int, ...] | int | None
    """Parts along images, rows, columns; or the axis of bands; or None: blocks."""

    def tiles(self, shape: Sequence[int]) -> Tiles | None:
        """Returns a tile for each worker of the team; None where that cannot be.

        Args:
            shape: Of the output, ``(B, H, W, C)``.
        """
        if isinstance(self.by, tuple):
            if len(self.by) != len(shape) - 1:
                return None
            boxes = dict(enumerate(grid(shape, self.by)))
        elif len(shape) < 3 or (self.by is not None and self.by > len(shape) - 2):
            return None
        elif self.by is None:
            boxes = blocks(shape, self.speeds)
        else:
            boxes = bands(shape, self.speeds, self.by)
        if len(boxes) < len(self.team):
            return None
        return tuple((self.team[place], box) for place, box in sorted(boxes.items()))


def grids(images: int, axes: int, speeds: Sequence[float]) -> list[TileGrid]:
    """Returns the grids that come into question, those of all workers first.

    Args:
        images: B.
        axes: Of the outputs, beside images and channels.
        speeds: Of the workers.
    """
    found = []
    for team in teams(speeds):
        if len(team) > MOST_EXCHANGING:
            continue
        mine = tuple(speeds[worker] for worker in team)
        ways: list[tuple[int, ...] | int | None] = [*range(1, axes + 1), None]
        if len(set(mine)) == 1:
            most = (images, *(len(team),) * axes)
            ways += counts_of(most, len(team))
        found += [TileGrid(team, mine, by) for by in ways]
    return found


@dataclass(frozen=True)
class Halos:
    """What workers exchange before a chain, each at its place in the team."""

    given: NDArray[np.int64]
    """How many others each gives something."""
    taken: NDArray[np.int64]
    """Of how many others each takes something."""
    moved: NDArray[np.int64]
    """Bytes that each gives and takes, together."""

    @classmethod
    def of(
        cls, before: Tiles, reads: Sequence[Box], channels: int, dtype: str
    ) -> Halos:
        """Returns what must be exchanged.

        Args:
            before: What the workers have, a tile of each.
            reads: What the next tile of each reads, in the same order.
            channels: Of what they have.
            dtype: Of that.
        """
        have, need = _ends([box for _, box in before]), _ends(reads)
        first = np.maximum(have[:, None, :, 0], need[None, :, :, 0])
        stop = np.minimum(have[:, None, :, 1], need[None, :, :, 1])
        # Pixels from the worker of the row to that of the column.
        sent = np.maximum(stop - first, 0).prod(axis=2)
        np.fill_diagonal(sent, 0)
        moved = (sent.sum(axis=1) + sent.sum(axis=0)) * channels
        given, taken = (sent > 0).sum(axis=1), (sent > 0).sum(axis=0)
        return cls(given, taken, moved * np.dtype(dtype).itemsize)

    @property
    def most(self) -> int:
        """Of the worker that has most to do: given, or taken."""
        return int(np.maximum(self.given, self.taken).max())

    @property
    def nbytes(self) -> int:
        """Bytes that are sent."""
        return int(self.moved.sum()) // 2

    def seconds(self, rates: Rates, speeds: Sequence[float]) -> float:
        """Returns what ``exchange_time`` does.

        Args:
            rates: What it takes.
            speeds: Of the workers, in their order here.
        """
        handling = rates.exchange * np.maximum(self.given, self.taken)
        return float((handling / np.array(speeds) + self.moved / rates.link).max())


def exchange_time(
    before: Tiles,
    reads: Sequence[Box],
    channels: int,
    dtype: str,
    rates: Rates,
    speeds: Sequence[float],
) -> float:
    """Returns the seconds from when all have their tiles until all have what they read.

    Of a worker of speed s that gives halos to g others and takes some of t: max(g, t) ×
    ``rates.exchange`` / s, and the bytes of them all over its link; the worker with
    most counts.

    Args:
        before: What the workers have, a tile of each.
        reads: What the next tile of each reads, in the same order.
        channels: Of what they have.
        dtype: Of that.
        rates: What it takes.
        speeds: Of all workers, by the numbers in ``before``.
    """
    own = [speeds[worker] for worker, _ in before]
    return Halos.of(before, reads, channels, dtype).seconds(rates, own)


def exchange_chain_time(
    tiles: Sequence[TileCost],
    rates: Rates,
    exchange: float | None = None,
    *,
    keeps: bool,
) -> ChainTime:
    """Returns how long a chain of a run takes when nobody straggles.

    All wait for the last before they exchange halos: that the others may be sooner is
    not counted on. The round trip, and what a message takes the client, are the run's
    once, with its first chain.

    Args:
        tiles: One of each worker.
        rates: What they are sent and computed by.
        exchange: Seconds until all have their inputs from each other; None: the client
            sends them.
        keeps: Whether workers keep the results.
    """
    if exchange is not None and keeps:
        work = max(tile.seconds for tile in tiles) + rates.call
        return ChainTime(exchange + work, work, exchange)
    if exchange is not None:
        tiles = [
            TileCost(one.worker, 0.0, one.seconds, one.answer, 1.0, one.down)
            for one in tiles
        ]
        rates = replace(rates, message=0.0, round_trip=0.0, head_start=0.0)
    elif keeps:
        tiles = [
            TileCost(one.worker, one.upload, one.seconds, 0.0, one.up) for one in tiles
        ]
    time, wait = chain_time(tiles, rates), exchange or 0.0
    return ChainTime(time.total + wait, time.work, time.around + wait)


def best_exchange(
    sized: Sequence[SizedProgram], speeds: Sequence[float], rates: Rates | None = None
) -> tuple[Tiles, ...]:
    """Returns the tiles of each chain of a run, in the grid that is done soonest.

    Every worker that has any has one of each chain, in the same order. Where no grid
    gives two workers a tile of every chain, one worker has all of it.

    Args:
        sized: The chains, one after another.
        speeds: Of the workers that are to have tiles, relative to each other.
        rates: What they are weighed by; default: ``Rates()``.
    """
    able, shapes = rates or Rates(), [one.shapes[-1] for one in sized]
    costs = [BoxCosts(one) for one in sized]
    found = []
    if all(one.local for one in sized):
        for way in grids(shapes[0][0], len(shapes[0]) - 2, speeds):
            cut = [way.tiles(shape) for shape in shapes]
            made = tuple(tiles for tiles in cut if tiles is not None)
            if len(made) == len(cut):
                found.append(made)

    def seconds(run: tuple[Tiles, ...]) -> float:
        total, before = 0.0, Tiles()
        for number, (one, tiles) in enumerate(zip(sized, run, strict=True)):
            given, yields, dtype = one.shapes[0], shapes[number], one.program.dtype
            asked, reads = [], []
            for worker, box in tiles:
                read, spent, _ = costs[number].back(box, able.engine)
                sent, answer = (
                    nbytes(read, given[-1], dtype),
                    nbytes(box, yields[-1], dtype),
                )
                asked.append(TileCost(worker, sent, spent / speeds[worker], answer))
                reads.append(read)
            wait = None
            if number:
                wait = exchange_time(before, reads, given[-1], dtype, able, speeds)
            keeps = number < len(run) - 1
            total += exchange_chain_time(asked, able, wait, keeps=keeps).total
            before = tiles
        return rounded(total)

    if found:
        return min(dict.fromkeys(found), key=seconds)
    fastest = max(range(len(speeds)), key=lambda worker: speeds[worker])
    return tuple(((fastest, whole(shape)),) for shape in shapes)


def _ends(boxes: Sequence[Box]) -> NDArray[np.int64]:
    """Returns first and stop of boxes along each axis, ``(box, axis, 2)``."""
    return np.array([[(rows.start, rows.stop) for rows in box] for box in boxes])
