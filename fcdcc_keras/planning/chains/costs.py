"""What each part of a stretch costs, wherever it is computed. Pure.

At a cut a single value crosses. So what a tile needs of the input of one step, from a
cut to the next, is the tile of the step before: each step is walked back but once for
each box, whatever the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fcdcc_keras.partition.boxes import Box, SizedProgram, whole
from fcdcc_keras.partition.stretch import Stretch
from fcdcc_keras.planning.chains.box_costs import BoxCosts
from fcdcc_keras.planning.chains.operation_cost import EngineRates
from fcdcc_keras.planning.chains.tile_time import Rates, TileCost
from fcdcc_keras.planning.chains.tiles import Tiles, nbytes, tilings
from fcdcc_keras.planning.chains.zeros import part_sent
from fcdcc_keras.programs import Convolution, Dense


@dataclass(frozen=True)
class Tiled:
    """A chain as tiles."""

    tiles: Tiles
    costs: tuple[TileCost, ...]
    largest: float
    """Multiply-adds of the largest tile, as part of the whole chain's."""
    reads: tuple[Box, ...]
    """What each tile reads of what is there before the chain."""


class _Step:
    """What lies between a cut and the next, in boxes of its output."""

    def __init__(
        self, stretch: Stretch, after: str | None, to: str, shape: Sequence[int]
    ) -> None:
        program = stretch.chain(after, to).program
        self.sized = SizedProgram(program, [shape])
        self.back = BoxCosts(self.sized).back
        self.all = whole(self.sized.shapes[-1])
        self.weight_bytes = program.weight_bytes
        self.convolutions = sum(
            isinstance(one, Convolution | Dense) for one in program.operations
        )

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the value that it yields."""
        return self.sized.shapes[-1]


class StretchCosts:
    """A stretch with the cuts that come into question, by number from 0, its input."""

    def __init__(self, stretch: Stretch, images: int = 1) -> None:
        """Takes a stretch, and of how many images costs are."""
        self.stretch = stretch
        self._steps = list[_Step]()
        self._shapes = [stretch.shape(images)]
        paths = dict((value, path) for path, value in stretch.ends)
        values = _useful(stretch)
        self._paths = [None, *(paths[value] for value in values)]
        self._sent = [part_sent(stretch.program, value) for value in (0, *values)]
        for after, to in zip(self._paths, self._paths[1:], strict=False):
            self._steps.append(_Step(stretch, after, str(to), self._shapes[-1]))
            self._shapes.append(self._steps[-1].output)

    @property
    def cuts(self) -> int:
        """How many there are behind the input."""
        return len(self._steps)

    def path(self, cut: int) -> str | None:
        """Returns the path of the layer whose output a cut has; None: the input."""
        return self._paths[cut]

    def size(self, cut: int) -> tuple[int, ...]:
        """Returns the sizes between images and channels at a cut."""
        return self.shape(cut)[1:-1]

    def shape(self, cut: int) -> tuple[int, ...]:
        """Returns the shape of the value at a cut, ``(B, H, W, C)``."""
        return self._shapes[cut]

    def nbytes(self, cut: int) -> int:
        """Returns the bytes of the value at a cut."""
        return self._nbytes(cut, whole(self._shapes[cut]))

    def held(self, first: int, last: int) -> int:
        """Returns the bytes of the weights between two cuts."""
        return sum(step.weight_bytes for step in self._steps[first:last])

    def convolutions(self, cut: int) -> int:
        """Returns how many convolutions or products there are until the next cut."""
        return self._steps[cut].convolutions

    def seconds(self, engine: EngineRates) -> list[float]:
        """Returns the seconds of an engine for all between each cut and the next."""
        return [step.back(step.all, engine)[1] for step in self._steps]

    def part_sent(self, cut: int, rates: Rates) -> float:
        """Returns the bytes that are sent of the value at a cut, as part of its own."""
        return self._sent[cut] if rates.sparse else 1.0

    def tiled(
        self, last: int, speeds: Sequence[float], rates: Rates
    ) -> dict[int, list[Tiled]]:
        """Returns the ways to compute chains that end at a cut as tiles.

        Args:
            last: The cut.
            speeds: Of the workers.
            rates: Of the engine of a worker of speed 1, and what is sent.

        Returns:
            By the cut that the chain begins with; the last way is one tile of all. A
            chain goes no further back than where one worker needs all that there is.
        """
        found = {first: list[Tiled]() for first in range(last)}
        for tiles in tilings(self._shapes[last], speeds, local=True):
            if len(tiles) > 1:
                self._follow(tiles, last, speeds, rates, found)
        fastest = max(range(len(speeds)), key=lambda worker: speeds[worker])
        everything, seconds = ((fastest, whole(self._shapes[last])),), 0.0
        for first in reversed(range(last)):
            step = self._steps[first]
            seconds += step.back(step.all, rates.engine)[1] / speeds[fastest]
            sent, answer = self.nbytes(first), self.nbytes(last)
            parts = self.part_sent(first, rates), self.part_sent(last, rates)
            cost = TileCost(fastest, sent, seconds, answer, *parts)
            reads = (whole(self._shapes[first]),)
            found[first].append(Tiled(everything, (cost,), 1.0, reads))
        return found

    def _follow(
        self,
        tiles: Tiles,
        last: int,
        speeds: Sequence[float],
        rates: Rates,
        found: dict[int, list[Tiled]],
    ) -> None:
        """Adds the chains that end with some tiles."""
        boxes = [box for _, box in tiles]
        seconds, work, total = [0.0] * len(tiles), [0] * len(tiles), 0
        answers = [self._nbytes(last, box) for box in boxes]
        for first in reversed(range(last)):
            step, shape = self._steps[first], self._shapes[first]
            if not step.sized.local:
                return
            for number, (worker, _) in enumerate(tiles):
                read, spent, multiply_adds = step.back(boxes[number], rates.engine)
                boxes[number] = read
                seconds[number] += spent / speeds[worker]
                work[number] += multiply_adds
            total += step.back(step.all, rates.engine)[2]
            parts = self.part_sent(first, rates), self.part_sent(last, rates)
            asked = tuple(
                TileCost(
                    worker,
                    self._nbytes(first, boxes[number]),
                    seconds[number],
                    answers[number],
                    *parts,
                )
                for number, (worker, _) in enumerate(tiles)
            )
            part = max(work) / total if total else 1 / len(tiles)
            found[first].append(Tiled(tiles, asked, part, tuple(boxes)))
            if whole(shape) in boxes:
                return

    def _nbytes(self, cut: int, box: Box) -> int:
        dtype = self.stretch.program.dtype
        return nbytes(box, self._shapes[cut][-1], dtype)


def _useful(stretch: Stretch) -> list[int]:
    """Returns the values to cut at.

    Where one local operation without multiply-adds makes of a value one that is no
    larger, it is cut behind that instead.
    """
    program, ends = stretch.program, [value for _, value in stretch.ends]
    shapes = program.shapes([stretch.shape(1)])
    sizes = [nbytes(whole(shape), shape[-1], program.dtype) for shape in shapes]
    found = []
    for value, after in zip(ends, [*ends[1:], 0], strict=True):
        one = program.operations[value % len(program.operations)]
        light = after == value + 1 and not isinstance(one, Convolution | Dense)
        local = program.reach(one, len(shapes[value]) - 2) is not None
        if not (light and local and sizes[after] <= sizes[value]):
            found.append(value)
    return found
