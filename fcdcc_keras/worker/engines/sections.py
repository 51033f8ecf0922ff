"""Programs cut into sections, of which tiles that differ in their padding share most.

Tiles of one program have the same weights, and another padding each. A section with a
large kernel has no padding within: what it reads is given to it with the zeros around,
or a part of it, so that one model, which holds its kernels, computes it for all tiles.
Where a section ends its values are held, and copied: so only kernels that are larger
than these are taken for large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fcdcc_keras import programs as p
from fcdcc_keras.programs import Operation, Pair, Program

_LARGE = 1 << 20
"""Bytes of a large kernel, at least: each section takes some time to begin with."""


@dataclass(frozen=True)
class Framed:
    """A part of a value of a program, with zeros around it."""

    value: int
    crops: tuple[Pair, ...] = ()
    """What is cut off (above, below), (left, right); (): nothing."""
    pads: tuple[Pair, ...] = ()
    """What is then added there."""

    def cropped(self, crops: Sequence[Pair]) -> Framed:
        """Returns a part of this one, which has no zeros."""
        old = self.crops or ((0, 0),) * len(crops)
        both = zip(old, crops, strict=True)
        summed = tuple((a + c, b + d) for (a, b), (c, d) in both)
        return replace(self, crops=summed)

    def of(self, value: np.ndarray) -> np.ndarray:
        """Returns it without the zeros, as a view of the value."""
        axes = zip(value.shape[1:], self.crops, strict=False)
        inner = [slice(above, size - below) for size, (above, below) in axes]
        return value[tuple([slice(None), *inner])]

    def shape(self, whole: Sequence[int]) -> tuple[int, ...]:
        """Returns its shape, of that of the whole value."""
        sizes = list(whole)
        for axis, (above, below) in enumerate(self.crops, 1):
            sizes[axis] -= above + below
        for axis, (above, below) in enumerate(self.pads, 1):
            sizes[axis] += above + below
        return tuple(sizes)


@dataclass(frozen=True)
class Section:
    """Some operations of a program, one after another."""

    inputs: tuple[Framed, ...]
    program: Program
    """What makes of these its values."""
    weights: tuple[int, ...]
    """Numbers of its weights in the whole program."""
    outputs: tuple[int, ...]
    """Its values that are read elsewhere."""
    yields: tuple[int, ...]
    """Numbers of these in the whole program."""


@dataclass(frozen=True)
class Sectioned:
    """A program as sections."""

    sections: tuple[Section, ...]
    output: Framed


def cut(program: Program, shapes: Sequence[Sequence[int]]) -> Sectioned:
    """Returns a program as sections.

    It is a single one where no kernel is large, or where a section's inputs would not
    all have the same axes.

    Args:
        program: The program.
        shapes: Of all its values, as they are now or will be about as large.
    """
    cutter = _Cutter(program, shapes)
    for number, operation in enumerate(program.operations):
        cutter.take(number, operation)
    return cutter.cut() or _whole(program)


def _whole(program: Program) -> Sectioned:
    last = len(program.channels) + len(program.operations) - 1
    inputs = tuple(map(Framed, range(len(program.channels))))
    weights = tuple(range(len(program.weights)))
    return Sectioned(
        (Section(inputs, program, weights, (last,), (last,)),), Framed(last)
    )


class _Cutter:
    """A program while it is cut: runs of operations, each to become a section."""

    def __init__(self, program: Program, shapes: Sequence[Sequence[int]]) -> None:
        self._program = program
        self._shapes = shapes
        self._first = len(program.channels)
        self._runs: list[dict[int, Operation]] = [{}]
        """By the values that they yield; without padding where that is given."""
        self._large = self._framed = False
        """Whether the last run has many weights, or what differs between tiles."""
        self._parts: dict[int, Framed] = {}
        """Values that are but a part of others."""
        self._pads: dict[int, tuple[Pair, ...]] = {}
        """Zeros around what an operation reads, by the value that it yields."""

    def take(self, number: int, operation: Operation) -> None:
        """Adds an operation to the last run, or to a new one."""
        value = self._first + number
        large = self._is_large(operation, value)
        bare = large and self._has_window(operation)
        framed = not bare and _is_framed(operation)
        within = any(read in self._runs[-1] for read in operation.reads)
        apart = isinstance(operation, p.Crop) and not within
        if (bare and within) or (
            not apart and (framed or self._framed) and (large or self._large)
        ):
            self._runs.append({})
            self._large = self._framed = within = False
        if isinstance(operation, p.Crop) and not within:
            (read,) = operation.reads
            whole = self._parts.get(read, Framed(read))
            self._parts[value] = whole.cropped(operation.crops)
            return
        if bare:
            assert isinstance(operation, p.Convolution)
            self._pads[value] = operation.pads
            operation = replace(operation, pads=((0, 0),) * len(operation.pads))
        self._runs[-1][value] = operation
        self._large |= large
        self._framed |= framed

    def cut(self) -> Sectioned | None:
        """Returns the sections, or None: there is nothing to cut."""
        last = self._first + len(self._program.operations) - 1
        output = self._parts.get(last, Framed(last))
        runs = [run for run in self._runs if run]
        inputs = [self._inputs(run) for run in runs]
        wanted = {output.value, *(part.value for each in inputs for part in each)}
        sections = []
        for run, given in zip(runs, inputs, strict=True):
            section = self._section(run, given, wanted)
            if section is None:
                return None
            if section.yields:
                sections.append(section)
        return Sectioned(tuple(sections), output)

    def _is_large(self, operation: Operation, value: int) -> bool:
        shapes = self._program.weights_of(operation)
        size = sum(map(math.prod, shapes))
        copied = (self._shapes[operation.reads[0]], self._shapes[value])
        item = np.dtype(self._program.dtype).itemsize
        return size >= max(_LARGE // item, sum(map(math.prod, copied)))

    def _has_window(self, operation: Operation) -> bool:
        """Returns whether an operation is a convolution that may have padding."""
        if not isinstance(operation, p.Convolution):
            return False
        window = operation.window(self._program.weights_of(operation))
        wide = max(window) > 1 or any(map(any, operation.pads))
        return wide and not isinstance(operation, p.Transposed)

    def _read(self, run: dict[int, Operation], value: int, read: int) -> Framed:
        """Returns what an operation reads, of a value of another run."""
        part = self._parts.get(read, Framed(read))
        pads = self._pads.get(value, ())
        return replace(part, pads=pads) if any(map(any, pads)) else part

    def _inputs(self, run: dict[int, Operation]) -> list[Framed]:
        parts = {
            self._read(run, value, read): None
            for value, operation in run.items()
            for read in operation.reads
            if read not in run
        }
        return list(parts)

    def _section(
        self, run: dict[int, Operation], inputs: list[Framed], wanted: set[int]
    ) -> Section | None:
        shapes = [self._shapes[part.value] for part in inputs]
        ranks = {len(shape) - 2 for shape in shapes}
        if len(ranks) > 1:
            return None
        places = {value: len(inputs) + at for at, value in enumerate(run)}
        weights: dict[int, int] = {}
        operations = []
        for value, operation in run.items():
            reads = tuple(
                places[read]
                if read in run
                else inputs.index(self._read(run, value, read))
                for read in operation.reads
            )
            own = tuple(weights.setdefault(w, len(weights)) for w in operation.weights)
            operations.append(replace(operation, reads=reads, weights=own))
        program = replace(
            self._program,
            channels=tuple(shape[-1] for shape in shapes),
            rank=ranks.pop(),
            operations=tuple(operations),
            weights=tuple(self._program.weights[number] for number in weights),
        )
        yields = tuple(value for value in run if value in wanted)
        outputs = tuple(places[value] for value in yields)
        return Section(tuple(inputs), program, tuple(weights), outputs, yields)


def _is_framed(operation: Operation) -> bool:
    """Returns whether an operation has what differs between tiles."""
    pads = getattr(operation, "pads", getattr(operation, "crops", ()))
    return any(map(any, pads))
