"""How fast a worker computes: what the doctor has it run, of our own package there.

Imports nothing of Keras, nor any engine but the worker's own.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from typing import Any

import numpy as np

from fcdcc_keras.dask_worker_internals import threads_of
from fcdcc_keras.doctor.programs import KINDS
from fcdcc_keras.execution.calibration.figures import Sized, tiny
from fcdcc_keras.programs import to_text
from fcdcc_keras.worker.weights import Weights, replied

_LEAST = 0.05
"""Seconds that each of the programs is run for, twice at least: on a weak board the
whole takes about a second."""


async def measure(dask_worker: Any) -> bytes:
    """Returns a ``Speed`` as JSON; runs where the worker's tasks do."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(threads_of(dask_worker), _measured)
    return json.dumps(found).encode()


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
