"""Small networks of well-known shapes, as programs, for cutting into tiles."""

from __future__ import annotations

from typing import Any

from fcdcc_keras import programs as p
from fcdcc_keras.programs import Operation
from tests.partition.programs_to_cut import Drawn, Sizes, with_numbers


class _Building:
    """A program while operations are added; values go by their numbers."""

    def __init__(self, *shapes: Sizes) -> None:
        self.inputs = shapes
        self.shapes = list(shapes)
        self.operations: list[Operation] = []
        self.weights: list[Sizes] = []

    def add(self, operation: Operation, *weights: Sizes) -> int:
        """Adds an operation; returns the number of what it yields."""
        self.weights += weights
        read = [self.shapes[number] for number in operation.reads]
        shape: Any = operation.infer(read, weights)
        self.operations.append(operation)
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def conv(
        self, x: int, filters: int, size: int, stride: int = 1, gap: int = 1
    ) -> int:
        """Adds a convolution that keeps the size, but for its stride, and a ReLU."""
        before = (size - 1) * gap // 2
        return self._conv(x, filters, size, stride, gap, before)

    def causal(self, x: int, filters: int, gap: int) -> int:
        """Adds one of two steps that sees none of the future."""
        return self._conv(x, filters, 2, 1, gap, gap)

    def _conv(
        self, x: int, filters: int, size: int, stride: int, gap: int, before: int
    ) -> int:
        *around, channels = self.shapes[x][1:]
        own = (len(self.weights),)
        pads = (before, (size - 1) * gap - before)
        steps = [(one,) * len(around) for one in (stride, gap, pads)]
        y = self.add(
            p.Convolution((x,), own, *steps),
            (*(size,) * len(around), channels, filters),
        )
        return self.add(p.Activation((y,), (), "leaky_relu"))

    def pool(self, x: int, size: int, stride: int, before: int = 0) -> int:
        """Adds the largest of each window."""
        steps = [(one,) * (len(self.shapes[x]) - 2) for one in (size, stride)]
        pads = ((before, before),) * len(steps[0])
        return self.add(p.MaxPool((x,), (), *steps, pads))

    def up(self, x: int, filters: int) -> int:
        """Adds a transposed convolution that doubles the size."""
        rank, channels = len(self.shapes[x]) - 2, self.shapes[x][-1]
        steps = [(one,) * rank for one in (2, 1, (0, 0))]
        kernel = (*(2,) * rank, filters, channels)
        return self.add(p.Transposed((x,), (len(self.weights),), *steps), kernel)

    def join(self, *values: int) -> int:
        """Adds a concatenation of channels."""
        return self.add(p.Concatenate(values))

    def plus(self, *values: int) -> int:
        """Adds an addition."""
        return self.add(p.Merge(values))

    def fitting(self, x: int, like: int) -> int:
        """Adds zeros after a value until it is as large as another."""
        sizes = zip(self.shapes[x][1:-1], self.shapes[like][1:-1], strict=True)
        pads = tuple((0, there - here) for here, there in sizes)
        return self.add(p.ZeroPad((x,), (), pads))

    def done(self) -> Drawn:
        """Returns the program with numbers."""
        return with_numbers(self.inputs, self.operations, self.weights)


def _plain() -> Drawn:
    b = _Building((2, 22, 17, 2))
    x = b.pool(b.conv(b.conv(0, 3, 3), 3, 3), 2, 2)
    b.pool(b.conv(b.conv(x, 3, 3), 3, 3), 3, 2, 1)
    return b.done()


def _residual() -> Drawn:
    b = _Building((2, 23, 19, 2))
    x = b.conv(0, 4, 7, 2)
    x = b.plus(b.conv(b.conv(b.conv(x, 2, 1), 2, 3), 4, 1), x)
    x = b.plus(b.conv(b.conv(x, 2, 3, 2), 5, 1), b.conv(x, 5, 1, 2))
    b.plus(b.conv(x, 5, 3), x)
    return b.done()


def _inception() -> Drawn:
    b = _Building((2, 15, 18, 3))
    for _ in range(2):
        x = len(b.shapes) - 1
        b.join(
            b.conv(x, 2, 1),
            b.conv(b.conv(x, 2, 1), 2, 3),
            b.conv(x, 1, 5),
            b.conv(b.pool(x, 3, 1, 1), 1, 1),
        )
    return b.done()


def _u_net() -> Drawn:
    b = _Building((2, 21, 26, 2))
    first = b.conv(0, 2, 3)
    second = b.conv(b.pool(first, 2, 2), 3, 3)
    deep = b.conv(b.pool(second, 2, 2), 4, 3)
    x = b.conv(b.join(second, b.fitting(b.up(deep, 3), second)), 3, 3)
    x = b.up(x, 2)
    cropped = b.add(p.Crop((first,), (), ((0, 1), (0, 0))))
    b.conv(b.join(cropped, x), 2, 3)
    return b.done()


def _wavenet() -> Drawn:
    b = _Building((3, 41, 2))
    x = 0
    for gap in (1, 2, 4, 8):
        x = b.plus(b.conv(b.causal(x, 3, gap), 2, 1), x)
    return b.done()


def _volume() -> Drawn:
    b = _Building((2, 7, 9, 8, 1))
    first = b.conv(0, 2, 3)
    x = b.conv(b.pool(first, 2, 2), 2, 3)
    b.plus(b.fitting(b.up(x, 2), first), first)
    return b.done()


def _two_inputs() -> Drawn:
    b = _Building((3, 12, 13, 2), (3, 6, 7, 2), (1, 1, 13, 2))
    x = b.conv(0, 2, 3, 2)
    x = b.plus(x, b.conv(1, 2, 3))
    x = b.add(p.Upsample((x,), (), (2, 2), "bilinear"))
    x = b.add(p.Crop((x,), (), ((0, 0), (1, 0))))
    b.add(p.Merge((x, 2), (), "multiply"))
    return b.done()


NETWORKS = {
    "plain": _plain,
    "residual": _residual,
    "inception": _inception,
    "u_net": _u_net,
    "wavenet": _wavenet,
    "volume": _volume,
    "two_inputs": _two_inputs,
}
