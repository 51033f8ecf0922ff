"""A stretch of a model, as a program that may be cut into chains. Pure.

A stretch is entered by one tensor and left by one. It may be cut wherever a single
value crosses; what lies between two cuts is a chain, a program of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition.boxes import SizedProgram
from fcdcc_keras.programs import Program


@dataclass(frozen=True)
class Chain:
    """A part of a stretch that is computed in one place."""

    program: Program
    weights: tuple[int, ...]
    """Which of the stretch's weights are its own, in their order."""

    def sized(self, shape: tuple[int, ...]) -> SizedProgram:
        """Returns it for an input of a shape, ``(B, H, W, C)``."""
        return SizedProgram(self.program, [shape])


@dataclass(frozen=True)
class Stretch:
    """A part of a model's graph that a program computes, for one size of its input."""

    graph: str
    """Path of the model in whose graph it stands; "" for the outermost."""
    entry: str
    """Path of the layer whose output it reads; of an ``InputLayer`` at a model's
    beginning."""
    program: Program
    """Of one input."""
    size: tuple[int, ...]
    """Of its input between images and channels, (H, W)."""
    ends: tuple[tuple[str, int], ...]
    """Where it may be cut: path of a layer, and number of the value that this layer
    yields, in order. The last is the output."""

    def shape(self, images: int) -> tuple[int, ...]:
        """Returns the shape of its input, ``(B, H, W, C)``."""
        return images, *self.size, *self.program.channels

    def chain(self, after: str | None, to: str) -> Chain:
        """Returns a part of it as a program of its own.

        Args:
            after: Path of the layer whose output it reads; None: from the beginning.
            to: Path of the layer whose output it yields.

        Raises:
            PlanError: It cannot be cut there.
        """
        first = 0 if after is None else self._value(after)
        last = self._value(to)
        if first >= last:
            raise self._uncut(f"{after!r} to {to!r}")
        operations = self.program.operations[first:last]
        used = sorted({number for one in operations for number in one.weights})
        places = {number: place for place, number in enumerate(used)}
        program = replace(
            self.program,
            channels=(self._channels[first],),
            rank=self._ranks[first],
            operations=tuple(
                replace(
                    one,
                    reads=tuple(read - first for read in one.reads),
                    weights=tuple(places[number] for number in one.weights),
                )
                for one in operations
            ),
            weights=tuple(self.program.weights[number] for number in used),
        )
        return Chain(program, tuple(used))

    def _value(self, path: str) -> int:
        found = dict(self.ends)
        if path not in found:
            raise self._uncut(repr(path))
        return found[path]

    def _uncut(self, received: str) -> PlanError:
        known = ", ".join(path for path, _ in self.ends)
        return PlanError(
            "A stretch of a model must be cut behind layers where a single tensor "
            f"crosses, in their order. Received: {received}. Such layers are {known}."
        )

    @cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        return self.program.shapes([self.shape(1)])

    @property
    def _channels(self) -> list[int]:
        return [shape[-1] for shape in self._shapes]

    @property
    def _ranks(self) -> list[int]:
        return [len(shape) - 2 for shape in self._shapes]


def crossings(program: Program) -> list[int]:
    """Returns the values at which a program of one input may be cut, in order.

    All that is computed later reads of what came before at most this value; the last
    is the output.
    """
    operations, first = program.operations, len(program.channels)
    earliest = len(operations) + first - 1
    found = []
    for value in reversed(range(first, len(operations) + first)):
        if earliest >= value:
            found.append(value)
        earliest = min(earliest, *operations[value - first].reads)
    return found[::-1]
