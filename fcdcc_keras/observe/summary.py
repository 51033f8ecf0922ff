"""The records of a trace added up: per layer where the time went, per worker what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

import numpy as np

from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.text import bytes_text, milliseconds, table


@dataclass(frozen=True)
class Split:
    """Where the time of a layer's call went, in seconds.

    The micro-batches of a call are added up, though they overlap.
    """

    encode: float = 0.0
    """Splitting and encoding the input, in the client."""
    transport: float = 0.0
    """The rest: to the workers and back, and waiting there."""
    convolution: float = 0.0
    """Of the worker whose answer was the last one needed, by its own clock; or of the
    client, where it computed the layer itself."""
    decode: float = 0.0
    """Decoding and merging, in the client."""

    def __add__(self, other: Split) -> Split:
        return Split(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    @property
    def total(self) -> float:
        """All of it."""
        return self.encode + self.transport + self.convolution + self.decode


STAGES = tuple(field.name for field in fields(Split))
"""Names of the parts of a ``Split``, in the order of time."""


def split(record: LayerRecord) -> Split:
    """Returns where the time of one micro-batch went."""
    used = [
        (task.received, task.finished - task.started)
        for task in record.subtasks
        if task.outcome == "used"
        and task.received is not None
        and task.started is not None
        and task.finished is not None
    ]
    # A local layer may have waited for workers first: that is transport.
    waited = record.local is None and bool(used)
    convolution = min(max(0.0, max(used)[1]), record.collect) if waited else 0.0
    return Split(
        encode=record.encode,
        transport=record.collect - convolution,
        convolution=convolution + record.convolve,
        decode=record.decode,
    )


class LayerSummary:
    """The calls of one layer."""

    def __init__(self) -> None:
        self.splits: dict[int, Split] = {}
        """Where the time of each call went, by its number."""
        self.local: set[int] = set()
        """Calls that the client had to compute, even in part."""

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
        self.bytes_sent: Counter[str] = Counter()
        """To each worker's address."""
        self.bytes_received: Counter[str] = Counter()
        """From each worker's address, late answers included."""
        self.shares: dict[str, int] = {}
        """Index of the share that each worker's address had first, from 0 to n − 1."""
        self._ways: set[str] = set()
        self.add(records)

    def add(self, records: Iterable[LayerRecord]) -> None:
        """Adds further records."""
        for record in records:
            layer = self.layers.setdefault(record.layer, LayerSummary())
            before = layer.splits.get(record.call, Split())
            layer.splits[record.call] = before + split(record)
            if record.local is not None:
                layer.local.add(record.call)
            if record.transport:
                self._ways.add(record.transport)
            for task in record.subtasks:
                self.shares.setdefault(task.address, task.worker)
                self.outcomes.setdefault(task.address, Counter())[task.outcome] += 1
                self.bytes_sent[task.address] += task.bytes_sent
                self.bytes_received[task.address] += task.bytes_received

    @property
    def calls(self) -> int:
        """Calls of coded layers."""
        return sum(len(layer.splits) for layer in self.layers.values())

    @property
    def local(self) -> int:
        """Calls of coded layers that the client had to compute, even in part."""
        return sum(len(layer.local) for layer in self.layers.values())

    def __str__(self) -> str:
        return f"{self._layers()}\n{self._workers()}"

    def _layers(self) -> str:
        rows = [
            (
                path,
                str(len(layer.splits)),
                str(len(layer.local)),
                *map(milliseconds, astuple(layer.median)),
            )
            for path, layer in self.layers.items()
        ]
        local = self.local
        title = f"{self.calls - local} convolutions on workers, {local} in the client"
        ways = ", ".join(sorted(self._ways))
        title += f" (transport: {ways})" if ways else ""
        columns = ["layer", "calls", "in client", *(f"{name} ms" for name in STAGES)]
        return table(title, columns, rows)

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
