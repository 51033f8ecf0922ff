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

MOST = 8
"""Workers that are measured: each but the first and the last has two neighbours."""
_FEW, MANY = 2, 8
"""Chains of a shorter and of a longer run."""
_ROWS, _WIDTH, _CHANNELS, _FIRST = 16, 28, 128, 4
"""Of the maps: rows of each worker, columns, channels; those of what the client sends
and is given, which would take longer than the rest over a slow link."""
_TALL = 3
"""Rows of kernels."""
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
    homes = executor.addresses[:MOST]
    if len(homes) < 2 or not executor.exchanges:
        return 0.0
    placements = {
        (reads, yields): executor.place(
            "calibration",
            partial(_for_each, (_kernel(reads, yields),)),
            wait=True,
            alike=True,
        )
        for reads, yields in (
            (_FIRST, _CHANNELS),
            (_CHANNELS,) * 2,
            (_CHANNELS, _FIRST),
        )
    }

    def seconds(chains: int) -> float:
        """Returns those of a run in which nobody computes."""
        widths = _widths(chains)
        cut, inputs = bands_of(chains, homes), _map(len(homes), _FIRST)
        name, placed = cut.chains[0].name, [placements[width] for width in widths]
        took, ends = list[float](), perf_counter() + _PATIENCE
        job = ExchangeJob(name, cut, placed, inputs, timeout=_PATIENCE)
        if not executor.rehearse(job, within=_PATIENCE):
            return math.nan
        while (sum(took) < least or len(took) < _RUNS) and perf_counter() < ends:
            job = ExchangeJob(name, cut, placed, inputs, timeout=_PATIENCE)
            began = perf_counter()
            collector = executor.run_exchange(job)
            if collector.complete:
                took.append(perf_counter() - began - _computed(collector))
            else:  # somebody was late this time
                sleep(_PAUSE)
        # At first connections are opened.
        return median(took[1:]) if took[1:] else math.nan

    try:
        few, many = seconds(_FEW), seconds(MANY)
    finally:
        for placement in placements.values():
            executor.release(placement)
    if math.isnan(many - few):
        return 0.0
    return seconds_of_a_halo((many - few) / (MANY - _FEW), len(homes))


def seconds_of_a_halo(seconds: float, workers: int) -> float:
    """Returns those for each halo that a worker gives and takes.

    Args:
        seconds: From chain to chain, in which nobody computed.
        workers: That were measured, up to ``MOST``.
    """
    return max(_LEAST, seconds / min(2, workers - 1))


def bands_of(chains: int, homes: Sequence[str]) -> CutRun:
    """Returns a run of some chains, cut into a band of rows for each worker."""
    return _cut(_widths(chains), homes)


def kernels_of(chains: int) -> list[tuple[int, ...]]:
    """Returns the shape of the kernel of each chain of such a run."""
    return [(_TALL, 1, *width) for width in _widths(chains)]


def _computed(collector: PieceCollector) -> float:
    """Returns the seconds that a usual worker computed."""
    return median(
        one.finished - one.started - one.waited
        for one in collector.records
        if one.finished is not None and one.started is not None
    )


def _kernel(reads: int, yields: int) -> np.ndarray:
    """Returns a kernel that leaves a map's numbers about as large as they are."""
    row = np.eye(reads, yields, dtype=np.float32).reshape(1, 1, reads, yields)
    return row.repeat(_TALL, axis=0) / _TALL


def _map(workers: int, channels: int) -> np.ndarray:
    return np.ones((1, _ROWS * workers, _WIDTH, channels), np.float32)


def _widths(chains: int) -> list[tuple[int, int]]:
    """Returns the channels that each chain reads and yields; few cross the client's."""
    between = [(_CHANNELS, _CHANNELS)] * (chains - 2)
    return [(_FIRST, _CHANNELS), *between, (_CHANNELS, _FIRST)]


def _cut(widths: Sequence[tuple[int, int]], homes: Sequence[str]) -> CutRun:
    """Returns chains of a convolution each, cut into bands of rows."""
    name, cut = f"calibration of exchanges, {len(widths)}", []
    operation = Convolution((0,), (0,), (1, 1), (1, 1), ((1, 1), (0, 0)))
    for reads, yields in widths:
        shape = _TALL, 1, reads, yields
        program = Program((reads,), 2, (operation,), (shape,))
        sized = SizedProgram(program, [_map(len(homes), reads).shape])
        boxes = bands(sized.shapes[-1], (1.0,) * len(homes), 1)
        parts = [(homes[worker], box) for worker, box in sorted(boxes.items())]
        cut.append(CutChain.of(name, sized, parts))
    return CutRun(cut)


def _for_each(
    arrays: tuple[np.ndarray, ...], slots: Sequence[int]
) -> list[tuple[np.ndarray, ...]]:
    return [arrays] * len(slots)
