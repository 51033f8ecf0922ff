"""What this worker's process has computed, as Prometheus reads it at ``/metrics``.

A worker knows what it did, not what became of it: that the client counts, in
``monitoring.totals``. Dask's workers serve at ``/metrics`` what the global registry of
``prometheus_client`` has, where that is installed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from fcdcc_keras.worker.reply import Reply

if TYPE_CHECKING:
    from prometheus_client import Metric


class WorkerCounters:
    """Counts subtasks; any thread may note one."""

    _shown: ClassVar[bool] = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.done: dict[str, int] = {}
        """Subtasks that were computed, by the engine."""
        self.failed = 0
        """Those that raised an exception."""
        self.seconds: dict[str, float] = {}
        """That computing them took, by the engine."""
        self.bytes_received = 0
        """Of inputs."""
        self.bytes_sent = 0
        """Of results."""

    def note(self, reply: Reply) -> None:
        """Notes what came of a subtask, with the bytes that it was computed from."""
        with self._lock:
            self.bytes_received += reply.received
            if reply.array is None:
                self.failed += 1
                return
            engine, seconds = reply.engine, reply.computed
            self.done[engine] = self.done.get(engine, 0) + 1
            self.seconds[engine] = self.seconds.get(engine, 0.0) + seconds
            self.bytes_sent += reply.array.nbytes

    def show(self) -> None:
        """Has Prometheus read it, where its library is installed; once in a process."""
        if WorkerCounters._shown or find_spec("prometheus_client") is None:
            return
        from prometheus_client import REGISTRY

        REGISTRY.register(self)
        WorkerCounters._shown = True

    def collect(self) -> Iterator[Metric]:
        """Returns what there is to read; Prometheus' library calls this."""
        from prometheus_client.core import CounterMetricFamily

        with self._lock:
            done, seconds, failed = dict(self.done), dict(self.seconds), self.failed
            received, sent = self.bytes_received, self.bytes_sent
        subtasks = CounterMetricFamily(
            "fcdcc_worker_subtasks", "Subtasks that were computed.", labels=["engine"]
        )
        computing = CounterMetricFamily(
            "fcdcc_worker_compute_seconds",
            "Seconds that computing subtasks took.",
            labels=["engine"],
        )
        for engine, number in done.items():
            subtasks.add_metric([engine], number)
            computing.add_metric([engine], seconds[engine])
        yield subtasks
        yield computing
        for name, value, meaning in (
            ("failed_subtasks", failed, "Subtasks that raised an exception."),
            ("received_bytes", received, "Bytes of the inputs of subtasks."),
            ("sent_bytes", sent, "Bytes of the results of subtasks."),
        ):
            yield CounterMetricFamily(f"fcdcc_worker_{name}", meaning, value=value)


COUNTERS = WorkerCounters()
"""This process's."""
