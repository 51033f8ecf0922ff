"""The program on the client's device that predicts through a storm, as it is told.

python -m benchmarks.faults.device SCHEDULER
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.faults.predictors import Here
from benchmarks.faults.subjects import subject
from benchmarks.figures.edge_device import obey


class Client:
    """A subject, distributed."""

    def __init__(self, scheduler: str) -> None:
        """Takes the scheduler's address."""
        self._scheduler = scheduler

    def build(self, name: str, seed: int) -> None:
        """Builds a plain model, and has it give its answers."""
        self._subject = subject(name, seed)

    def distribute(self, options: Mapping[str, Any]) -> None:
        """Distributes it."""
        import fcdcc_keras as fk

        plain = self._subject
        self._coded = fk.distribute(plain.model, self._scheduler, **options)
        self._here = Here(self._coded, plain)

    def predict(self, index: int) -> dict[str, Any]:
        """Predicts once; see ``Here.predict``."""
        return self._here.predict(index).to_dict()

    def close(self) -> None:
        """Frees what the workers hold."""
        import fcdcc_keras as fk

        fk.close(self._coded)


if __name__ == "__main__":
    obey(Client(sys.argv[1]))
