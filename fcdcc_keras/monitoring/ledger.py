"""What a scheduler remembers of what clients tell."""

from __future__ import annotations

import math
import threading
import time

from fcdcc_keras.execution.records import LayerRecord, UnderWay
from fcdcc_keras.monitoring.last_records import LastRecords
from fcdcc_keras.monitoring.messages import Told
from fcdcc_keras.monitoring.totals import Totals

_MOST_SUBTASKS = 5000
"""Of which is remembered what became of them."""
_LOOKED_AT = 3.0
"""Seconds since somebody looked after which nobody does any more."""


class Ledger:
    """Sums over all clients, and what happens and happened; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, str], Totals] = {}
        """Of each model of a client that is there."""
        self._before = Totals()
        """Of all others."""
        self._records = LastRecords[tuple[str, int]](_MOST_SUBTASKS)
        self._under_way: dict[tuple[str, str], list[UnderWay]] = {}
        """Of each model of a client that is there."""
        self._looked = -math.inf
        self.changes = 0
        """How often something was told."""

    @property
    def records(self) -> list[LayerRecord]:
        """What happened lately."""
        with self._lock:
            return self._records.records

    @property
    def under_way(self) -> list[UnderWay]:
        """What was going on when it was last told of."""
        with self._lock:
            return [each for some in self._under_way.values() for each in some]

    @property
    def watched(self) -> bool:
        """Whether somebody looks at what happens."""
        return time.monotonic() - self._looked < _LOOKED_AT

    def look(self) -> None:
        """Takes note that somebody does."""
        self._looked = time.monotonic()

    def take(self, told: Told) -> None:
        """Takes what a client tells."""
        with self._lock:
            self._totals[told.client, told.source] = told.totals
            self._under_way[told.client, told.source] = list(told.under_way)
            for number, record in told.records:
                self._records.keep((told.source, number), record)
            self.changes += 1

    def left(self, client: str) -> None:
        """Keeps the sums of a client that has left, and nothing of it is under way."""
        with self._lock:
            for source in [each for each in self._totals if each[0] == client]:
                self._before.add(self._totals.pop(source))
                del self._under_way[source]
                self.changes += 1

    def totals(self) -> Totals:
        """Returns the sums over all clients, since the scheduler began."""
        whole = Totals()
        with self._lock:
            for each in (self._before, *self._totals.values()):
                whole.add(each)
        return whole
