"""Sums of calls as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fcdcc_keras.monitoring.totals import Totals

if TYPE_CHECKING:
    from prometheus_client import Metric

_OUTCOMES = ("used", "late", "failed", "skipped")
_STAGES = ("encode", "transport", "convolution", "decode")
_BY = ("workers", "client", "planned")


class Exposition:
    """What a registry of ``prometheus_client`` collects."""

    def __init__(self, role: str, totals: Callable[[], Totals]) -> None:
        """Takes whose sums they are.

        Args:
            role: "client" or "scheduler", part of all names.
            totals: Gives the sums.
        """
        self._role = role
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        """Returns what there is to read."""
        from prometheus_client.core import CounterMetricFamily

        totals = self._totals()

        def family(name: str, meaning: str, *labels: str) -> CounterMetricFamily:
            return CounterMetricFamily(
                f"fcdcc_{self._role}_{name}", meaning, labels=labels
            )

        answers = family(
            "answers",
            "Subtasks, by what became of their answers; skipped ones were not sent.",
            *("worker", "outcome"),
        )
        redistributed = family(
            "redistributed",
            "Subtasks that the worker was sent in the place of another.",
            "worker",
        )
        sent = family("sent_bytes", "Bytes of inputs sent to the worker.", "worker")
        received = family(
            "received_bytes", "Bytes of results received from the worker.", "worker"
        )
        for address, worker in totals.workers.items():
            for outcome in _OUTCOMES:
                answers.add_metric([address, outcome], getattr(worker, outcome))
            redistributed.add_metric([address], worker.redistributed)
            sent.add_metric([address], worker.bytes_sent)
            received.add_metric([address], worker.bytes_received)
        seconds = family(
            "stage_seconds", "Where the time of calls went.", "layer", "stage"
        )
        micro_batches = family(
            "micro_batches",
            "Micro-batches of calls, by who computed them: client where workers were "
            "to, planned where the client was.",
            *("layer", "by"),
        )
        for path, layer in totals.layers.items():
            for stage in _STAGES:
                seconds.add_metric([path, stage], getattr(layer, stage))
            for by in _BY:
                micro_batches.add_metric([path, by], getattr(layer, by))
        yield from (answers, redistributed, sent, received, seconds, micro_batches)
