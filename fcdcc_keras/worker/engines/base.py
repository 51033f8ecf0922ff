"""What all engines have in common: they run programs, prepared once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import ClassVar, Generic, TypeVar

import numpy as np

from fcdcc_keras.errors import PlanError
from fcdcc_keras.programs import Program
from fcdcc_keras.programs.exactness import plain_error
from fcdcc_keras.worker.engines.lowering import lower

Sizes = tuple[int, ...]
_Value = TypeVar("_Value")
_SHAPES = 64
"""Shapes of inputs of which an engine keeps what it worked out."""


class Recent(Generic[_Value]):
    """What was made last, by what it was made for; of any number of threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, _Value] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._made

    def get(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        """Returns what was made for a key, or makes it, one at a time."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
                if len(self._made) > self._most:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return self._made[key]


class Prepared(ABC):
    """A program with its weights, ready to run; several threads may run it at once."""

    def __init__(self, program: Program, weights: Sequence[np.ndarray]) -> None:
        program.check_weights(weights)
        self.program = program
        self.weights = weights
        """What it was made with, perhaps in memory of its own by now."""
        self._shapes = Recent[list[Sizes]](_SHAPES)

    def __call__(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the output of the program for some inputs.

        Args:
            arrays: Each of shape ``(B, H, W, C)``; they are not to be written to
                afterwards, for the output may have their memory.

        Raises:
            PlanError: It is no program for these.
        """
        given = tuple(array.shape for array in arrays)
        shapes = self._shapes.get(given, lambda: self.program.shapes(given))
        for array in arrays:
            if array.dtype != self.program.dtype:
                raise PlanError(
                    f"The inputs must be of the program's type, {self.program.dtype}. "
                    f"Received: {array.dtype}. Cast them."
                )
        return self._run(arrays, shapes)

    @abstractmethod
    def _run(self, arrays: Sequence[np.ndarray], shapes: Sequence[Sizes]) -> np.ndarray:
        """Returns the output.

        Args:
            arrays: The inputs.
            shapes: Of all values of the program.
        """


class PreparedWhole(Prepared):
    """A program that an engine computes operation by operation, as it is lowered."""

    def __init__(self, program: Program, weights: Sequence[np.ndarray]) -> None:
        super().__init__(program, weights)
        self._lowered, self._weights, _ = lower(program, weights)

    def _run(self, arrays: Sequence[np.ndarray], shapes: Sequence[Sizes]) -> np.ndarray:
        lifted = [a.reshape(lifted_shape(a.shape, self._lowered)) for a in arrays]
        return self._evaluate(lifted).reshape(shapes[-1])

    @abstractmethod
    def _evaluate(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the output of the lowered program."""


def lifted_shape(shape: Sizes, lowered: Program) -> Sizes:
    """Returns a shape with the second dimension that a lowered program may have."""
    if len(shape) - 2 < lowered.rank:
        return (*shape[:-1], 1, shape[-1])
    return shape


class Engine(ABC):
    """Something that computes programs."""

    name: ClassVar[str]

    @abstractmethod
    def lacks(self, program: Program) -> list[str]:
        """Returns what of a program it cannot compute, in words; pure."""

    @abstractmethod
    def prepare(
        self,
        program: Program,
        weights: Sequence[np.ndarray],
        threads: int = 1,
        sibling: Prepared | None = None,
    ) -> Prepared:
        """Returns a program ready to run.

        Args:
            program: The program.
            weights: Arrays as ``program.weights`` has their shapes; not to be written
                to afterwards.
            threads: That one run may use.
            sibling: Another program, of a tile for instance, whose ``weights`` these
                are. What both have of them may be held once.

        Raises:
            PlanError: The weights are not the program's, or it lacks something.
        """

    def plain_error(self, dtype: str, terms: int) -> float:
        """Returns the relative error of a plain convolution; see ``exactness``."""
        return plain_error(dtype, terms, self.name)

    def check(self, program: Program) -> None:
        """Checks that it can compute a program.

        Raises:
            PlanError: It cannot.
        """
        lacking = self.lacks(program)
        if lacking:
            raise PlanError(
                "An engine must have all that a program needs. Received: a program "
                f"with {', '.join(lacking)}, which {self.name} has not. Use the engine "
                "tensorflow."
            )
