"""Stretches and calibrations to plan, and what any chain asks for."""

from __future__ import annotations

import random

import numpy as np

from fcdcc_keras.partition.boxes import SizedProgram, whole
from fcdcc_keras.partition.stretch import Stretch, crossings
from fcdcc_keras.planning import Calibration
from fcdcc_keras.programs import (
    Activation,
    BatchNormalization,
    Convolution,
    Dense,
    GlobalAveragePool,
    MaxPool,
    Merge,
    Program,
)


def stretch_of(program: Program, size: tuple[int, ...]) -> Stretch:
    """A stretch that may be cut wherever its program may."""
    ends = tuple((f"layer{value}", value) for value in crossings(program))
    return Stretch("", "input", program, size, ends)


def network(seed: int, *, head: bool = False) -> Stretch:
    """A few convolutions with what stands between them, and a fork now and then."""
    rng = random.Random(seed)
    operations, weights, channels = [], [], 3
    last, size = 0, 24

    def add(operation, *shapes):
        nonlocal last
        operations.append(operation)
        weights.extend(shapes)
        last = len(operations)

    def convolution(read, given, filters, kernel):
        pads = ((kernel // 2,) * 2,) * 2
        number = len(weights)
        shape = (kernel, kernel, given, filters)
        add(Convolution((read,), (number,), (1, 1), (1, 1), pads), shape)

    for _ in range(rng.randint(2, 3)):
        filters = rng.choice((4, 16, 64))
        convolution(last, channels, filters, rng.choice((1, 3, 5)))
        channels = filters
        kind = rng.randrange(4)
        if kind == 0:
            add(Activation((last,), (), "relu"))
        elif kind == 1:
            own = range(len(weights), len(weights) + 4)
            add(BatchNormalization((last,), tuple(own), 1e-3), *[(channels,)] * 4)
        elif kind == 2:
            entry = last
            convolution(last, channels, channels, 3)
            add(Merge((last, entry), (), "add"))
        elif size >= 12:
            size //= 2
            add(MaxPool((last,), (), (2, 2), (2, 2), ((0, 0), (0, 0))))
    if head:
        add(GlobalAveragePool((last,), (), False))
        add(Dense((last,), (len(weights),)), (channels, 5))
    return stretch_of(Program((3,), 2, tuple(operations), tuple(weights)), (24, 24))


def deep(convolutions: int = 5, *, head: bool = False) -> Stretch:
    """Convolutions of much work, 32×32×64, with a mean and a product at the end."""
    pads = ((1, 1), (1, 1))
    operations = [
        Convolution((number,), (number,), (1, 1), (1, 1), pads)
        for number in range(convolutions)
    ]
    weights = [(3, 3, 64, 64)] * convolutions
    if head:
        operations.append(GlobalAveragePool((convolutions,), (), False))
        operations.append(Dense((convolutions + 1,), (convolutions,)))
        weights.append((64, 10))
    return stretch_of(Program((64,), 2, tuple(operations), tuple(weights)), (32, 32))


def calibration(seed: int, **figures: float) -> Calibration:
    """Some cluster whose link and workers are fast or slow."""
    rng = np.random.default_rng(seed)

    def about(figure: float) -> float:
        return float(figure * 10 ** rng.uniform(-1, 1))

    own = {
        "latency": about(1e-4),
        "bandwidth": about(5e7),
        "worker_rate": about(3e9),
        "client_rate": about(3e9),
        "coding_rate": about(1e9),
        "worker_bandwidth": about(2e8),
        "message": about(2e-5),
        "worker_memory_rate": about(1e9),
        "client_memory_rate": about(1e9),
        "engine_rate": about(3e9),
        "client_operation": about(1e-5),
    }
    return Calibration(**{**own, **figures})


def sized(stretch: Stretch, after: str | None, to: str) -> SizedProgram:
    """A chain of a stretch, of one image."""
    shapes = SizedProgram(stretch.program, [stretch.shape(1)]).shapes
    value = 0 if after is None else dict(stretch.ends)[after]
    return SizedProgram(stretch.chain(after, to).program, [shapes[value]])


def all_of(program: SizedProgram):
    """All of its output."""
    return whole(program.shapes[-1])
