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
from itertools import count
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
Counts = tuple[int, ...]
"""Of rows."""


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
class TileLoad:
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
        self._axes = [
            self._axes_of(operation, yields)
            for operation, yields in zip(
                program.operations, self.shapes[len(inputs) :], strict=True
            )
        ]
        """Of each operation; () where each pixel is for itself, None: not local."""

    @property
    def local(self) -> bool:
        """Whether a part of the output's rows needs but a part of the input's."""
        return all(axes is not None for axes in self._axes)

    def needed(self, box: Box) -> list[Box | None]:
        """Returns what is needed of each value, the inputs first; None: nothing.

        Raises:
            PlanError: There is no such box of the output.
        """
        return self._walk(box)[0]

    def along(self, axis: int, rows: range) -> tuple[Box, Counts]:
        """Returns what some rows of the output need, where of other axes all are.

        Axes do not depend on each other: along this axis it is what any box with these
        rows needs.

        Args:
            axis: Of the output.
            rows: Of that.

        Returns:
            What is needed of the first input, and how many rows along the axis are
            needed of each value, and read and yielded by each operation. What a box
            costs depends on these numbers of its axes alone.

        Raises:
            PlanError: There are no such rows.
        """
        all_ = whole(self.shapes[-1])
        box = (*all_[:axis], rows, *all_[axis + 1 :])
        needed, steps = self._walk(box)
        walked = [part for part in needed if part is not None]
        for _, _, step in self._live(steps):
            walked += [step.reads[0], step.yields]
        counts = [len(part[axis]) for part in walked if axis < len(part)]
        return self._inputs(needed, box)[0], tuple(counts)

    def load(self, box: Box) -> TileLoad:
        """Returns what the tile of a box costs.

        Raises:
            PlanError: There is no such box of the output.
        """
        needed, steps = self._walk(box)
        itemsize = np.dtype(self.program.dtype).itemsize
        sent = map(self._shape, count(), self._inputs(needed, box))
        return TileLoad(
            itemsize * sum(map(math.prod, sent)),
            sum(self._work(steps)),
            itemsize * math.prod(self._shape(-1, box)),
        )

    def work(self, box: Box) -> list[int]:
        """Returns the multiply-adds of each operation in the tile of a box.

        With ``needed`` this tells, in one walk back, what the end of the program costs
        by itself, wherever that begins.

        Raises:
            PlanError: There is no such box of the output.
        """
        return self._work(self._walk(box)[1])

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

    def _axes_of(self, operation: Operation, yields: Sizes) -> tuple[Axis, ...] | None:
        read = self.shapes[operation.reads[0]]
        reaches = self.program.reach(operation, len(read) - 2)
        if reaches is None:
            return None
        if all(reach == Reach() for reach in reaches):
            return ()
        return tuple(
            Axis(size, rows, reach.extent, reach.stride, reach.pads, reach.transposed)
            for size, rows, reach in zip(read[1:], yields[1:], reaches, strict=False)
        )

    def _step(self, number: int, output: Box) -> _Step:
        operation, axes = self.program.operations[number], self._axes[number]
        images = output[:1]
        if axes is None:
            value = len(self.program.channels) + number
            *parts, all_ = (
                images + whole(self.shapes[one])[1:]
                for one in (*operation.reads, value)
            )
            return _Step(tuple(parts), all_)
        if not axes:
            return _Step(
                tuple(self._beside(value, output) for value in operation.reads), output
            )
        read, yields, pads = list(images), list(images), []
        for axis, rows in zip(axes, output[1:], strict=True):
            rows = _reading(axis, rows)
            window = axis.inside(rows)
            if isinstance(operation, Upsample):
                rows = range(window.start * axis.stride, window.stop * axis.stride)
            read.append(range(window.start, window.stop))
            yields.append(rows)
            pads.append(window.pads)
        return _Step((tuple(read),), tuple(yields), tuple(pads))

    def _beside(self, value: int, box: Box) -> Box:
        """Returns the pixels of a value; a single row is merged with any others."""
        sizes = self.shapes[value][:-1]
        return tuple(
            range(1) if size == 1 else rows
            for size, rows in zip(sizes, box, strict=True)
        )

    def _work(self, steps: Sequence[_Step | None]) -> list[int]:
        work = [0] * len(steps)
        for value, operation, step in self._live(steps):
            work[value - len(self.program.channels)] = operation.multiply_adds(
                self._shape(operation.reads[0], step.reads[0]),
                self._shape(value, step.yields),
                self.program.weights_of(operation),
            )
        return work

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
        inputs = []
        for part, shape in zip(needed, self.shapes, strict=True):
            images = box[0] if shape[0] == self.shapes[-1][0] else range(1)
            inputs.append(part or (images, *[range(1)] * (len(shape) - 2)))
        return tuple(inputs[: len(self.program.channels)])

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
