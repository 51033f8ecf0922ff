"""What a scheduler remembers of what clients tell."""

from __future__ import annotations

import threading

from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.monitoring.messages import Told
from fcdcc_keras.monitoring.totals import Totals

_MOST_SUBTASKS = 5000
"""Of which is remembered what became of them."""


class Ledger:
    """Sums over all clients, and what happened lately; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, str], Totals] = {}
        """Of each model of a client that is there."""
        self._before = Totals()
        """Of all others."""
        self._records: dict[tuple[str, int], LayerRecord] = {}
        self._subtasks = 0
        self.changes = 0
        """How often something was told."""

    @property
    def records(self) -> list[LayerRecord]:
        """What happened lately."""
        return list(self._records.values())

    def take(self, told: Told) -> None:
        """Takes what a client tells."""
        with self._lock:
            self._totals[told.client, told.source] = told.totals
            for number, record in told.records:
                self._keep((told.source, number), record)
            self.changes += 1

    def left(self, client: str) -> None:
        """Keeps the sums of a client that has left."""
        with self._lock:
            for source in [each for each in self._totals if each[0] == client]:
                self._before.add(self._totals.pop(source))

    def totals(self) -> Totals:
        """Returns the sums over all clients, since the scheduler began."""
        whole = Totals()
        with self._lock:
            for each in (self._before, *self._totals.values()):
                whole.add(each)
        return whole

    def _keep(self, name: tuple[str, int], record: LayerRecord) -> None:
        if name not in self._records:
            self._subtasks += len(record.subtasks)
        self._records[name] = record  # in its place, where it has one
        while self._subtasks > _MOST_SUBTASKS and len(self._records) > 1:
            oldest = self._records.pop(next(iter(self._records)))
            self._subtasks -= len(oldest.subtasks)
