"""The weights of a stretch, here and on the workers, and what they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fcdcc_keras.coding.job import Placement
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.execution.forward.coded_convolution import same_bits
from fcdcc_keras.execution.forward.cutting import SIZES, ChainRun
from fcdcc_keras.worker.engines.base import Prepared, Recent
from fcdcc_keras.worker.weights import Weights


@dataclass(eq=False)
class HeldStretch:
    """The weights of a stretch, here and on the workers."""

    values: list[np.ndarray]
    """What the model's variables held."""
    here: tuple[Weights, ...]
    """Of each chain."""
    there: tuple[Placement | None, ...]
    """Of each chain; None of the client's."""
    ready: Recent[Prepared] = field(default_factory=lambda: Recent(SIZES))
    """What computes a chain here, by its number and the size of the input."""
    given: Sequence[np.ndarray] | None = None
    """The same once more, where nobody may write to it."""

    def of(self, run: ChainRun) -> tuple[Placement, ...]:
        """Returns where the weights of a run's chains are."""
        placed = (self.there[number] for number in run.numbers)
        return tuple(placement for placement in placed if placement is not None)

    def is_of(self, values: Sequence[np.ndarray]) -> bool:
        """Returns whether variables still hold the same, bit by bit."""
        if values is self.given:
            return True
        if not all(map(same_bits, self.values, values)):
            return False
        # Next time they are known at once, even if they are other objects.
        writeable = False
        for number, value in enumerate(values):
            writeable = writeable or value.flags.writeable
            if not value.flags.writeable:
                self.values[number] = value
        if isinstance(values, tuple) and not writeable:
            self.given = values
        return True

    def release(self, executor: Executor) -> None:
        """Frees the weights on the workers."""
        for placement in self.there:
            if placement is not None:
                executor.release(placement)
