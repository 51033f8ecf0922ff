"""What each part of a stretch costs, wherever it is computed. Pure.

One walk back from a tile of the output of each cut gives what that tile costs from any
earlier cut on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from fcdcc_keras.partition.boxes import Box, SizedProgram, whole
from fcdcc_keras.partition.stretch import Stretch
from fcdcc_keras.planning.operation_cost import (
    EngineRates,
    OperationCosts,
    from_the_end,
)
from fcdcc_keras.planning.tile_time import TileCost
from fcdcc_keras.planning.tiles import Tiles, coming_first, nbytes, tilings

_WINDOW = 12
"""Cuts that tiles are followed back over at first."""
_REPEATED = 1.0
"""Of the work of the whole chain: a tile that has more is of no use."""


@dataclass(frozen=True)
class Tiled:
    """A chain as tiles."""

    tiles: Tiles
    costs: tuple[TileCost, ...]
    largest: float
    """Multiply-adds of the largest tile, as part of the whole chain's."""


class _Walk:
    """What a tile costs, from wherever the chain begins."""

    def __init__(
        self,
        sized: SizedProgram,
        costs: OperationCosts,
        tile: tuple[int, Box],
        speeds: Sequence[float],
        engine: EngineRates,
    ) -> None:
        self._sized, (self._worker, self._box) = sized, tile
        self._needed, work = sized.needed(self._box), sized.work(self._box)
        self.work = from_the_end(work)
        """Multiply-adds behind each value."""
        spent = costs.seconds(self._needed, work, engine)
        self._seconds = from_the_end([one / speeds[self._worker] for one in spent])

    def cost(self, value: int) -> TileCost:
        """Returns what it costs from a value on."""
        read, shapes = self._needed[value], self._sized.shapes
        assert read is not None
        dtype = self._sized.program.dtype
        return TileCost(
            self._worker,
            nbytes(read, shapes[value][-1], dtype),
            self._seconds[value],
            nbytes(self._box, shapes[-1][-1], dtype),
            coming_first(read, shapes[value]),
        )


class StretchCosts:
    """A stretch with the cuts that come into question, by number from 0, its input."""

    def __init__(self, stretch: Stretch, images: int = 1) -> None:
        """Takes a stretch, and of how many images costs are."""
        self.stretch = stretch
        self._program = stretch.program
        self._sized = SizedProgram(stretch.program, [stretch.shape(images)])
        self.shapes = self._sized.shapes
        self._costs = OperationCosts(stretch.program, self.shapes)
        box = whole(self.shapes[-1])
        self._needed = [whole(shape) for shape in self.shapes]
        self._work = self._sized.work(box)
        self.values = (0, *self._useful())
        """Numbers of the values at the cuts."""
        self._paths = {value: path for path, value in stretch.ends}

    @property
    def cuts(self) -> int:
        """How many there are behind the input."""
        return len(self.values) - 1

    def path(self, cut: int) -> str | None:
        """Returns the path of the layer whose output a cut has; None: the input."""
        return self._paths.get(self.values[cut])

    def nbytes(self, cut: int) -> int:
        """Returns the bytes of the value at a cut."""
        shape = self.shapes[self.values[cut]]
        return nbytes(whole(shape), shape[-1], self._program.dtype)

    def held(self, first: int, last: int) -> int:
        """Returns the bytes of the weights between two cuts."""
        return sum(self._costs.weights[self.values[first] : self.values[last]])

    def work(self, first: int, last: int) -> int:
        """Returns the multiply-adds between two cuts."""
        return sum(self._work[self.values[first] : self.values[last]])

    def seconds(self, engine: EngineRates) -> list[float]:
        """Returns the seconds of an engine for all between each cut and the next."""
        each = self._costs.seconds(self._needed, self._work, engine)
        return [
            sum(each[first:last])
            for first, last in zip(self.values, self.values[1:], strict=False)
        ]

    def tiled(
        self, last: int, speeds: Sequence[float], engine: EngineRates
    ) -> dict[int, list[Tiled]]:
        """Returns the ways to compute chains that end at a cut as tiles.

        Args:
            last: The cut.
            speeds: Of the workers.
            engine: Of a worker of speed 1.

        Returns:
            By the cut that the chain begins with; one tile of all is the last way. Ways
            are left out by which each worker would have as much work as all together.
        """
        each, alone = self.seconds(engine), dict[int, list[Tiled]]()
        fastest = max(range(len(speeds)), key=lambda worker: speeds[worker])
        images = tilings(self.shapes[self.values[last]], speeds[:1], local=False)[0]
        for first in range(last):
            spent = sum(each[first:last]) / speeds[fastest]
            sent, answer = self.nbytes(first), self.nbytes(last)
            cost = TileCost(fastest, sent, spent, answer)
            alone[first] = [Tiled(images, (cost,), 1.0)]
        window, found = _WINDOW, dict[int, list[Tiled]]()
        while last > 0:
            least = max(0, last - window)
            found = self._back_to(least, last, speeds, engine)
            if least == 0 or least not in found:
                break
            window *= 2
        return {first: found.get(first, []) + ways for first, ways in alone.items()}

    def _back_to(
        self, least: int, last: int, speeds: Sequence[float], engine: EngineRates
    ) -> dict[int, list[Tiled]]:
        """Returns the ways to cut chains into tiles that begin no earlier than a cut."""
        while not self._local(least, last):
            least += 1
        if least == last or len(speeds) == 1:
            return {}
        base = self.values[least]
        program = self.stretch.chain(self.path(least), str(self.path(last))).program
        sized = SizedProgram(program, [self.shapes[base]])
        costs = OperationCosts(program, sized.shapes)
        found: dict[int, list[Tiled]] = {}
        for tiles in tilings(sized.shapes[-1], speeds, local=True):
            if len(tiles) == 1:
                continue
            walks = [_Walk(sized, costs, tile, speeds, engine) for tile in tiles]
            for first in range(last - 1, least - 1, -1):
                value, total = self.values[first] - base, self.work(first, last)
                largest = max(walk.work[value] for walk in walks)
                if total and largest >= _REPEATED * total:
                    break
                asked = tuple(walk.cost(value) for walk in walks)
                part = largest / total if total else 1 / len(tiles)
                found.setdefault(first, []).append(Tiled(tiles, asked, part))
        return found

    def _local(self, first: int, last: int) -> bool:
        """Returns whether all between two cuts is local in space."""
        return self._not_local[self.values[first]] == self._not_local[self.values[last]]

    @cached_property
    def _not_local(self) -> list[int]:
        """How many of the operations before each value are not local in space."""
        counts = [0]
        for one, shape in zip(self._program.operations, self.shapes, strict=False):
            read = self.shapes[one.reads[0]]
            local = self._program.reach(one, len(read) - 2) is not None
            counts.append(counts[-1] + (not local))
        return counts

    def _useful(self) -> list[int]:
        """Returns the values to cut at.

        Where one operation without multiply-adds makes of a value one that is no
        larger, it is cut behind that instead.
        """
        found = []
        ends = [value for _, value in self.stretch.ends]
        for value, after in zip(ends, [*ends[1:], None], strict=True):
            if after == value + 1 and not self._work[value]:
                here, there = self._size(value), self._size(after)
                if there <= here:
                    continue
            found.append(value)
        return found

    def _size(self, value: int) -> int:
        return nbytes(whole(self.shapes[value]), self.shapes[value][-1], "float32")
