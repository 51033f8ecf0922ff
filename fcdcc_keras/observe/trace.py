"""``fk.trace``: what each worker did for each layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.observe.summary import Summary
from fcdcc_keras.rewriting.distribute import sessions

if TYPE_CHECKING:
    import keras


class trace:
    """The records of every coded layer that is called within a ``with`` block."""

    def __init__(self, model: keras.Model) -> None:
        """Takes the coded model to watch.

        Raises:
            PlanError: The model has no coded layer.
        """
        self._notes = [session.notes for session in sessions(model)]
        self.records: list[LayerRecord] = []
        """One for each micro-batch of each call of a coded layer (most calls have but
        one), in the order of their ends. When a late answer came is added when it
        comes."""

    def __enter__(self) -> trace:
        for each in self._notes:
            each.listeners.append(self.records.append)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for each in self._notes:
            each.listeners.remove(self.records.append)

    @property
    def distributed_convolutions(self) -> int:
        """How many calls of coded layers the workers answered."""
        summary = self.summary()
        return summary.calls - summary.local

    @property
    def local_convolutions(self) -> int:
        """How many calls of coded layers the client had to compute, even in part."""
        return self.summary().local

    def summary(self) -> Summary:
        """Returns the records added up, by layer and by worker."""
        return Summary(list(self.records))

    def _repr_html_(self) -> str:
        from fcdcc_keras.observe.trace_html import trace_html

        return trace_html(list(self.records))

    def to_chrome(self, path: str | Path) -> None:
        """Writes the trace as JSON that chrome://tracing and ui.perfetto.dev open.

        Args:
            path: Where to write it.
        """
        from fcdcc_keras.monitoring.timeline import timeline
        from fcdcc_keras.observe.chrome import write_chrome

        write_chrome(timeline(list(self.records)), path)

    def plot(self, path: str | Path) -> None:
        """Draws what each worker did when, and where each layer's time went.

        Best of few calls: the chart is as wide for one as for thousands.

        Args:
            path: Where to write the picture: png, svg or pdf by its suffix.

        Raises:
            FcdccError: The picture cannot be drawn or written; see
                ``check_plotting``.
        """
        from fcdcc_keras.observe.trace_plot import plot_trace

        plot_trace(list(self.records), path)
