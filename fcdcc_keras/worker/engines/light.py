"""Programs by LiteRT: float32 on CPUs, in a tenth of TensorFlow's memory.

Importable without it; it is loaded when a program is prepared.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Lock
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import numpy as np

from fcdcc_keras.programs import Pair, Program
from fcdcc_keras.worker.engines.base import Engine, Prepared, Recent, lifted_shape
from fcdcc_keras.worker.engines.folding import fold
from fcdcc_keras.worker.engines.light_model import depends_on_sizes, model_of
from fcdcc_keras.worker.engines.lowering import lower
from fcdcc_keras.worker.engines.sections import Framed, Section, cut

Sizes = tuple[int, ...]
_MODELS = 8
"""Models that are kept of a section that needs one for each shape of its inputs."""
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
        self,
        program: Program,
        weights: Sequence[np.ndarray],
        threads: int = 1,
        sibling: Prepared | None = None,
    ) -> Prepared:
        """Returns a program ready to run; see ``Engine.prepare``.

        Each thread that runs it while others do has interpreters of its own, with
        weights of their own.
        """
        self.check(program)
        return _Prepared(program, weights, threads, sibling)


class _Prepared(Prepared):
    def __init__(
        self,
        program: Program,
        weights: Sequence[np.ndarray],
        threads: int,
        sibling: Prepared | None,
    ) -> None:
        super().__init__(program, weights)
        shared = sibling._shared if isinstance(sibling, _Prepared) else None
        if shared is None or not shared.are(weights, threads):
            shared = _Shared(weights, threads)
        self._shared: _Shared = shared
        # Kernels are where the models have them as soon as it has run.
        self.weights = shared.weights
        self._whole = Recent[tuple[list[tuple[Section, _Runner]], Framed]](1)

    def _cut(
        self, shapes: Sequence[Sizes]
    ) -> tuple[list[tuple[Section, _Runner]], Framed]:
        whole = cut(self.program, shapes)
        runners = [(one, self._shared.runner(one)) for one in whole.sections]
        return runners, whole.output

    def _run(self, arrays: Sequence[np.ndarray], shapes: Sequence[Sizes]) -> np.ndarray:
        with ExitStack() as lent:
            return self._through(arrays, shapes, lent)

    def _through(
        self, arrays: Sequence[np.ndarray], shapes: Sequence[Sizes], lent: ExitStack
    ) -> np.ndarray:
        """Returns the output; of no interpreter that was lent is anything left then."""
        sections, output = self._whole.get((), lambda: self._cut(shapes))
        values = dict(enumerate(arrays))
        for section, runner in sections:
            given = [part.shape(shapes[part.value]) for part in section.inputs]
            interpreter = lent.enter_context(runner.one(given))
            for number, (part, shape) in enumerate(
                zip(section.inputs, given, strict=True)
            ):
                target = interpreter.input(number).reshape(shape)
                _fill(target, part.of(values[part.value]), part.pads)
                del target  # or it does not run
            interpreter.invoke()
            for number, value in enumerate(section.yields):
                values[value] = interpreter.output(number).reshape(shapes[value])
        return np.array(output.of(values[output.value]))


class _Shared:
    """What programs have in common that were prepared with the same weights."""

    def __init__(self, weights: Sequence[np.ndarray], threads: int) -> None:
        self.weights = list(weights)
        self._threads = threads
        self._runners: WeakValueDictionary[Any, _Runner] = WeakValueDictionary()

    def are(self, weights: Sequence[np.ndarray], threads: int) -> bool:
        """Returns whether these are its weights, and threads."""
        same = zip(self.weights, weights, strict=False)
        return threads == self._threads and all(own is one for own, one in same)

    def runner(self, section: Section) -> _Runner:
        """Returns what runs a section."""
        key = section.program, section.weights, section.outputs
        runner = self._runners.get(key)
        if runner is None:
            runner = _Runner(section, self.weights, self._threads)
            self._runners[key] = runner
        return runner


class _Runner:
    """What runs a section, for all tiles that have it."""

    def __init__(
        self, section: Section, weights: list[np.ndarray], threads: int
    ) -> None:
        """Takes a section.

        Args:
            section: The section.
            weights: Of the whole program. Those of which its model has the numbers are
                replaced by views of it, so that they are not held twice.
            threads: That one run may use.
        """
        self._threads = threads
        self._all = weights
        own = [weights[number] for number in section.weights]
        lowered, arrays, places = lower(section.program, own)
        outputs = [places[output] for output in section.outputs]
        self._program, self._weights, self._outputs = fold(lowered, arrays, outputs)
        self._fixed = depends_on_sizes(self._program)
        self._interpreters = Recent[_Interpreters](_MODELS if self._fixed else 1)

    def one(self, shapes: Sequence[Sizes]) -> AbstractContextManager[_Interpreter]:
        """Gives an interpreter for inputs of some shapes to this thread alone."""
        sizes = [lifted_shape(shape, self._program) for shape in shapes]
        key = tuple(sizes) if self._fixed else ()
        return self._interpreters.get(key, lambda: self._make(sizes)).one(sizes)

    def _make(self, shapes: Sequence[Sizes]) -> _Interpreters:
        model, taken = model_of(self._program, self._weights, shapes, self._outputs)
        if not self._fixed:
            self._weights = []  # the model has them
            views = {id(array): view for array, view in taken}
            for number, array in enumerate(self._all):
                self._all[number] = views.get(id(array), array)
        return _Interpreters(model, self._threads)


class _Interpreters:
    """Those of one model: as many as have run at once."""

    def __init__(self, model: bytes, threads: int) -> None:
        self._model = model
        self._threads = threads
        self._idle: list[_Interpreter] = []
        self._lock = Lock()

    @contextmanager
    def one(self, shapes: Sequence[Sizes]) -> Iterator[_Interpreter]:
        """Gives an interpreter to this thread alone, for inputs of some shapes."""
        with self._lock:
            interpreter = self._idle.pop() if self._idle else None
        if interpreter is None:
            interpreter = _Interpreter(self._model, self._threads)
        interpreter.resize(shapes)
        yield interpreter  # one that failed is not used again
        with self._lock:
            self._idle.append(interpreter)


class _Interpreter:
    """LiteRT's, whose inputs and outputs are written and read where it has them.

    It does not run while there is a view of one.
    """

    def __init__(self, model: bytes, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _quietly():
            self._it = Interpreter(model_content=model, num_threads=threads)
            self._it.allocate_tensors()
        details = self._it.get_input_details()
        self._shapes = [tuple(detail["shape"]) for detail in details]
        self._inputs = [detail["index"] for detail in details]
        self._outputs = [one["index"] for one in self._it.get_output_details()]
        self.invoke = self._it.invoke

    def resize(self, shapes: Sequence[Sizes]) -> None:
        """Has its inputs have some shapes."""
        if self._shapes == shapes:
            return
        for index, shape in zip(self._inputs, shapes, strict=True):
            self._it.resize_tensor_input(index, shape)
        self._it.allocate_tensors()
        self._shapes = list(shapes)

    def input(self, number: int) -> np.ndarray:
        """Returns a view of an input."""
        view: np.ndarray = self._it.tensor(self._inputs[number])()
        return view

    def output(self, number: int) -> np.ndarray:
        """Returns a view of an output."""
        view: np.ndarray = self._it.tensor(self._outputs[number])()
        return view


def _fill(target: np.ndarray, values: np.ndarray, pads: Sequence[Pair]) -> None:
    """Writes values and the zeros around them."""
    for axis, (before, after) in enumerate(pads, 1):
        rows = np.moveaxis(target, axis, 0)
        rows[:before] = 0
        rows[len(rows) - after :] = 0
        target = np.moveaxis(rows[before : len(rows) - after], 0, axis)
    target[...] = values


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
