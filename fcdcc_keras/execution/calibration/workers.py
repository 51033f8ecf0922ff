"""Measuring workers and links, with small programs that all workers run at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean, median
from time import perf_counter

import numpy as np

from fcdcc_keras.coding.job import Placement
from fcdcc_keras.coding.tiles import CutChain, TileJob
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.execution.calibration.client import sustained
from fcdcc_keras.execution.calibration.exchanging import exchanging
from fcdcc_keras.execution.calibration.figures import (
    Computing,
    Sent,
    Sized,
    Timed,
    additions,
    computing,
    convolutions,
    costs,
    download,
    links,
    map_bytes,
    round_trip,
    small_additions,
    tiny,
    upload,
)
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.partition.boxes import SizedProgram, whole

LONG = 0.15
"""Seconds that a long program takes: longer than what a pause gives."""
_SHORTER = 4
"""Times that the shorter one of a pair is."""
_PATIENCE = 10.0
"""Seconds that workers get for a program."""
_KINDS = (
    # How chains are made, and how many a long one has at least and at most.
    (small_additions, 512, 512),
    (additions, 4, 64),
    (convolutions, 4, 64),
)
_MOST_ROWS = 512
"""Of the map that is sent: 8 MiB."""


@dataclass(frozen=True)
class WorkerSpeed:
    """What workers and links can do; ``Calibration`` says what the numbers mean."""

    latency: float
    message: float
    bandwidth: float
    worker_bandwidth: float
    call: float
    computing: Computing
    exchange: float
    seconds: Mapping[int, float]
    """That each worker took for a long program, by its number."""


def workers_speed(executor: Executor, kernel_byte: float) -> WorkerSpeed:
    """Measures workers, all at once, and their links.

    Args:
        executor: The workers.
        kernel_byte: As for ``computing``.

    Raises:
        ClusterError: Too few answered.
    """
    n, tiles = executor.workers, _Tiles(executor)
    try:
        every, one = tiles.run(tiny()), tiles.run(tiny(), alone=True)
        call = every.compute
        latency, message = round_trip(every.wall, one.wall, call, n)
        ways = [_transfers(tiles, way) for way in (upload, download)]
        chains = [_chains(tiles, *kind) for kind in _KINDS]
        bandwidth, own = links(ways, n)
        found = computing([pair for pair, _ in chains], call, kernel_byte)
        exchange, seconds = exchanging(executor, 2 * LONG), chains[-1][1]
        return WorkerSpeed(
            latency, message, bandwidth, own, call, found, exchange, seconds
        )
    finally:
        tiles.close()


def dispatching(executor: Executor) -> float:
    """Returns the seconds that the client takes for a tile that is hardly any.

    Args:
        executor: Whatever computes it.

    Raises:
        ClusterError: It did not answer.
    """
    tiles = _Tiles(executor)
    try:
        return tiles.run(tiny(), alone=True).wall
    finally:
        tiles.close()


def _transfers(tiles: _Tiles, way: Callable[[int], Sized]) -> tuple[Sent, Sent]:
    """Measures maps on their way to or from workers, of two sizes."""
    rows = _SHORTER
    while rows < _MOST_ROWS:
        least = tiles.run(way(rows), often=False).least
        if least >= LONG:
            break
        rows *= _more(least)

    def sent(rows: int) -> Sent:
        sized = way(rows)
        every, one = tiles.run(sized), tiles.run(sized, alone=True)
        return Sent(map_bytes(rows), every.away, one.away)

    return sent(rows // _SHORTER), sent(rows)


def _more(seconds: float) -> int:
    """Returns how many times as much is to be tried next."""
    return 4 if 4 * seconds < LONG else 2


def _chains(
    tiles: _Tiles, make: Callable[[int], Sized], many: int, most: int
) -> tuple[tuple[Timed, Timed], Mapping[int, float]]:
    """Measures a shorter and a longer chain; returns each worker's times as well."""
    while many < most:
        least = min(tiles.run(make(many), often=False).seconds.values())
        if least >= LONG:
            break
        many *= _more(least)
    shorter, longer = (tiles.run(make(n)) for n in (many // _SHORTER, many))
    both = (
        Timed(costs(make(many // _SHORTER)), shorter.compute),
        Timed(costs(make(many)), longer.compute),
    )
    return both, longer.seconds


@dataclass(frozen=True)
class _Run:
    """What is known of a program that was run several times."""

    wall: float
    """Seconds of all."""
    least: float
    """Seconds of the quickest run."""
    encode: float
    """Seconds of cutting the inputs."""
    seconds: Mapping[int, float]
    """Seconds that each worker computed, by its number. All are means."""

    @property
    def compute(self) -> float:
        """Seconds that a usual worker computed."""
        return median(self.seconds.values())

    @property
    def away(self) -> float:
        """Seconds that neither the client nor a worker was at work."""
        return self.wall - self.encode - self.compute


class _Tiles:
    """Runs programs as tiles, an image for each worker."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._placed: dict[tuple[tuple[int, ...], ...], Placement] = {}

    def run(self, sized: Sized, *, alone: bool = False, often: bool = True) -> _Run:
        """Runs a program.

        Args:
            sized: The program.
            alone: Whether one worker has it, not each.
            often: Whether it is run for long; else a few times, to learn how long
                it takes at least.

        Raises:
            ClusterError: Too few answered.
        """
        program, (_, *size) = sized
        homes = self._executor.addresses[: 1 if alone else None]
        shape = len(homes), *size
        boxes = SizedProgram(program, [shape])
        _, *rest = whole(boxes.shapes[-1])
        parts = [
            (home, (range(image, image + 1), *rest)) for image, home in enumerate(homes)
        ]
        # Of its own for each program: what is usual of one is late for another.
        name = f"calibration {hash((program, shape))}"
        chain = CutChain.of(name, boxes, parts)
        placement, inputs = self._place(program.weights), np.ones(shape, np.float32)
        took: list[dict[int, float]] = []
        encode: list[float] = []
        walls: list[float] = []

        def run() -> None:
            began = perf_counter()
            job = TileJob(name, [chain], [placement], inputs, timeout=_PATIENCE)
            collector = self._executor.run_tiles(job)
            if not collector.complete:
                raise ClusterError(
                    "Calibration needs workers that answer. Received: "
                    f"{len(parts) - len(collector.missing)} of {len(parts)} answers "
                    f"within {_PATIENCE:g} s. Look after the workers, or leave "
                    "`objective` at 'price'."
                )
            took.append(
                {
                    one.worker: one.finished - one.started
                    for one in collector.records
                    if one.finished is not None and one.started is not None
                }
            )
            encode.append(job.encode_time)
            walls.append(perf_counter() - began)

        run()  # programs are made ready at first
        wall = sustained(run, 0.0, 2 * LONG if often else 0.0)
        first, *later = took
        seconds = {
            # Who is much slower is given no more when others do it sooner.
            worker: mean([r[worker] for r in later if worker in r] or [first[worker]])
            for worker in sorted(set(first).union(*later))
        }
        return _Run(wall, min(walls[1:]), mean(encode[1:]), seconds)

    def close(self) -> None:
        """Frees what workers hold."""
        for placement in self._placed.values():
            self._executor.release(placement)

    def _place(self, weights: tuple[tuple[int, ...], ...]) -> Placement:
        if weights not in self._placed:
            arrays = tuple(map(_kernel, weights))
            self._placed[weights] = self._executor.place(
                "calibration", partial(_for_each, arrays), wait=True, alike=True
            )
        return self._placed[weights]


def _kernel(shape: tuple[int, ...]) -> np.ndarray:
    """Returns a kernel that leaves a map's numbers about as large as they are."""
    *size, channels, filters = shape
    kernel = np.random.default_rng(0).normal(size=shape) / 1000
    kernel[tuple(n // 2 for n in size)] = np.roll(np.eye(channels, filters), 1, 0)
    return kernel.astype(np.float32)


def _for_each(
    arrays: tuple[np.ndarray, ...], slots: Sequence[int]
) -> list[tuple[np.ndarray, ...]]:
    return [arrays] * len(slots)
