"""What ``fcdcc-keras evaluate`` found out, for programs and for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fcdcc_keras.commands.side_by_side import Comparison
from fcdcc_keras.text import bytes_text, table

_PERCENTILES = (50, 90, 95, 99)
_MOST_DIFFERENCES = 100


@dataclass(frozen=True)
class Evaluation:
    """A model judged on data, plainly and over workers."""

    model: str
    data: str
    batch_size: int
    workers: int
    """n."""
    stragglers: int
    """γ, how many may be missing."""
    labels_known: bool
    """Whether the classes of the data are those of the model."""
    comparison: Comparison
    layers: str
    """Every layer, coded or why not: a table."""
    seconds: float
    """How long judging took."""

    @property
    def accuracy_plain(self) -> float | None:
        """Share of images that the plain model gets right, where that is known."""
        return self._share(self.comparison.plain_right)

    @property
    def accuracy_coded(self) -> float | None:
        """Share of images that the coded model gets right, where that is known."""
        return self._share(self.comparison.coded_right)

    def _share(self, right: int) -> float | None:
        return right / self.comparison.images if self.labels_known else None

    def to_json(self) -> dict[str, Any]:
        """Returns what was found as JSON values."""
        found, summary = self.comparison, self.comparison.summary
        deviation = found.deviation
        return {
            "model": self.model,
            "data": self.data,
            "batch_size": self.batch_size,
            "stragglers": self.stragglers,
            "accuracy_plain": self.accuracy_plain,
            "accuracy_coded": self.accuracy_coded,
            "predictions": found.images,
            "predictions_differing": len(found.differences),
            "differences": list(map(asdict, found.differences[:_MOST_DIFFERENCES])),
            "largest_deviation": deviation if math.isfinite(deviation) else None,
            "latency_ms": percentiles(found.coded_seconds),
            "latency_ms_plain": percentiles(found.plain_seconds),
            "bytes_sent": sum(summary.bytes_sent.values()),
            "bytes_received": sum(summary.bytes_received.values()),
            "convolutions": summary.calls,
            "local_convolutions": summary.local,
            "workers": worker_rows(found),
            "layers": [
                {"layer": path, "calls": len(layer.calls)}
                | {f"{k}_ms": s * 1e3 for k, s in asdict(layer.median).items()}
                for path, layer in summary.layers.items()
            ],
            "faults": [
                {"fault": fault.text, "batch": batch} for fault, batch in found.struck
            ],
            "seconds": self.seconds,
        }

    def figures(self) -> list[tuple[str, str]]:
        """Returns the main figures as texts, each with what it is."""
        found, summary = self.comparison, self.comparison.summary
        plain, coded = map(percentiles, (found.plain_seconds, found.coded_seconds))
        return [
            ("accuracy, plain", _percent(self.accuracy_plain)),
            ("accuracy, coded", _percent(self.accuracy_coded)),
            (
                "predictions that differ",
                f"{len(found.differences)} of {found.images}",
            ),
            ("largest deviation", f"{found.deviation:.1e}"),
            *(
                (f"ms a batch of {self.batch_size}, {name}", _times(found))
                for name, found in (("plain", plain), ("coded", coded))
            ),
            ("sent to workers", bytes_text(sum(summary.bytes_sent.values()))),
            ("received from workers", bytes_text(sum(summary.bytes_received.values()))),
            ("convolutions by the client", f"{summary.local} of {summary.calls}"),
        ]

    def workers_table(self) -> tuple[list[str], list[list[str]]]:
        """Returns what became of each worker's results: headings, and rows of texts."""
        counts = ["worker", "address", "used", "late", "lost", "skipped"]
        rows = [
            [*(str(row[name]) for name in counts)]
            + [bytes_text(row[f"bytes_{way}"]) for way in ("sent", "received")]
            for row in worker_rows(self.comparison)
        ]
        return [*counts, "sent", "received"], rows

    def __str__(self) -> str:
        headings, rows = self.workers_table()
        title = "what became of each worker's results"
        workers = table(title, headings, rows, right=headings[2:])
        title = f"{self.model} on {self.data}: {self.workers} workers, any "
        title += f"{self.stragglers} may be missing"
        return f"{table(title, ['', 'found'], self.figures())}\n{workers}"


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Returns the usual percentiles of times in milliseconds, by "p50" and so on."""
    times = np.array(seconds) * 1e3
    found = {f"p{p}": float(np.percentile(times, p)) for p in _PERCENTILES}
    return found | {"mean": float(times.mean()), "max": float(times.max())}


def worker_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns what became of each worker's results, by number and address.

    A worker that was restarted has a new address under its old number.
    """
    summary = comparison.summary
    return [
        {
            "worker": share,
            "address": address,
            "used": summary.outcomes[address]["used"],
            "late": summary.outcomes[address]["late"],
            "lost": summary.outcomes[address]["failed"],
            "skipped": summary.outcomes[address]["skipped"],
            "bytes_sent": summary.bytes_sent[address],
            "bytes_received": summary.bytes_received[address],
        }
        for address, share in sorted(summary.shares.items(), key=lambda item: item[1])
    ]


def _percent(share: float | None) -> str:
    if share is None:
        return "– (the data's classes are not the model's)"
    return f"{share:.2%}"


def _times(found: dict[str, float]) -> str:
    return "   ".join(f"{name} {found[name]:.3g}" for name in ("p50", "p90", "p99"))
