"""Measuring what it takes workers to give each other halos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from statistics import median
from time import perf_counter, sleep

import numpy as np

from fcdcc_keras.coding.exchange import CutRun, ExchangeJob
from fcdcc_keras.coding.tiles import CutChain
from fcdcc_keras.dispatch.pieces import PieceCollector
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.partition.boxes import SizedProgram
from fcdcc_keras.partition.tiling import bands
from fcdcc_keras.programs import Convolution, Program

_MOST = 8
"""Workers that are measured: each but the first and the last has two neighbours."""
_FEW, _MANY = 2, 8
"""Chains of a shorter and of a longer run."""
_ROWS, _WIDTH, _CHANNELS = 16, 28, 128
"""Of the map: rows of each worker, columns, channels."""
_PATIENCE = 10.0
"""Seconds that workers get for a run, and all runs of a kind."""
_RUNS = 4
"""Runs of a kind, at least; the first does not count."""
_PAUSE = 0.01
_LEAST = 1e-6
"""Seconds; 0 would say that nothing is exchanged."""


def exchanging(executor: Executor, least: float) -> float:
    """Returns the seconds of a worker for each halo that it gives and takes.

    That the slowest is waited for at each boundary is part of it. Of a longer run over
    a shorter one, less what the workers compute.

    Args:
        executor: The workers.
        least: Seconds for which each run is repeated.

    Returns:
        0 where workers exchange nothing, or do not reach each other.
    """
    homes = executor.addresses[:_MOST]
    if len(homes) < 2 or not executor.exchanges:
        return 0.0
    size = _CHANNELS, _CHANNELS
    kernel = np.eye(_CHANNELS, dtype=np.float32).reshape(1, 1, *size).repeat(3, axis=0)
    placement = executor.place(
        "calibration", partial(_for_each, (kernel / 3,)), wait=True, alike=True
    )

    def seconds(chains: int) -> float:
        """Returns those of a run in which nobody computes."""
        cut, inputs = _cut(chains, homes, kernel.shape), _map(len(homes))
        name, placements = cut.chains[0].name, [placement] * chains
        took, ends = list[float](), perf_counter() + _PATIENCE
        while (sum(took) < least or len(took) < _RUNS) and perf_counter() < ends:
            job = ExchangeJob(name, cut, placements, inputs, timeout=_PATIENCE)
            began = perf_counter()
            collector = executor.run_exchange(job)
            if collector.complete:
                took.append(perf_counter() - began - _computed(collector))
            else:  # somebody was late this time
                sleep(_PAUSE)
        # At first connections are opened, and programs made ready.
        return median(took[1:]) if took[1:] else math.nan

    try:
        few, many = seconds(_FEW), seconds(_MANY)
    finally:
        executor.release(placement)
    halos = (_MANY - _FEW) * min(2, len(homes) - 1)
    return 0.0 if math.isnan(many - few) else max(_LEAST, (many - few) / halos)


def _computed(collector: PieceCollector) -> float:
    """Returns the seconds that a usual worker computed."""
    return median(
        one.finished - one.started - one.waited
        for one in collector.records
        if one.finished is not None and one.started is not None
    )


def _map(workers: int) -> np.ndarray:
    return np.ones((1, _ROWS * workers, _WIDTH, _CHANNELS), np.float32)


def _cut(chains: int, homes: Sequence[str], kernel: tuple[int, ...]) -> CutRun:
    """Returns chains of a convolution each, cut into bands of rows."""
    pads = ((1, 1), (0, 0))
    program = Program(
        (_CHANNELS,), 2, (Convolution((0,), (0,), (1, 1), (1, 1), pads),), (kernel,)
    )
    sized = SizedProgram(program, [_map(len(homes)).shape])
    boxes = bands(sized.shapes[-1], (1.0,) * len(homes), 1)
    parts = [(homes[worker], box) for worker, box in sorted(boxes.items())]
    name = f"calibration of exchanges, {chains}"
    return CutRun([CutChain.of(name, sized, parts)] * chains)


def _for_each(
    arrays: tuple[np.ndarray, ...], slots: Sequence[int]
) -> list[tuple[np.ndarray, ...]]:
    return [arrays] * len(slots)
