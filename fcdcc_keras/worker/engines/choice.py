"""Which engines a worker has, and which of them computes a program."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.programs import Program
from fcdcc_keras.worker.engines.base import Engine
from fcdcc_keras.worker.engines.light import LightEngine
from fcdcc_keras.worker.engines.numpy import NumPyEngine
from fcdcc_keras.worker.engines.tensorflow import TensorFlowEngine

ENGINE = "FCDCC_ENGINE"
"""Where a worker's process finds its own choice, in its environment."""
_NEEDS = {"light": "ai_edge_litert", "tensorflow": "tensorflow"}


def resolve(choice: str, gpu: bool = False) -> str:
    """Returns the engine that a choice comes to on this machine.

    Args:
        choice: "light", "tensorflow", or "auto":
            TensorFlow where a GPU is asked for, and otherwise the light one where that
            is installed.
        gpu: Whether one is asked for.

    Raises:
        ClusterError: It is not installed, or, of "auto", none is.
    """
    order = ("tensorflow", "light") if gpu else ("light", "tensorflow")
    names = order if choice == "auto" else (choice,)
    for name in names:
        if find_spec(_NEEDS[name]) is not None:
            return name
    raise ClusterError(
        f"A worker must have an engine that computes. Received: engine={choice!r}, for "
        f"which {' or '.join(_NEEDS[name] for name in names)} is not installed. "
        "Install it there: pip install 'fcdcc-keras[worker]' for the light engine, "
        "'fcdcc-keras[cpu]' for TensorFlow."
    )


@lru_cache(maxsize=1)
def own_engines() -> tuple[Engine, ...]:
    """Returns the engines of this worker's process, the one to be preferred first.

    NumPy computes what the light one lacks.
    """
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "") not in ("", "-1")
    if resolve(os.environ.get(ENGINE, "auto"), gpu) == "tensorflow":
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
