"""Which engines a worker has, and which of them computes a program."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache

from fcdcc_keras.dask_worker_internals import threads_of_this_worker
from fcdcc_keras.programs import Program
from fcdcc_keras.worker.cores import cores
from fcdcc_keras.worker.engines.base import Engine
from fcdcc_keras.worker.engines.light import LightEngine
from fcdcc_keras.worker.engines.numpy import NumPyEngine
from fcdcc_keras.worker.engines.tensorflow import TensorFlowEngine
from fcdcc_keras.worker.installed import ENGINE, is_installed, resolve

_ENGINES: Mapping[str, tuple[Engine, ...]] = {
    "tensorflow": (TensorFlowEngine(),),
    "light": (LightEngine(), NumPyEngine()),
    "numpy": (NumPyEngine(),),
}
"""What a worker of an engine computes by, the one to be preferred first; the last of
each lacks nothing."""
NAMES = tuple(_ENGINES)


@lru_cache(maxsize=1)
def own_engine() -> str:
    """Returns the name of this worker's engine.

    Raises:
        ClusterError: It has none.
    """
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "") not in ("", "-1")
    return resolve(os.environ.get(ENGINE) or "auto", gpu)


def engine_for(program: Program, name: str) -> Engine:
    """Returns what computes a program on a worker of an engine."""
    return next(engine for engine in _ENGINES[name] if not engine.lacks(program))


def client_engine(program: Program) -> Engine:
    """Returns what computes a program in a client: the light engine where it can."""
    light, *_ = _ENGINES["light"]
    if is_installed("light") and not light.lacks(program):
        return light
    return engine_for(program, "tensorflow")


def client_threads() -> int:
    """Returns how many threads a client's engine may use: a core each.

    In a Dask task as many as its worker has.
    """
    return threads_of_this_worker() or cores()
