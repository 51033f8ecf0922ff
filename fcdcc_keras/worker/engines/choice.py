"""Which engines a worker has, and which of them computes a program."""

from __future__ import annotations

import os
from functools import lru_cache

from fcdcc_keras.programs import Program
from fcdcc_keras.worker.engines.base import Engine
from fcdcc_keras.worker.engines.light import LightEngine
from fcdcc_keras.worker.engines.numpy import NumPyEngine
from fcdcc_keras.worker.engines.tensorflow import TensorFlowEngine
from fcdcc_keras.worker.installed import ENGINE, resolve


@lru_cache(maxsize=1)
def own_engines() -> tuple[Engine, ...]:
    """Returns the engines of this worker's process, the one to be preferred first.

    NumPy computes what the light one lacks.
    """
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "") not in ("", "-1")
    if resolve(os.environ.get(ENGINE) or "auto", gpu) == "tensorflow":
        return (TensorFlowEngine(),)
    return LightEngine(), NumPyEngine()


def engine_for(program: Program) -> Engine:
    """Returns the engine of this worker that computes a program.

    Raises:
        PlanError: None has all that it needs.
    """
    engines = own_engines()
    for engine in engines:
        if not engine.lacks(program):
            return engine
    engines[-1].check(program)
    raise AssertionError("unreachable")
