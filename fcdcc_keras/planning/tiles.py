"""Which tiles a chain is cut into for the workers that are there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from fcdcc_keras.partition.boxes import Box, SizedProgram
from fcdcc_keras.partition.tiling import bands, blocks, grid


@dataclass(frozen=True)
class Rates:
    """What the choice of tiles is made by."""

    worker_rate: float = 1e10
    """Multiply-adds per second of a worker of speed 1."""
    bandwidth: float = 1e8
    """Bytes per second over the client's link, which all tiles share."""
    call: float = 0.0
    """Seconds for each tile beside that."""


def best_tiles(
    sized: SizedProgram, speeds: tuple[float, ...], rates: Rates = Rates()
) -> tuple[tuple[int, Box], ...]:
    """Returns the tiles that are there soonest: (worker, box), one after another.

    Where there are images enough each worker has some, whole.

    Args:
        sized: The chain.
        speeds: Of the workers that are to have tiles, relative to each other.
        rates: What they are weighed by.

    Returns:
        Boxes that make up the output, each with the number of the worker that suits.
    """

    def seconds(tiles: Sequence[tuple[int, Box]]) -> float:
        busy = [0.0] * len(speeds)
        sent = 0
        for worker, box in tiles:
            load = sized.load(box)
            sent += load.upload + load.answer
            work = load.multiply_adds / rates.worker_rate / speeds[worker]
            busy[worker] += work + rates.call
        return max(busy) + sent / rates.bandwidth

    best: Sequence[tuple[int, Box]] = min(_candidates(sized, speeds), key=seconds)
    return tuple(best)


def _candidates(
    sized: SizedProgram, speeds: Sequence[float]
) -> list[list[tuple[int, Box]]]:
    shape, workers = sized.shapes[-1], len(speeds)
    if not sized.local or shape[0] >= workers:
        return [list(bands(shape, speeds, axis=0).items())]
    found = [list(blocks(shape, speeds).items())]
    found += [
        list(bands(shape, speeds, axis).items()) for axis in range(len(shape) - 1)
    ]
    if len(set(speeds)) == 1:
        axes = [range(1, min(size, workers) + 1) for size in shape[:-1]]
        for counts in product(*axes):
            boxes = grid(shape, counts)
            if len(boxes) == workers:
                found.append(list(enumerate(boxes)))
    return found
