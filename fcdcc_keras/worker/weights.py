"""A layer's weights on a worker, and the programs that are computed with them.

Importable without any engine, picklable and free of clients, since the scheduler and
the workers import it too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from fcdcc_keras.dask_worker_internals import threads_of_this_worker
from fcdcc_keras.programs import Program, from_text
from fcdcc_keras.worker.counters import COUNTERS
from fcdcc_keras.worker.engines.base import Engine, Prepared, Recent
from fcdcc_keras.worker.engines.choice import engine_for, own_engine
from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.tensors import aligned

_PROGRAMS = 8
"""Programs that are kept ready for one layer: of micro-batches, of inputs of other
sizes, whose padding differs, and of tiles. Engines may hold large kernels once for all
of them; what they compute in, each has for itself."""


class Weights:
    """What a worker holds of a layer: of a coded one, its ℓ_B coded kernels as one."""

    def __init__(self, *arrays: np.ndarray) -> None:
        # In memory that engines can use as it is, so that it is held once.
        self.arrays: Sequence[np.ndarray] = tuple(map(aligned, arrays))
        """As a program has their shapes."""
        self._ready = Recent[tuple[Engine, Prepared]](_PROGRAMS)
        self._latest: Prepared | None = None

    def prepared(
        self,
        program: Program | str,
        engine: Engine | None = None,
        threads: int | None = None,
    ) -> tuple[Engine, Prepared]:
        """Returns a program with these weights, ready to run, and what runs it.

        Args:
            program: The program, or its text.
            engine: What is to run it; None: what this worker has for it.
            threads: That a run may use, if it is not ready yet; None: the worker's.

        Raises:
            PlanError: It is no program, or not for these weights, or lacks an engine.
        """

        def prepare() -> tuple[Engine, Prepared]:
            known = from_text(program) if isinstance(program, str) else program
            chosen = engine or engine_for(known, own_engine())
            many = threads or threads_of_this_worker() or 1
            ready = chosen.prepare(known, self.arrays, many, self._latest)
            # Which it may come to hold elsewhere: so they are not held twice.
            self._latest, self.arrays = ready, ready.weights
            return chosen, ready

        return self._ready.get((program, engine), prepare)

    def is_ready(self, program: str) -> bool:
        """Returns whether a program is prepared, by what this worker has for it."""
        return (program, None) in self._ready

    def run(
        self,
        inputs: np.ndarray,
        program: Program | str,
        engine: Engine | None = None,
        threads: int | None = None,
    ) -> np.ndarray:
        """Computes a program with these weights.

        Args:
            inputs: Of a coded layer, all ℓ_A coded inputs on the batch axis:
                ``(ℓ_A·B, Ĥ, W, C)``.
            program: See ``prepared``.
            engine: Likewise.
            threads: Likewise.

        Returns:
            The output, ``(ℓ_A·B, h', W', ℓ_B·⌈N/k_B⌉)``; it may be read-only.
        """
        return self.prepared(program, engine, threads)[1]([inputs])

    def __reduce__(self) -> tuple[type[Weights], tuple[np.ndarray, ...]]:
        return Weights, tuple(self.arrays)

    def __sizeof__(self) -> int:
        # Dask's accounting of a worker's memory reads this.
        return 64 + sum(array.nbytes for array in self.arrays)


def answer(weights: Weights, inputs: np.ndarray, program: str) -> bytearray:
    """Runs a subtask as a Dask task; see ``Weights.run``.

    Returns:
        Its reply as bytes: Dask pickles what a task returns otherwise.
    """
    reply = replied(weights, lambda: inputs, program)
    COUNTERS.note(reply)
    return reply.to_bytes()


def replied(
    weights: Weights,
    inputs: Callable[[], np.ndarray],
    program: str,
    memory: memoryview | None = None,
) -> Reply:
    """Runs a subtask, and returns its reply, whatever happens.

    Args:
        weights: What is computed with.
        inputs: Gives what it is computed from.
        program: Its text.
        memory: See ``Reply.of``.
    """
    received = 0

    def work() -> np.ndarray:
        nonlocal received
        given = inputs()
        received = given.nbytes
        return weights.run(given, program)

    reply = replace(Reply.of(work, memory), received=received)
    if reply.array is not None:
        reply = replace(reply, engine=weights.prepared(program)[0].name)
    return reply
