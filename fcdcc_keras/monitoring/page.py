"""The dashboard's page: workers × time, coloured by what became of each subtask."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fcdcc_keras.markup import Table, as_html, keys_html
from fcdcc_keras.monitoring.fates import FATES, PHASES
from fcdcc_keras.monitoring.ledger import Ledger
from fcdcc_keras.monitoring.timeline import (
    Bar,
    Span,
    Timeline,
    lanes,
    phase_lanes,
    timeline,
)
from fcdcc_keras.monitoring.totals import Totals
from fcdcc_keras.text import bytes_text, milliseconds

_EVERY = 500
"""Milliseconds from one look at what has happened to the next."""
_SHOWN = 20.0
"""Seconds that are shown while time goes on."""
_LONGEST = 40
"""Letters of a name that are shown."""
_CLIENT = "client"
_FORMULA = re.compile(r"\$\$|\\[()\[\]]")
"""What Bokeh takes for the begin or end of one."""


def document(doc: Any, ledger: Ledger) -> None:
    """Fills a Bokeh document, and keeps it up to date while somebody looks."""
    from bokeh.layouts import column
    from bokeh.models import Div

    view = _View(ledger)
    doc.title = "fcdcc_keras: what workers do"
    wide = {"sizing_mode": "stretch_width", "disable_math": True}
    words = Div(text=_keys(), **wide)
    doc.add_root(column(words, view.plot, view.sums, sizing_mode="stretch_width"))
    view.update()
    doc.add_periodic_callback(view.update, _EVERY)


class _View:
    """What one that looks at the page sees."""

    def __init__(self, ledger: Ledger) -> None:
        from bokeh.models import ColumnDataSource, Div

        self._ledger = ledger
        self._seen = -1
        self._sources = {
            style: ColumnDataSource({column: [] for column in _COLUMNS})
            for style in _STYLES
        }
        self.plot = _plot(self._sources)
        narrow = {"overflow-x": "auto"}
        wide = {"sizing_mode": "stretch_width", "disable_math": True}
        self.sums = Div(**wide, styles=narrow)

    def update(self) -> None:
        """Shows what has happened since the last time, if anything has."""
        self._ledger.look()
        if self._seen == self._ledger.changes:
            return
        self._seen = self._ledger.changes
        line = timeline(self._ledger.records, self._ledger.under_way)
        names = names_of(line.shares)
        self.plot.y_range.factors = [*reversed(names.values()), _CLIENT]
        self.plot.height = 90 + 28 * (len(names) + 1)
        rows: dict[str, list[tuple[Any, ...]]] = {style: [] for style in _STYLES}
        for style, row in _rows(line, names):
            rows[style].append(row)
        for style, source in self._sources.items():
            columns = zip(*rows[style], strict=True)
            empty = dict.fromkeys(_COLUMNS, ())
            source.data = empty | dict(zip(_COLUMNS, columns, strict=False))
        self.sums.text = _sums(self._ledger.totals())


_COLUMNS = (
    *("left", "right", "bottom", "top"),
    *("colour", "layer", "became", "took", "more"),
)
_STYLES: dict[str, dict[str, Any]] = {
    "pale": {"fill_alpha": 0.3, "line_width": 0.5},
    "dashed": {"fill_alpha": 0.0, "line_width": 1.5, "line_dash": "dashed"},
    "full": {"fill_alpha": 1.0, "line_width": 0.5},
}


def _rows(
    line: Timeline, names: Mapping[str, str]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Returns what is drawn, each with its style."""
    phases = line.phases
    end = max((phase.span.end for phase in phases), default=0.0)
    for phase, place in zip(phases, _places(phase_lanes(phases)), strict=True):
        box = _box(line.origin, phase.span, _CLIENT, place)
        said = plain(phase.layer), phase.stage, _took(phase.span), ""
        yield "full", (*box, PHASES[phase.stage], *said)
    for address, name in names.items():
        bars = owed([bar for bar in line.bars if bar.address == address], end)
        places = _places(lanes([bar.span for bar in bars]))
        for bar, place in zip(bars, places, strict=True):
            took = _took(bar.span)
            shown = (
                FATES[bar.fate][0],
                plain(bar.layer),
                bar.fate,
                took,
                plain(bar.about),
            )
            box = _box(line.origin, bar.span, name, place)
            pale = bar.answered or bar.fate == "running"
            yield "pale" if pale else "dashed", (*box, *shown)
            if bar.convolution is not None:
                box = _box(line.origin, bar.convolution, name, place)
                yield "full", (*box, *shown)


def owed(bars: Sequence[Bar], end: float) -> list[Bar]:
    """Returns a worker's bars; what it owes lasts until it is sent something else.

    Args:
        bars: All of the worker's.
        end: Of what is known.
    """
    begins = sorted(bar.span.begin for bar in bars)

    def until(bar: Bar) -> float:
        after = bisect_right(begins, bar.span.end)
        following = begins[after] if after < len(begins) else end
        return max(bar.span.end, following)

    return [
        replace(bar, span=Span(bar.span.begin, until(bar)))
        if bar.fate == "late" and not bar.answered
        else bar
        for bar in bars
    ]


def _places(lane: list[int]) -> list[tuple[float, float]]:
    """Returns from where to where each lane is in its row, from −0.5 to 0.5."""
    height = 0.8 / (max(lane, default=0) + 1)
    return [(0.4 - (n + 1) * height, 0.4 - n * height) for n in lane]


def _box(
    origin: float, span: Span, name: str, place: tuple[float, float]
) -> tuple[float, float, tuple[str, float], tuple[str, float]]:
    """Returns left and right in milliseconds since the epoch, bottom and top."""
    left, right = (1e3 * (origin + at) for at in (span.begin, span.end))
    return left, right, (name, place[0]), (name, place[1])


def _took(span: Span) -> str:
    return f"{milliseconds(span.duration)} ms"


def _plot(sources: Mapping[str, Any]) -> Any:
    from bokeh.models import DataRange1d, FactorRange, HoverTool
    from bokeh.plotting import figure

    plot = figure(
        x_axis_type="datetime",
        x_axis_label="time (UTC)",
        x_range=DataRange1d(follow="end", follow_interval=1e3 * _SHOWN),
        y_range=FactorRange(_CLIENT),
        tools="xpan,xwheel_zoom,reset",
        active_scroll="xwheel_zoom",
        sizing_mode="stretch_width",
        height=150,
    )
    box = {side: side for side in ("left", "right", "bottom", "top")}
    drawn = [
        plot.quad(**box, source=sources[name], color="colour", **style)
        for name, style in _STYLES.items()
    ]
    tooltips = [(name, f"@{name}") for name in ("layer", "became", "took", "more")]
    plot.add_tools(HoverTool(renderers=drawn, tooltips=tooltips))
    plot.ygrid.visible = False
    return plot


def _keys() -> str:
    keys = {f"client: {stage}": (colour, "") for stage, colour in PHASES.items()}
    keys |= {fate: FATES[fate] for fate in FATES}
    said = "Pale: from sending to the answer; full: computing; dashed: no answer."
    return as_html([said], keys_html(keys))


def _sums(totals: Totals) -> str:
    rows = [
        (
            address,
            *map(str, (w.used, w.late, w.failed, w.skipped, w.redistributed)),
            bytes_text(w.bytes_sent),
            bytes_text(w.bytes_received),
        )
        for address, w in totals.workers.items()
    ]
    columns = ["worker", "used", "late", "failed", "skipped", "redistributed"]
    columns += ["sent", "received"]
    title = "What became of each worker's subtasks since the scheduler began"
    return as_html([Table(title, columns, rows)])


def names_of(addresses: Iterable[str]) -> dict[str, str]:
    """Returns a short name for each worker, no two alike."""
    names: dict[str, str] = {}
    for address in addresses:
        short = plain(address)
        while short in names.values() or short == _CLIENT:
            short += "′"
        names[address] = short
    return names


def plain(text: str) -> str:
    """Returns a text as it is shown: short, and no formula.

    For what it takes for TeX, Bokeh would load a library from another host.
    """
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return _FORMULA.sub(lambda found: "\u2060".join(found[0]), short)
