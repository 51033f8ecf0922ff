"""What boxes of a program's output need of its input and cost, for very many of them.

What a box needs along one axis depends on its rows along that axis alone, and what it
costs on how many rows that are, of every value. So each range of rows is walked back
but once, and of boxes that differ by their place alone one is costed. Pure.
"""

from __future__ import annotations

from fcdcc_keras.partition.boxes import Box, Counts, SizedProgram
from fcdcc_keras.planning.chains.operation_cost import EngineRates, OperationCosts


class BoxCosts:
    """A program of one input, in boxes of its output."""

    def __init__(self, sized: SizedProgram) -> None:
        """Takes the program."""
        self._sized = sized
        self._costs = OperationCosts(sized.program, sized.shapes)
        self._rows: dict[tuple[int, range], tuple[Box, Counts]] = {}
        self._known: dict[
            tuple[EngineRates, tuple[Counts, ...]], tuple[float, int]
        ] = {}

    def back(self, box: Box, engine: EngineRates) -> tuple[Box, float, int]:
        """Returns what a box needs of the input, its seconds and its multiply-adds.

        Args:
            box: Of the output.
            engine: What computes it.

        Raises:
            PlanError: There is no such box of the output.
        """
        along = [self._along(axis, rows) for axis, rows in enumerate(box)]
        key = engine, tuple(counts for _, counts in along)
        if key not in self._known:
            needed, work = self._sized.needed(box), self._sized.work(box)
            seconds = sum(self._costs.seconds(needed, work, engine))
            self._known[key] = seconds, sum(work)
        # Where the input has more axes than the output, all of these is needed.
        (read, _), own = along[0], [part for part, _ in along]
        axes = range(1, min(len(read), len(own)))
        needs = (read[0], *(own[axis][axis] for axis in axes), *read[len(own) :])
        return needs, *self._known[key]

    def _along(self, axis: int, rows: range) -> tuple[Box, Counts]:
        key = axis, rows
        if key not in self._rows:
            self._rows[key] = self._sized.along(axis, rows)
        return self._rows[key]
