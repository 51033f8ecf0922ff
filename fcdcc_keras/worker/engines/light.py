"""Programs by LiteRT: float32 on CPUs, in a tenth of TensorFlow's memory.

Importable without it; it is loaded when a program is prepared.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from fcdcc_keras.programs import Program
from fcdcc_keras.worker.engines.base import Engine, Prepared, Recent
from fcdcc_keras.worker.engines.folding import fold
from fcdcc_keras.worker.engines.light_model import depends_on_sizes, model_of

Sizes = tuple[int, ...]
_MODELS = 8
"""Models that are kept of a program that needs one for each shape of its inputs."""
_LARGEST = 2**31 - 2**20
"""Bytes of weights that a model can have."""


class LightEngine(Engine):
    """Computes float32 on CPUs."""

    name: ClassVar[str] = "light"

    def lacks(self, program: Program) -> list[str]:
        """Returns what LiteRT has not."""
        lacking = []
        if program.dtype != "float32":
            lacking.append(f"the type {program.dtype}")
        if program.weight_bytes > _LARGEST:
            lacking.append("more than 2 GB of weights")
        return lacking

    def prepare(
        self, program: Program, weights: Sequence[np.ndarray], threads: int = 1
    ) -> Prepared:
        """Returns a program ready to run; see ``Engine.prepare``.

        Each thread that runs it while others do has an interpreter of its own, with
        weights of its own.
        """
        self.check(program)
        return _Prepared(program, weights, threads)


class _Prepared(Prepared):
    def __init__(
        self, program: Program, weights: Sequence[np.ndarray], threads: int
    ) -> None:
        super().__init__(program, weights)
        self._lowered, self._weights = fold(self._lowered, self._weights)
        self._threads = threads
        self._fixed = depends_on_sizes(self._lowered)
        self._interpreters = Recent[_Interpreters](_MODELS if self._fixed else 1)

    def _run(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        shapes = [array.shape for array in arrays]
        key = tuple(shapes) if self._fixed else ()
        interpreters = self._interpreters.get(key, lambda: self._made(shapes))
        with interpreters.one() as interpreter:
            return _invoke(interpreter, arrays)

    def _made(self, shapes: Sequence[Sizes]) -> _Interpreters:
        model = model_of(self._lowered, self._weights, shapes)
        if not self._fixed:
            self._weights = []  # the model has them
        return _Interpreters(model, self._threads)


class _Interpreters:
    """Those of one model: as many as have run at once."""

    def __init__(self, model: bytes, threads: int) -> None:
        self._model = model
        self._threads = threads
        self._idle: list[Any] = []
        self._lock = Lock()

    @contextmanager
    def one(self) -> Iterator[Any]:
        """Gives an interpreter to this thread alone."""
        with self._lock:
            interpreter = self._idle.pop() if self._idle else None
        if interpreter is None:
            interpreter = self._make()
        yield interpreter  # one that failed is not used again
        with self._lock:
            self._idle.append(interpreter)

    def _make(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        with _quietly():
            interpreter = Interpreter(
                model_content=self._model, num_threads=self._threads
            )
            interpreter.allocate_tensors()
        return interpreter


_first = Lock()


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps from the user what LiteRT says of its first interpreter in a process.

    It writes a line of information to standard error itself, whatever it is told.
    """
    if not _first.acquire(blocking=False):  # never given back
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _invoke(interpreter: Any, arrays: Sequence[np.ndarray]) -> np.ndarray:
    details = interpreter.get_input_details()
    resized = False
    for detail, array in zip(details, arrays, strict=True):
        if tuple(detail["shape"]) != array.shape:
            interpreter.resize_tensor_input(detail["index"], array.shape)
            resized = True
    if resized:
        interpreter.allocate_tensors()
    for detail, array in zip(details, arrays, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    output: np.ndarray = interpreter.get_tensor(
        interpreter.get_output_details()[0]["index"]
    )
    return output
