"""How tests hold engines to Keras in float64; shared by operations and models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fcdcc_keras.programs import Operation, Program
from fcdcc_keras.worker.engines.base import Engine
from fcdcc_keras.worker.engines.light import LightEngine
from fcdcc_keras.worker.engines.numpy import NumPyEngine
from fcdcc_keras.worker.engines.tensorflow import TensorFlowEngine

ENGINES: tuple[Engine, ...] = (TensorFlowEngine(), NumPyEngine(), LightEngine())
COMPUTED = [
    (engine, dtype)
    for engine in ENGINES
    for dtype in ("float64", "float32")
    if (engine.name, dtype) != ("light", "float64")
]
"""Every engine with every type that it has."""
_FLOAT64 = 2e-15
"""Relative error in float64, of operations one after another."""


def numbers(
    rng: np.random.Generator, *shape: int, positive: bool = False
) -> np.ndarray:
    """Returns random numbers in float64 that float32 has, too."""
    drawn = rng.standard_normal(shape).astype(np.float32).astype(np.float64)
    return abs(drawn) + 0.5 if positive else drawn


def of(
    operation: Operation,
    inputs: Sequence[np.ndarray],
    weights: Sequence[np.ndarray] = (),
) -> Program:
    """Returns the program of one operation on some inputs."""
    return Program(
        tuple(x.shape[-1] for x in inputs),
        inputs[0].ndim - 2,
        (operation,),
        tuple(w.shape for w in weights),
        "float64",
    )


def check(
    program: Program,
    weights: Sequence[np.ndarray],
    inputs: Sequence[np.ndarray],
    expected: np.ndarray,
    terms: int = 1,
    steps: float = 1.0,
    of_keras: float = 0.0,
) -> None:
    """Checks what all engines compute, in both types.

    Args:
        program: The program, in float64.
        weights: Its weights, in float64.
        inputs: Its inputs, likewise.
        expected: What Keras gives in float64.
        terms: Products in the longest sum.
        steps: Operations that add errors, one after another.
        of_keras: Relative error of what Keras gives.
    """
    expected = np.asarray(expected)
    assert program.shapes([x.shape for x in inputs])[-1] == expected.shape
    for engine, dtype in COMPUTED:
        own = replace(program, dtype=dtype)
        assert engine.lacks(own) == []
        run = engine.prepare(own, [w.astype(dtype) for w in weights])
        found = run([x.astype(dtype) for x in inputs])
        assert found.dtype == dtype
        assert found.shape == expected.shape
        error = abs(found - expected).max() / abs(expected).max()
        each = _FLOAT64 if dtype == "float64" else engine.plain_error(dtype, terms)
        assert error <= steps * each + of_keras, (engine.name, dtype, error / each)
