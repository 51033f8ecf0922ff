"""The picture of ``Trace.plot``: a Gantt chart, and where each layer's time went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.monitoring.fates import FATES, PHASES
from fcdcc_keras.monitoring.split import STAGES
from fcdcc_keras.monitoring.timeline import (
    Phase,
    Span,
    Timeline,
    lanes,
    phase_lanes,
    timeline,
)
from fcdcc_keras.observe.plotting import bare, canvas, check_plotting
from fcdcc_keras.observe.summary import Summary
from fcdcc_keras.palette import BLACK, BLUE, GREEN, SKY

_SPLIT = dict(zip(STAGES, (BLUE, "#BBBBBB", GREEN, SKY), strict=True))
_MOST_NAMES = 60
"""Layers whose names are written above the chart."""


def plot_trace(records: Sequence[LayerRecord], path: str | Path) -> None:
    """Draws a trace into a file; see ``Trace.plot``."""
    path = check_plotting(path)
    summary = Summary(records)
    heights = _gantt_height(len(summary.outcomes)), _split_height(len(summary.layers))
    figure = canvas(13, sum(heights))
    gantt, times = figure.subplots(2, height_ratios=heights)
    draw_gantt(gantt, timeline(records))
    draw_split(times, summary)
    figure.savefig(path, dpi=150)


def gantt_figure(records: Sequence[LayerRecord]) -> Any:
    """Returns the Gantt chart as a matplotlib figure."""
    line = timeline(records)
    figure = canvas(13, _gantt_height(len(line.shares)))
    draw_gantt(figure.subplots(), line)
    return figure


def split_figure(summary: Summary) -> Any:
    """Returns where each layer's time went as a matplotlib figure."""
    figure = canvas(13, _split_height(len(summary.layers)))
    draw_split(figure.subplots(), summary)
    return figure


def draw_gantt(axis: Any, line: Timeline) -> None:
    """Draws a row for each worker, below one for the client.

    A pale bar lasts from sending to the answer, the full one in it is the
    convolution; a bar without an answer is empty, and ends when the layer was
    decoded without it.
    """
    boxes = _Boxes()
    _draw_client(axis, boxes, line.phases)
    for row, address in enumerate(line.shares, start=1):
        bars = [bar for bar in line.bars if bar.address == address]
        lane = lanes([bar.span for bar in bars])
        height = 0.8 / (max(lane, default=0) + 1)
        for bar, n in zip(bars, lane, strict=True):
            y, colour = row - 0.4 + n * height, FATES[bar.fate][0]
            if not bar.answered and bar.bytes_sent == 0:  # there was nobody to send to
                axis.plot(bar.span.begin * 1e3, row, marker="x", color=colour)
                continue
            alpha = 0.3 if bar.answered else 0.0
            boxes.add(bar.span, y, height, colour, alpha)
            if bar.convolution is not None:
                boxes.add(bar.convolution, y, height, colour)
    boxes.draw(axis)
    names = [f"{share}  {address}" for address, share in line.shares.items()]
    axis.set_yticks(range(len(names) + 1), ["client", *names])
    axis.set_ylim(len(names) + 0.6, -0.6)
    axis.set_xlabel(
        "ms; pale: sent to answered, full: convolution, dashed: no answer till then"
    )
    # What answers long after all is decoded runs off the chart, or it would fill it.
    end = 1e3 * max((phase.span.end for phase in line.phases), default=0.001)
    axis.set_xlim(-0.01 * end, 1.03 * end)
    bare(axis)
    colours = {f"client: {name}": colour for name, colour in PHASES.items()}
    told = {bar.fate for bar in line.bars}
    colours |= {fate: colour for fate, (colour, _) in FATES.items() if fate in told}
    _legend(axis, colours)


def draw_split(axis: Any, summary: Summary) -> None:
    """Draws a bar for each layer: the median time of a call in its parts."""
    left = [0.0] * len(summary.layers)
    parts = [astuple(layer.median) for layer in summary.layers.values()]
    for stage, seconds in zip(STAGES, zip(*parts, strict=True), strict=False):
        widths = [1e3 * s for s in seconds]
        rows = range(len(widths))
        axis.barh(rows, widths, left=left, height=0.7, color=_SPLIT[stage])
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axis.set_yticks(range(len(left)), list(summary.layers))
    axis.set_ylim(len(left) - 0.4, -0.6)
    axis.set_xlabel("ms a call, medians")
    bare(axis)
    _legend(axis, _SPLIT)


class _Boxes:
    """Rectangles, drawn together by style: thousands take no longer than a few."""

    def __init__(self) -> None:
        self._corners: dict[tuple[str, float], list[Any]] = {}

    def add(
        self,
        span: Span,
        y: float,
        height: float,
        colour: str,
        alpha: float = 1.0,
    ) -> None:
        left, right, top = span.begin * 1e3, span.end * 1e3, y + height
        corners = [(left, y), (right, y), (right, top), (left, top)]
        self._corners.setdefault((colour, alpha), []).append(corners)

    def draw(self, axis: Any) -> None:
        from matplotlib.collections import PolyCollection

        # Pale ones first, that the full ones in them are seen.
        for colour, alpha in sorted(self._corners, key=lambda style: style[1]):
            drawn = PolyCollection(
                self._corners[colour, alpha],
                facecolor=(colour, alpha),
                edgecolor=colour,
                linestyle="-" if alpha else "--",
                linewidth=0.5 if alpha else 1.0,
            )
            axis.add_collection(drawn)
        axis.autoscale_view()


def _draw_client(axis: Any, boxes: _Boxes, phases: Sequence[Phase]) -> None:
    begins: dict[int | None, tuple[float, str]] = {}
    lane = phase_lanes(phases)
    height = 0.8 / (max(lane, default=0) + 1)
    for phase, n in zip(phases, lane, strict=True):
        y, colour = -0.4 + n * height, PHASES[phase.stage]
        boxes.add(phase.span, y, height, colour)
        begins.setdefault(phase.call, (phase.span.begin * 1e3, phase.layer))
    if len(begins) > _MOST_NAMES:
        return
    for begin, layer in begins.values():
        axis.axvline(begin, color=BLACK, lw=0.5, alpha=0.4)
        axis.annotate(
            *(layer, (begin, 1.0)),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            rotation=60,
            fontsize=7,
        )


def _legend(axis: Any, colours: dict[str, str]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=colour, label=name) for name, colour in colours.items()]
    axis.legend(
        handles=patches,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize=8,
    )


def _gantt_height(workers: int) -> float:
    return 2.0 + 0.42 * workers


def _split_height(layers: int) -> float:
    return 1.0 + 0.24 * layers
