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
        self._shapes = Recent[list[Sizes]](_SHAPES)
        self._lowered, self._weights = lower(program, weights)

    def __call__(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the output of the program for some inputs.

        Args:
            arrays: Each of shape ``(B, H, W, C)``; they are not to be written to
                afterwards, for the output may have their memory.

        Raises:
            PlanError: It is no program for these.
        """
        given = tuple(array.shape for array in arrays)
        output = self._shapes.get(given, lambda: self.program.shapes(given))[-1]
        for array in arrays:
            if array.dtype != self.program.dtype:
                raise PlanError(
                    f"The inputs must be of the program's type, {self.program.dtype}. "
                    f"Received: {array.dtype}. Cast them."
                )
        rank = self._lowered.rank
        lifted = [
            array.reshape(*array.shape[:-1], 1, array.shape[-1])
            if rank > self.program.rank
            else array
            for array in arrays
        ]
        return self._run(lifted).reshape(output)

    @abstractmethod
    def _run(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the output of the lowered program."""


class Engine(ABC):
    """Something that computes programs."""

    name: ClassVar[str]

    @abstractmethod
    def lacks(self, program: Program) -> list[str]:
        """Returns what of a program it cannot compute, in words; pure."""

    @abstractmethod
    def prepare(
        self, program: Program, weights: Sequence[np.ndarray], threads: int = 1
    ) -> Prepared:
        """Returns a program ready to run.

        Args:
            program: The program.
            weights: Arrays as ``program.weights`` has their shapes; not to be written
                to afterwards.
            threads: That one run may use.

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
