"""The records of a trace added up: per layer where the time went, per worker what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple

import numpy as np

from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.markup import Table, as_html, as_text
from fcdcc_keras.monitoring.split import STAGES, Split, split, split_together
from fcdcc_keras.text import bytes_text, milliseconds


class LayerSummary:
    """The calls of one layer."""

    def __init__(self) -> None:
        self.calls: dict[int, list[tuple[float, Split]]] = {}
        """Each call by its number: when its micro-batches began, and where the time
        of each went."""
        self.local: set[int] = set()
        """Calls that the client had to compute, even in part."""
        self.planned: set[int] = set()
        """Calls that the client computed as planned."""

    @property
    def splits(self) -> dict[int, Split]:
        """Where the time of each call went, by its number."""
        return {call: split_together(parts) for call, parts in self.calls.items()}

    @property
    def median(self) -> Split:
        """The median over calls of each part."""
        parts = np.array([astuple(s) for s in self.splits.values()])
        return Split(*map(float, np.median(parts, axis=0)))


class Summary:
    """Sums over records; ``print`` shows them as two tables."""

    def __init__(self, records: Iterable[LayerRecord] = ()) -> None:
        self.layers: dict[str, LayerSummary] = {}
        """What became of each layer, by path, in the order of their first ends."""
        self.outcomes: dict[str, Counter[str]] = {}
        """For each worker's address: how many shares were "used", "late",
        "failed" or "skipped"."""
        self.engines: dict[str, set[str]] = {}
        """What each worker's address computed by, as it said."""
        self.redistributed: Counter[str] = Counter()
        """How many of them each worker's address had in the place of another."""
        self.bytes_sent: Counter[str] = Counter()
        """To each worker's address."""
        self.bytes_received: Counter[str] = Counter()
        """From each worker's address, late answers included."""
        self.shares: dict[str, int] = {}
        """Index of the share that each worker's address had first, from 0 to n − 1."""
        self.fewest: int | None = None
        """Fewest workers that were left at a time, where a layer needs more."""
        self._ways: set[str] = set()
        self.add(records)

    def add(self, records: Iterable[LayerRecord]) -> None:
        """Adds further records."""
        for record in records:
            layer = self.layers.setdefault(record.layer, LayerSummary())
            micro_batches = layer.calls.setdefault(record.call, [])
            micro_batches.append((record.started, split(record)))
            if record.local is not None:
                layer.local.add(record.call)
            if record.client:
                layer.planned.add(record.call)
            if record.too_few is not None:
                known = record.too_few if self.fewest is None else self.fewest
                self.fewest = min(known, record.too_few)
            if record.transport:
                self._ways.add(record.transport)
            for task in record.subtasks:
                self.shares.setdefault(task.address, task.worker)
                self.outcomes.setdefault(task.address, Counter())[task.outcome] += 1
                self.redistributed[task.address] += task.redistributed
                engines = self.engines.setdefault(task.address, set())
                engines.update({task.engine} - {""})
                self.bytes_sent[task.address] += task.bytes_sent
                self.bytes_received[task.address] += task.bytes_received

    @property
    def calls(self) -> int:
        """Calls of coded layers, and of chains that the plan gives to workers."""
        layers = self.layers.values()
        return sum(len(layer.calls) - len(layer.planned) for layer in layers)

    @property
    def local(self) -> int:
        """Calls of coded layers that the client had to compute, even in part."""
        return sum(len(layer.local) for layer in self.layers.values())

    def __str__(self) -> str:
        layers, workers = self.blocks()
        return as_text([layers, "\n", workers])

    def _repr_html_(self) -> str:
        return as_html(self.blocks())

    def blocks(self) -> tuple[Table, Table]:
        """Returns the two tables."""
        return self._layers(), self._workers()

    def _layers(self) -> Table:
        rows = [
            (
                path,
                str(len(layer.calls)),
                str(len(layer.local | layer.planned)),
                *map(milliseconds, astuple(layer.median)),
            )
            for path, layer in self.layers.items()
        ]
        local = self.local
        title = f"{self.calls - local} convolutions on workers, {local} in the client"
        ways = ", ".join(sorted(self._ways))
        title += f" (transport: {ways})" if ways else ""
        columns = ["layer", "calls", "in client", *(f"{name} ms" for name in STAGES)]
        return Table(title, columns, rows)

    def _workers(self) -> Table:
        rows = [
            (
                address,
                ", ".join(sorted(self.engines[address])),
                *(str(counts[kind]) for kind in ("used", "late", "failed", "skipped")),
                str(self.redistributed[address]),
                bytes_text(self.bytes_sent[address]),
                bytes_text(self.bytes_received[address]),
            )
            for address, counts in self.outcomes.items()
        ]
        columns = ["worker", "engine", "used", "late", "failed", "skipped"]
        columns += ["redistributed", "sent", "received"]
        title = "what became of each worker's shares"
        if self.fewest is not None:
            title += f"; at times {self.fewest} were left, fewer than needed"
        return Table(title, columns, rows, columns[2:])
