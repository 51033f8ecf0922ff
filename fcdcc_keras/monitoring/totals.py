"""Figures of what became of the calls of coded models, added up as they end.

By the client, which alone knows; scheduler and client show them. What a worker counts
itself is in ``worker.counters``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field, fields
from typing import Any, TypeVar

from fcdcc_keras.dispatch.collector import SubtaskRecord
from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.monitoring.split import split

_MOST_OWED = 10_000
"""Late answers that are remembered until they come."""
_Sums = TypeVar("_Sums", "WorkerTotals", "LayerTotals")


@dataclass(slots=True)
class WorkerTotals:
    """What became of a worker's subtasks, in the words of ``fk.trace``."""

    used: int = 0
    late: int = 0
    failed: int = 0
    skipped: int = 0
    redistributed: int = 0
    """Of all these, those that it was sent in the place of another worker."""
    bytes_sent: int = 0
    """To it: inputs."""
    bytes_received: int = 0
    """From it: results; late ones as soon as they have come."""


@dataclass(slots=True)
class LayerTotals:
    """Seconds of a layer's micro-batches, as in ``Split``, and who computed them."""

    encode: float = 0.0
    transport: float = 0.0
    convolution: float = 0.0
    decode: float = 0.0
    workers: int = 0
    client: int = 0
    """Where workers were to."""
    planned: int = 0
    """By the client, as planned."""


@dataclass
class Totals:
    """Sums since a process began."""

    workers: dict[str, WorkerTotals] = field(default_factory=dict)
    """By address."""
    layers: dict[str, LayerTotals] = field(default_factory=dict)
    """By the path of the layer, or of a chain's first and last."""

    def add(self, other: Totals) -> None:
        """Adds further sums."""
        _add(self.workers, other.workers, WorkerTotals)
        _add(self.layers, other.layers, LayerTotals)

    def to_plain(self) -> dict[str, dict[str, list[float]]]:
        """Returns the sums as JSON-ready plain data."""
        return {
            "workers": {name: list(astuple(n)) for name, n in self.workers.items()},
            "layers": {name: list(astuple(n)) for name, n in self.layers.items()},
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Mapping[str, Any]]) -> Totals:
        """Returns the sums that ``to_plain`` described."""
        return cls(
            {name: WorkerTotals(*n) for name, n in data["workers"].items()},
            {name: LayerTotals(*n) for name, n in data["layers"].items()},
        )


def _add(
    to: dict[str, _Sums], more: Mapping[str, _Sums], kind: Callable[[], _Sums]
) -> None:
    for name, sums in more.items():
        mine = to.setdefault(name, kind())
        for each in fields(sums):
            setattr(
                mine, each.name, getattr(mine, each.name) + getattr(sums, each.name)
            )


class CallTally:
    """Adds records up; any thread may add some, or read."""

    def __init__(self) -> None:
        self._totals = Totals()
        self._owed: list[SubtaskRecord] = []
        """Late ones whose answers have not come."""
        self._lock = threading.Lock()

    def add(self, record: LayerRecord) -> None:
        """Adds what became of a micro-batch."""
        parts = split(record)
        with self._lock:
            for task in record.subtasks:
                self._add_subtask(task)
            sums = self._totals.layers.get(record.layer)
            if sums is None:
                sums = self._totals.layers[record.layer] = LayerTotals()
            sums.encode += parts.encode
            sums.transport += parts.transport
            sums.convolution += parts.convolution
            sums.decode += parts.decode
            if record.client:
                sums.planned += 1
            elif record.local is not None:
                sums.client += 1
            else:
                sums.workers += 1

    def totals(self) -> Totals:
        """Returns a copy of the sums so far."""
        with self._lock:
            owed, self._owed = self._owed, []
            for task in owed:
                if task.received is None:
                    self._owed.append(task)
                else:
                    self._of(task).bytes_received += task.bytes_received
            copy = Totals()
            copy.add(self._totals)
            return copy

    def _of(self, task: SubtaskRecord) -> WorkerTotals:
        sums = self._totals.workers.get(task.address)
        if sums is None:
            sums = self._totals.workers[task.address] = WorkerTotals()
        return sums

    def _add_subtask(self, task: SubtaskRecord) -> None:
        sums, outcome = self._of(task), task.outcome
        if outcome == "used":
            sums.used += 1
        elif outcome == "late":
            sums.late += 1
        elif outcome == "failed":
            sums.failed += 1
        else:
            sums.skipped += 1
        sums.redistributed += task.redistributed
        sums.bytes_sent += task.bytes_sent
        if outcome == "late" and task.received is None:
            if len(self._owed) < _MOST_OWED:
                self._owed.append(task)
        else:
            sums.bytes_received += task.bytes_received
