"""``fk.trace``: what each worker did for each layer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.rewriting.distribute import sessions
from fcdcc_keras.text import bytes_text, milliseconds, table

if TYPE_CHECKING:
    import keras


class Trace:
    """The records of every coded layer that is called within a ``with`` block."""

    def __init__(self, model: keras.Model) -> None:
        """Takes the coded model to watch.

        Raises:
            PlanError: The model has no coded layer.
        """
        self._policies = [session.policy for session in sessions(model)]
        self.records: list[LayerRecord] = []
        """One for each micro-batch of each call of a coded layer (most calls have but
        one), in the order of their ends."""

    def __enter__(self) -> Trace:
        for policy in self._policies:
            policy.listeners.append(self.records.append)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for policy in self._policies:
            policy.listeners.remove(self.records.append)

    @property
    def distributed_convolutions(self) -> int:
        """How many calls of coded layers the workers answered."""
        return len(_calls(self.records)) - self.local_convolutions

    @property
    def local_convolutions(self) -> int:
        """How many calls of coded layers the client had to compute, even in part."""
        return len(_local(self.records))

    def summary(self) -> Summary:
        """Returns the records added up, by layer and by worker."""
        return Summary(list(self.records))


class Summary:
    """Sums over records; ``print`` shows them as two tables."""

    def __init__(self, records: list[LayerRecord]) -> None:
        self._records = records
        self.outcomes: dict[str, Counter[str]] = {}
        """For each worker's address: how many shares were "used", "late",
        "failed" or "skipped"."""
        self.bytes_sent: Counter[str] = Counter()
        """To each worker's address."""
        self.bytes_received: Counter[str] = Counter()
        """From each worker's address, of the results used."""
        for record in records:
            for task in record.subtasks:
                outcomes = self.outcomes.setdefault(task.address, Counter())
                outcomes[task.outcome] += 1
                self.bytes_sent[task.address] += task.bytes_sent
                self.bytes_received[task.address] += task.bytes_received

    def __str__(self) -> str:
        return f"{self._layers()}\n{self._workers()}"

    def _layers(self) -> str:
        by_layer: dict[str, list[LayerRecord]] = {}
        for record in self._records:
            by_layer.setdefault(record.layer, []).append(record)
        rows = [
            (
                layer,
                str(len(_calls(records))),
                str(len(_local(records))),
                _median(records, lambda r: r.encode),
                _median(records, lambda r: r.collect),
                _median(records, lambda r: r.decode),
            )
            for layer, records in by_layer.items()
        ]
        total, local = len(_calls(self._records)), len(_local(self._records))
        columns = ["layer", "calls", "in client", "encode ms", "collect ms"]
        title = f"{total - local} convolutions on workers, {local} in the client"
        ways = sorted({r.transport for r in self._records if r.transport})
        title += f" (transport: {', '.join(ways)})" if ways else ""
        return table(title, [*columns, "decode ms"], rows)

    def _workers(self) -> str:
        rows = [
            (
                address,
                *(str(counts[kind]) for kind in ("used", "late", "failed", "skipped")),
                bytes_text(self.bytes_sent[address]),
                bytes_text(self.bytes_received[address]),
            )
            for address, counts in self.outcomes.items()
        ]
        columns = ["worker", "used", "late", "failed", "skipped", "sent", "received"]
        return table("what became of each worker's shares", columns, rows)


def _median(records: list[LayerRecord], of: Callable[[LayerRecord], float]) -> str:
    """Returns the median over calls, the micro-batches of each added up."""
    sums: defaultdict[int, float] = defaultdict(float)
    for record in records:
        sums[record.call] += of(record)
    return milliseconds(float(np.median(list(sums.values()))))


def _calls(records: list[LayerRecord]) -> set[int]:
    return {record.call for record in records}


def _local(records: list[LayerRecord]) -> set[int]:
    return {record.call for record in records if record.local is not None}
