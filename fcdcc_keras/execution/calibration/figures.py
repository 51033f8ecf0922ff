"""What measured times of small programs say of workers and links. Pure.

Each figure is of a difference: between a longer program and a shorter one of a kind,
larger maps and smaller ones, all workers at once and one alone. So what comes with
every call is in none of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fcdcc_keras.partition.boxes import SizedProgram, whole
from fcdcc_keras.planning.chains.operation_cost import EngineRates, OperationCosts
from fcdcc_keras.programs import (
    Convolution,
    GlobalAveragePool,
    MaxPool,
    Merge,
    Operation,
    Program,
    Upsample,
)

CHANNELS = 128
"""Of the maps that are convolved."""
_SIDE = 28
"""Of these maps."""
_BALLAST = 4
"""Convolutions of such maps: ten milliseconds and more."""
WIDTH = 256
"""Of the maps that are sent."""
_FEW = 16
"""Channels of other maps."""
_SMALLEST, _FASTEST = 1e-9, 1e15
_STEPS = 100
_MEMORY = 2e10
"""Bytes per second of memory, which no way to a worker exceeds; where they share it,
what a transfer takes is lost in what the rest takes."""
_OWN_LINK = 1.5
"""Times as long as over the client's link, from which on a worker's own is slower."""
_UNITS = (
    EngineRates(operation=1.0),
    EngineRates(memory_rate=1.0),
    EngineRates(kernel_rate=1.0),
    EngineRates(rate=1.0),
)
"""Each leaves but one kind of cost, as planned by."""

Sized = tuple[Program, tuple[int, int, int, int]]
"""A program, and the shape of the one image that it reads."""


def convolutions(many: int) -> Sized:
    """Returns a chain of convolutions of maps."""
    return _chain([_convolution(n) for n in range(many)], (_SIDE, _SIDE))


def additions(many: int) -> Sized:
    """Returns a chain of additions of maps that no cache holds."""
    larger = Upsample((0,), (), (384, 384))
    chain = [Merge((n, 1), (), "add") for n in range(1, many + 1)]
    pool = GlobalAveragePool((many + 1,), (), True)
    return Program((_FEW,), 2, (larger, *chain, pool)), (1, 1, 1, _FEW)


def small_additions(many: int) -> Sized:
    """Returns a chain of additions that are hardly any."""
    first = _ballast()
    n = len(first)
    more = [Merge((m, n), (), "add") for m in range(n, n + many)]
    return _chain([*first, *more], (_SIDE, _SIDE))


def tiny() -> Sized:
    """Returns a program that hardly computes anything."""
    return upload(1)


def upload(rows: int) -> Sized:
    """Returns a program that reads a map and yields hardly anything."""
    mean = GlobalAveragePool((0,), (), True)
    return Program((_FEW,), 2, (mean,)), (1, rows, WIDTH, _FEW)


def download(rows: int) -> Sized:
    """Returns a program that reads hardly anything and yields a map."""
    larger = Upsample((0,), (), (rows, WIDTH))
    return Program((_FEW,), 2, (larger,)), (1, 1, 1, _FEW)


def map_bytes(rows: int) -> int:
    """Returns the bytes of a map that is sent."""
    return rows * WIDTH * _FEW * 4


def _ballast() -> list[Operation]:
    """Returns what takes so long that what comes after it has no head start."""
    most = MaxPool((_BALLAST,), (), (14, 14), (14, 14), ((0, 0), (0, 0)))
    return [*map(_convolution, range(_BALLAST)), most]


def _convolution(reads: int) -> Operation:
    return Convolution((reads,), (0,), (1, 1), (1, 1), ((1, 1), (1, 1)))


def _chain(chain: Sequence[Operation], size: tuple[int, int]) -> Sized:
    kernel = (3, 3, CHANNELS, CHANNELS)
    mean = GlobalAveragePool((len(chain),), (), True)
    return Program((CHANNELS,), 2, (*chain, mean), (kernel,)), (1, *size, CHANNELS)


def costs(sized: Sized) -> tuple[float, ...]:
    """Returns a program's operations, bytes moved, bytes of kernel, multiply-adds."""
    program, shape = sized
    boxes = SizedProgram(program, [shape])
    box = whole(boxes.shapes[-1])
    needed, work = boxes.needed(box), boxes.work(box)
    of = OperationCosts(program, boxes.shapes)
    return tuple(sum(of.seconds(needed, work, unit)) for unit in _UNITS)


@dataclass(frozen=True)
class Timed:
    """A program, and how long it took."""

    costs: tuple[float, ...]
    seconds: float
    """Of a usual worker, by its own clock."""


_WORK = 0.5
"""Least part of a long convolution's time that is multiply-adds."""


@dataclass(frozen=True)
class Computing:
    """What a worker can do; ``Calibration`` says what the numbers mean."""

    rate: float
    kernel_rate: float
    memory_rate: float
    operation: float
    head_start: float


def computing(
    pairs: Sequence[tuple[Timed, Timed]], call: float, kernel_byte: float
) -> Computing:
    """Returns what programs tell of who computed them.

    Args:
        pairs: A shorter and a longer program of each kind: of small additions,
            additions, convolutions.
        call: Seconds of one that computes hardly anything.
        kernel_byte: Multiply-adds that take as long as reading a byte of a kernel that
            no cache holds. Such a kernel would have to be sent to each worker first.
    """
    timed = [[_of_work(one, kernel_byte) for one in pair] for pair in pairs]
    further = [np.subtract(longer.costs, shorter.costs) for shorter, longer in timed]
    seconds = [longer.seconds - shorter.seconds for shorter, longer in timed]
    prices = prices_of([tuple(row) for row in further], seconds)
    gained = []  # of which the least is no noise
    for shorter, _ in timed:
        steady = float(np.dot(shorter.costs, prices))
        gained.append(min(steady, steady + call - shorter.seconds))
    operation, memory, work = prices
    _, longest = timed[-1]
    # Noise must not make all of a long convolution what is beside it.
    work = max(work, _WORK * longest.seconds / longest.costs[-1], 1 / _FASTEST)
    return Computing(
        1 / work,
        1 / (work * kernel_byte) if kernel_byte else math.inf,
        1 / memory if memory else math.inf,
        operation,
        max(0.0, min(gained)),
    )


def _of_work(timed: Timed, kernel_byte: float) -> Timed:
    """Returns a program whose kernels are counted as multiply-adds."""
    operations, moved, kernels, work = timed.costs
    return Timed((operations, moved, work + kernels * kernel_byte), timed.seconds)


@dataclass(frozen=True)
class Sent:
    """How long maps of a size took on their way, one for each worker."""

    nbytes: int
    """Of each."""
    to_all: float
    """Seconds until all were there."""
    to_one: float
    """Seconds of one alone."""


def links(ways: Sequence[tuple[Sent, Sent]], workers: int) -> tuple[float, float]:
    """Returns bytes per second of the client's link, and of each worker's own.

    The slower way counts. A worker's own is infinite where it is no slower: a byte to
    one alone takes as long as one of those to all.

    Args:
        ways: Smaller and larger maps, each way.
        workers: n.
    """
    together, each = 1 / _MEMORY, 0.0
    for smaller, larger in ways:
        more = larger.nbytes - smaller.nbytes
        one = (larger.to_one - smaller.to_one) / more
        everyone = (larger.to_all - smaller.to_all) / more
        # What is done for a map before and after it is on its way is in both.
        way = one if workers == 1 else (everyone - one) / (workers - 1)
        together, each = max(together, way), max(each, one)
    return 1 / together, 1 / each if each > _OWN_LINK * together else math.inf


def round_trip(
    to_all: float, to_one: float, call: float, workers: int
) -> tuple[float, float]:
    """Returns seconds of a round trip, and of the client for each worker.

    Args:
        to_all: Seconds of tiles that are hardly any, one for each worker.
        to_one: Seconds of a single one.
        call: Seconds of it that the worker computes.
        workers: n.
    """
    trip = max(to_one - call, _SMALLEST)
    message = 0.0
    if workers > 1:
        # Noise must not make all of a round trip the client's own.
        message = min(max(0.0, (to_all - to_one) / (workers - 1)), trip / 2)
    return trip - message, message


def prices_of(
    costs: Sequence[Sequence[float]], seconds: Sequence[float]
) -> tuple[float, ...]:
    """Returns the price of each kind of cost, none negative.

    Each comes from the program that it is most of, less what the others are of that:
    so what is wrong with one time hardly touches the other prices.

    Args:
        costs: A square of numbers: in each row, the diagonal is of what costs most.
        seconds: Of each row.

    Returns:
        Seconds for each kind of cost.
    """
    prices = np.zeros(len(seconds))
    for _ in range(_STEPS):
        for kind, (row, took) in enumerate(zip(costs, seconds, strict=True)):
            others = float(np.dot(row, prices)) - row[kind] * prices[kind]
            prices[kind] = max(0.0, (took - others) / row[kind])
    return tuple(map(float, prices))
