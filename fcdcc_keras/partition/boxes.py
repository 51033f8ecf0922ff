"""Boxes: what of each value of a program a part of its output depends on; and tiles.

A box is images × rows × columns of a value, with all its channels. Walking back from a
box of the output, each operation needs of what it reads the window that ``Axis`` has,
cut to the map; what is cut off is its own padding, for this tile. Where several
operations read a value, what they need of it is united, and each crops. A border that
is not the image's gets no padding, so that a tile is exact: the same operations on the
same numbers. Of an operation that is not local all rows and columns are needed: a
program that has one is cut along its images.

This is fused tile partitioning (DeepThings, TCAD 2018), with an axis of images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition.axis import Axis, Pair
from fcdcc_keras.programs import (
    Activation,
    Convolution,
    Crop,
    MaxPool,
    Operation,
    Program,
    Reach,
    Upsample,
    ZeroPad,
)

Box = tuple[range, ...]
"""The images, the rows, the columns and so on, each at least one."""
Sizes = tuple[int, ...]


def whole(shape: Sequence[int]) -> Box:
    """Returns the box of all of a value, by its shape ``(B, H, W, C)``."""
    return tuple(map(range, shape[:-1]))


def slices(box: Box) -> tuple[slice, ...]:
    """Returns what takes a box out of a value."""
    return tuple(slice(rows.start, rows.stop) for rows in box)


def _united(box: Box, other: Box) -> Box:
    """Returns the least box that has both."""
    return tuple(
        range(min(one.start, two.start), max(one.stop, two.stop))
        for one, two in zip(box, other, strict=True)
    )


@dataclass(frozen=True)
class Load:
    """What a tile costs."""

    upload: int
    """Bytes of its inputs."""
    multiply_adds: int
    """Of its convolutions and matrix products."""
    answer: int
    """Bytes of its output."""


@dataclass(frozen=True)
class Tile:
    """A box of a program's output, and what computes it."""

    output: Box
    inputs: tuple[Box, ...]
    """What it needs of each input."""
    program: Program
    """What makes of these that; its weights are those of the whole program."""

    def crop(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns what the tile's program reads, as views of the whole inputs."""
        return [x[slices(box)] for x, box in zip(inputs, self.inputs, strict=True)]


@dataclass(frozen=True)
class _Step:
    """An operation's part in a tile."""

    reads: tuple[Box, ...]
    """What it needs of each value that it reads."""
    yields: Box
    """What it then yields: what is needed, or more."""
    pads: tuple[Pair, ...] = ()
    """Its own padding, if it has any in the whole program."""


class SizedProgram:
    """A program with inputs of known sizes, of which tiles can be cut."""

    def __init__(self, program: Program, inputs: Sequence[Sequence[int]]) -> None:
        """Works out the sizes of all values.

        Args:
            program: The program.
            inputs: Shape of each input, ``(B, H, W, C)``.

        Raises:
            PlanError: It is no program for these.
        """
        self.program = program
        self.shapes = program.shapes(inputs)
        """Of all values, the inputs first, the output last."""
        self._reaches = [
            program.reach(operation, len(self.shapes[operation.reads[0]]) - 2)
            for operation in program.operations
        ]

    def needed(self, box: Box) -> list[Box | None]:
        """Returns what is needed of each value, the inputs first; None: nothing.

        Raises:
            PlanError: There is no such box of the output.
        """
        return self._walk(box)[0]

    def load(self, box: Box) -> Load:
        """Returns what the tile of a box costs.

        Raises:
            PlanError: There is no such box of the output.
        """
        needed, steps = self._walk(box)
        program, itemsize = self.program, np.dtype(self.program.dtype).itemsize
        sent = zip(self._inputs(needed, box), self.shapes, strict=False)
        return Load(
            itemsize * sum(_pixels(part) * shape[-1] for part, shape in sent),
            sum(
                operation.multiply_adds(
                    self._shape(operation.reads[0], step.reads[0]),
                    self._shape(value, step.yields),
                    program.weights_of(operation),
                )
                for value, operation, step in self._live(steps)
            ),
            itemsize * _pixels(box) * self.shapes[-1][-1],
        )

    def tile(self, box: Box) -> Tile:
        """Returns a tile.

        Args:
            box: Of the output, any.

        Raises:
            PlanError: There is no such box of the output.
        """
        needed, steps = self._walk(box)
        inputs = self._inputs(needed, box)
        writer = _Writer(inputs)
        for value, operation, step in self._live(steps):
            writer.add(value, operation, step)
        return Tile(box, inputs, writer.program(self.program, box))

    def _walk(self, box: Box) -> tuple[list[Box | None], list[_Step | None]]:
        self._check(box)
        operations = self.program.operations
        needed: list[Box | None] = [None] * len(self.shapes)
        steps: list[_Step | None] = [None] * len(operations)
        needed[-1] = box
        for number in reversed(range(len(operations))):
            output = needed[len(self.program.channels) + number]
            if output is None:
                continue
            step = steps[number] = self._step(number, output)
            for read, part in zip(operations[number].reads, step.reads, strict=True):
                old = needed[read]
                needed[read] = part if old is None else _united(old, part)
        return needed, steps

    def _step(self, number: int, output: Box) -> _Step:
        operation, reaches = self.program.operations[number], self._reaches[number]
        read = [self.shapes[value] for value in operation.reads]
        yields = self.shapes[len(self.program.channels) + number]
        if reaches is None:
            images = output[:1]
            return _Step(
                tuple(images + whole(shape)[1:] for shape in read),
                images + whole(yields)[1:],
            )
        if all(reach == Reach() for reach in reaches):
            # Of a single row that is merged with many, there is no other.
            parts = tuple(
                tuple(
                    range(1) if size == 1 else rows
                    for size, rows in zip(shape, output, strict=False)
                )
                for shape in read
            )
            return _Step(parts, output)
        part, result, pads = list(output[:1]), list(output[:1]), []
        sizes = zip(reaches, read[0][1:], yields[1:], output[1:], strict=False)
        for reach, size, length, rows in sizes:
            axis = Axis(
                size, length, reach.extent, reach.stride, reach.pads, reach.transposed
            )
            rows = _reading(axis, rows)
            window = axis.inside(rows)
            if isinstance(operation, Upsample):
                rows = range(window.start * axis.stride, window.stop * axis.stride)
            part.append(range(window.start, window.stop))
            result.append(rows)
            pads.append(window.pads)
        return _Step((tuple(part),), tuple(result), tuple(pads))

    def _live(
        self, steps: Sequence[_Step | None]
    ) -> Iterator[tuple[int, Operation, _Step]]:
        """Yields what a tile computes: number of the value, operation, its part."""
        values = range(len(self.program.channels), len(self.shapes))
        for value, operation, step in zip(
            values, self.program.operations, steps, strict=True
        ):
            if step is not None:
                yield value, operation, step

    def _inputs(self, needed: Sequence[Box | None], box: Box) -> tuple[Box, ...]:
        """Returns what is given of each input: a pixel of one that nothing needs."""
        images = self.shapes[-1][0]
        return tuple(
            (box[0] if shape[0] == images else range(1), *map(range, ones))
            if part is None
            else part
            for part, shape in zip(
                needed[: len(self.program.channels)], self.shapes, strict=False
            )
            for ones in [(1,) * (len(shape) - 2)]
        )

    def _shape(self, value: int, box: Box) -> Sizes:
        return (*map(len, box), self.shapes[value][-1])

    def _check(self, box: Box) -> None:
        shape = self.shapes[-1]
        if len(box) != len(shape) - 1 or not all(
            rows.step == 1 and 0 <= rows.start < rows.stop <= size
            for rows, size in zip(box, shape, strict=False)
        ):
            raise PlanError(
                "A box of an output must have images, rows and columns of it, at least "
                f"one of each. Received: {box}, of an output of shape {shape}. Choose "
                "ranges within that."
            )


def _reading(axis: Axis, rows: range) -> range:
    """Returns rows of Y, those given among them, not all of which are padding alone."""
    window, p = axis.window(rows), axis.pads[0]
    if window.stop <= 0:
        return range(rows.start, -((axis.extent - 1 - p) // axis.stride) + 1)
    if window.start < axis.size:
        return rows
    last = axis.size - 1
    if axis.transposed:
        return range(last * axis.stride + axis.extent - 1 - p, rows.stop)
    return range((last + p) // axis.stride, rows.stop)


def _pixels(box: Box) -> int:
    return math.prod(map(len, box))


class _Writer:
    """A tile's program while operation after operation is added."""

    def __init__(self, inputs: Sequence[Box]) -> None:
        self._inputs = len(inputs)
        self._operations: list[Operation] = []
        self._places = dict(enumerate(enumerate(inputs)))
        """Of each value its number in the tile, and the box of it that is there."""
        self._crops: dict[tuple[int, Box], int] = {}

    def add(self, value: int, operation: Operation, step: _Step) -> None:
        """Adds an operation.

        Args:
            value: Number in the whole program of what it yields.
            operation: As it is there.
            step: Its part in the tile.
        """
        reads = tuple(map(self._read, operation.reads, step.reads))
        nothing = isinstance(operation, ZeroPad) and not any(map(any, step.pads))
        if nothing or isinstance(operation, Crop):  # it has been cropped
            self._places[value] = reads[0], step.yields
            return
        changed: dict[str, Any] = {"reads": reads}
        if isinstance(operation, Convolution | MaxPool | ZeroPad) and step.pads:
            changed["pads"] = step.pads
        self._places[value] = self._append(replace(operation, **changed)), step.yields

    def program(self, of: Program, box: Box) -> Program:
        """Returns the program; its output is a box of the whole one's."""
        last = self._read(max(self._places), box)
        if last < self._inputs:
            self._append(Activation((last,)))
        return replace(of, operations=tuple(self._operations))

    def _read(self, value: int, box: Box) -> int:
        """Returns the number of a box of a value, which is cropped if need be."""
        number, there = self._places[value]
        if there == box:
            return number
        if (value, box) not in self._crops:
            crops = tuple(
                (own.start - all_.start, all_.stop - own.stop)
                for own, all_ in zip(box[1:], there[1:], strict=True)
            )
            self._crops[value, box] = self._append(Crop((number,), crops=crops))
        return self._crops[value, box]

    def _append(self, operation: Operation) -> int:
        self._operations.append(operation)
        return self._inputs + len(self._operations) - 1
