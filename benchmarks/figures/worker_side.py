"""What peers run on workers: importable there without this process's models."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from fcdcc_keras.programs import Program
from fcdcc_keras.worker.engines.choice import engine_for, own_engine
from fcdcc_keras.worker.weights import Weights

_models: dict[str, Any] = {}
Subtask = tuple[Weights, np.ndarray, str]
"""Coded kernels, coded inputs and program of one layer."""
_subtasks: list[Subtask] = []


class Echo:
    """An actor that gives back what it gets."""

    def answer(self, array: np.ndarray) -> np.ndarray:
        """Returns the array."""
        return array


def seconds_of_convolution(share: Weights, coded: np.ndarray, program: str) -> float:
    """Returns the time of one subtask's convolution, nothing sent or received.

    Of one, as a layer has it: a second one right after it would find caches warm.
    """
    started = time.time()
    share.run(coded, program)
    return time.time() - started


def keep(subtasks: list[Subtask]) -> None:
    """Has this worker hold its part of every layer of a model."""
    _subtasks[:] = subtasks


def cpu_seconds() -> float:
    """Returns the time of all this process's threads for the subtasks that it holds."""
    start = time.process_time()
    for share, coded, program in _subtasks:
        share.run(coded, program)
    return time.process_time() - start


def build_model(key: str, config: str, weights: list[np.ndarray]) -> None:
    """Builds a whole model in this worker, under a key.

    Args:
        key: What ``predict_part`` finds it by.
        config: What its ``to_json`` gave.
        weights: What its ``get_weights`` gave.
    """
    import keras

    model = keras.models.model_from_json(config)
    model.set_weights(weights)
    _models[key] = model


def predict_part(images: np.ndarray, model_key: str) -> np.ndarray:
    """Returns the predictions of a model that the worker has for some images."""
    outputs: np.ndarray = _models[model_key].predict_on_batch(images)
    return outputs


class ComputeWhole:
    """A whole model as one program: prepared by a worker's own engine when used."""

    def __init__(self, program: Program, weights: list[np.ndarray]) -> None:
        self._program, self._weights = program, weights
        self._prepared: Any = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the model's outputs for some images."""
        if self._prepared is None:
            engine = engine_for(self._program, own_engine())
            self._prepared = engine.prepare(self._program, self._weights)
            self._weights = []  # the engine has them
        outputs: np.ndarray = self._prepared([images])
        return outputs
