"""How fast a worker computes, and gives others halos, for the doctor.

It has the worker run this, of our own package there.

Imports nothing of Keras, nor any engine but the worker's own.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean, median
from typing import Any

import numpy as np

from fcdcc_keras.dask_worker_internals import threads_of
from fcdcc_keras.doctor.programs import KINDS
from fcdcc_keras.execution.calibration.figures import Sized, tiny
from fcdcc_keras.programs import to_text
from fcdcc_keras.worker.exchange import Turn
from fcdcc_keras.worker.handler import exchanged
from fcdcc_keras.worker.stages import unpacked_stages
from fcdcc_keras.worker.weights import Weights, replied

_LEAST = 0.05
"""Seconds that each of the programs is run for, twice at least: on a weak board the
whole takes about a second."""


@dataclass(frozen=True)
class HaloPart:
    """What a worker has of an exchange."""

    name: str
    """Of the exchange; no other has it."""
    tile: int
    """Number of its tiles."""
    shape: tuple[int, ...]
    """Of what its first tile reads."""
    program: str
    """The text of that tile's."""
    kernels: tuple[tuple[int, ...], ...]
    """Shape of each chain's."""
    stages: bytes
    """What follows the first chain; see ``worker.stages``."""
    runs: int
    """Times that it is done; the first does not count, for connections are opened and
    programs made ready."""


async def measure(dask_worker: Any) -> bytes:
    """Returns a ``Speed`` as JSON; runs where the worker's tasks do."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(threads_of(dask_worker), _measured)
    return json.dumps(found).encode()


async def exchange(part: HaloPart, patience: float, dask_worker: Any) -> bytes:
    """Exchanges halos with other workers, who are to be asked at the same time.

    Args:
        part: What this worker has of it.
        patience: Seconds that it waits for the others, each time.
        dask_worker: The worker, which has our handlers.

    Returns:
        Seconds from chain to chain in which it did not compute, or the text of what
        went wrong, as JSON.
    """
    shapes, stages = set(part.kernels), unpacked_stages(part.stages)
    held = {shape: Weights(np.full(shape, 1e-3, np.float32)) for shape in shapes}
    weights = [held[shape] for shape in part.kernels]
    inputs = np.ones(part.shape, np.float32)
    first = lambda: inputs, part.shape, part.program
    found = []
    for run in range(part.runs):
        turn = Turn(f"{part.name}, {run}", part.tile, patience)
        reply, spans = await exchanged(dask_worker, turn, weights, first, stages)
        if reply.error:
            return json.dumps(reply.error).encode()
        # The first time they wait for whoever was asked last.
        between = [after - before for (_, before), (after, _) in pairwise(spans)][1:]
        found.append(mean(between))
    return json.dumps(median(found[1:])).encode()


def _measured() -> dict[str, Any]:
    engine, call = _time(tiny())
    pairs = [[_time(make(n))[1] for n in lengths] for make, *lengths in KINDS]
    return {"engine": engine, "call": call, "pairs": pairs}


def _time(sized: Sized) -> tuple[str, float]:
    """Returns what computes a program, and the least seconds that it takes."""
    program, shape = sized
    weights = Weights(*(np.full(each, 1e-3, np.float32) for each in program.weights))
    inputs, text = np.ones(shape, np.float32), to_text(program)
    best, began, runs = math.inf, 0.0, 0
    while runs < 3 or time.perf_counter() - began < _LEAST:
        start = time.perf_counter()
        reply = replied(weights, lambda: inputs, text)
        seconds = time.perf_counter() - start
        if reply.error:
            raise RuntimeError(reply.error)
        if runs:  # at first it is made ready
            best = min(best, seconds)
        else:
            began = time.perf_counter()
        runs += 1
    return reply.engine or "", best
