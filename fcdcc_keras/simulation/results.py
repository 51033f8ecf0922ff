"""What came of a simulation. Frozen, JSON-ready."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class LayerTimes:
    """Where the time of a layer went, in seconds: by the answers that completed it.

    The micro-batches of a layer overlap: sums of their times may exceed the total.
    """

    path: str
    """The layer."""
    encode: float
    """Encoding in the client."""
    transport: float
    """Both ways, with what the client does for each message."""
    waiting: float
    """Until the client had time, or the deciding part was sent, if not at once."""
    convolution: float
    """On the worker, with its slowdown and what it had to do before."""
    decode: float
    """Decoding in the client."""
    total: float
    """The whole layer."""


_STAGES = tuple(f.name for f in fields(LayerTimes))[1:-1]


@dataclass(frozen=True)
class Simulation:
    """What some passes of a model over n workers took, and what became of each part."""

    workers: int
    """n."""
    redundancy: str
    """The policy."""
    seed: int
    latencies: tuple[float, ...]
    """Seconds of each pass, from its input to its output, in their order."""
    layers: tuple[LayerTimes, ...]
    """Where the time of each layer went: means over the passes."""
    subtasks: int
    """Parts sent: each is used, late or lost."""
    used: int
    """Parts whose results were decoded."""
    late: int
    """Parts whose results came when nobody waited any more, or not yet at the end."""
    lost: int
    """Parts that went down with their worker."""
    bytes_sent: float
    """Coded inputs."""
    bytes_received: float
    """Results, late ones too."""
    bytes_placed: float
    """Kernel shares given to workers in place of dead ones."""
    events: int
    """Events that were simulated."""

    @property
    def median(self) -> float:
        """Median of the latencies, in seconds."""
        return self.percentile(50)

    def percentile(self, q: float) -> float:
        """Returns a percentile of the latencies, in seconds.

        Args:
            q: From 0 to 100.
        """
        return float(np.percentile(self.latencies, q))

    def to_json(self, path: str | Path | None = None) -> str:
        """Returns all of it as JSON, and writes it to a file if a path is given."""
        percentiles = {f"p{q}": self.percentile(q) for q in (50, 90, 99)}
        text = json.dumps(asdict(self) | {"percentiles": percentiles}, indent=1)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def __str__(self) -> str:
        split = {
            name: 1e3 * sum(getattr(layer, name) for layer in self.layers)
            for name in _STAGES
        }
        parts = ", ".join(f"{name} {ms:.0f}" for name, ms in split.items())
        return (
            f"{len(self.latencies)} passes over {self.workers} workers, "
            f"{self.redundancy}: median {self.median * 1e3:.0f} ms, 99% within "
            f"{self.percentile(99) * 1e3:.0f} ms (mean, in ms: {parts}); of "
            f"{self.subtasks} parts {self.used} used, {self.late} late, "
            f"{self.lost} lost"
        )


@dataclass
class Tally:
    """What is counted on the way."""

    subtasks: int = 0
    used: int = 0
    late: int = 0
    lost: int = 0
    bytes_sent: float = 0
    bytes_received: float = 0
    bytes_placed: float = 0

    def sent(self, nbytes: float) -> None:
        """Counts a part that is sent."""
        self.subtasks += 1
        self.bytes_sent += nbytes

    def came(self, nbytes: float, useful: bool) -> None:
        """Counts a result that has come."""
        self.used += useful
        self.late += not useful
        self.bytes_received += nbytes


def layer_times(micro_batches: Sequence[LayerTimes], total: float) -> LayerTimes:
    """Returns the sums over a layer's micro-batches.

    Args:
        micro_batches: Their times.
        total: Seconds of the layer.
    """
    sums = {
        name: sum(getattr(times, name) for times in micro_batches) for name in _STAGES
    }
    return LayerTimes(micro_batches[0].path, total=total, **sums)


def mean_times(passes: Sequence[Sequence[LayerTimes]]) -> tuple[LayerTimes, ...]:
    """Returns the mean times of every layer over passes."""
    return tuple(
        LayerTimes(
            layer[0].path,
            **{
                name: float(np.mean([getattr(times, name) for times in layer]))
                for name in (*_STAGES, "total")
            },
        )
        for layer in zip(*passes, strict=True)
    )
