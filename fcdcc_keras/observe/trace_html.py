"""A trace in a notebook: what each worker did when, as SVG, and its summary."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.markup import as_html, keys_html
from fcdcc_keras.monitoring.fates import FATES, PHASES
from fcdcc_keras.monitoring.timeline import Bar, Span, Timeline, phase_lanes, timeline
from fcdcc_keras.monitoring.timeline import lanes as lanes_of
from fcdcc_keras.observe.summary import Summary
from fcdcc_keras.text import milliseconds

_MOST_SUBTASKS = 300
"""That are drawn: the last ones."""
_NAMES, _CHART, _ROW = 250, 750, 22
"""Pixels: width of the names and of the chart, height of a worker's row."""
_LONGEST = 34
"""Letters of a name that are shown."""


def trace_html(records: Sequence[LayerRecord]) -> str:
    """Returns a trace as HTML that can stand in any page."""
    summary = Summary(records)
    shown = last(records, _MOST_SUBTASKS)
    said = ""
    if len(shown) < len(records):
        said = f"<p>The last {len(shown)} of {len(records)} records are drawn.</p>"
    picture = gantt_svg(timeline(shown)) + said if shown else ""
    return as_html(summary.blocks(), picture)


def last(records: Sequence[LayerRecord], most: int) -> list[LayerRecord]:
    """Returns the last records that have no more subtasks than so many together."""
    shown: list[LayerRecord] = []
    for record in reversed(records):
        most -= len(record.subtasks)
        if shown and most < 0:
            break
        shown.append(record)
    return shown[::-1]


def gantt_svg(line: Timeline) -> str:
    """Returns a row for the client and one for each worker, as the picture has them."""
    end = max((phase.span.end for phase in line.phases), default=0.0)
    scale = _CHART / (1.03 * end or 1.0)
    drawn = [_name(0, "client")]
    phase_lane = phase_lanes(line.phases)
    thin = 0.8 / (max(phase_lane, default=0) + 1)
    for phase, lane in zip(line.phases, phase_lane, strict=True):
        drawn.append(
            _box(phase.span, lane * thin, thin, scale, PHASES[phase.stage])
            + f"<title>{escape(phase.layer)}: {phase.stage}, "
            f"{milliseconds(phase.span.duration)} ms</title></rect>"
        )
    for row, address in enumerate(line.shares, start=1):
        bars = [bar for bar in line.bars if bar.address == address]
        lane_of = lanes_of([bar.span for bar in bars])
        height = 0.8 / (max(lane_of, default=0) + 1)
        drawn.append(_name(row, address))
        for bar, lane in zip(bars, lane_of, strict=True):
            drawn += _bar(bar, row + lane * height, height, scale)
    high = (len(line.shares) + 1) * _ROW + 16
    drawn.append(
        f'<text x="{_NAMES}" y="{high - 3}" font-size="11">0 ms</text>'
        f'<text x="{_NAMES + _CHART}" y="{high - 3}" font-size="11" '
        f'text-anchor="end">{milliseconds(1.03 * end)} ms</text>'
    )
    return (
        f'<svg width="{_NAMES + _CHART}" viewBox="0 0 {_NAMES + _CHART} {high}" '
        f'font-size="12" role="img" aria-label="What each worker did when">'
        f"{''.join(drawn)}</svg>{_keys(line)}"
    )


def _keys(line: Timeline) -> str:
    told = {bar.fate for bar in line.bars}
    keys = {f"client: {stage}": (colour, "") for stage, colour in PHASES.items()}
    keys |= {fate: FATES[fate] for fate in FATES if fate in told}
    said = "Pale: from sending to the answer; full: computing; dashed: no answer."
    return f"{keys_html(keys)}<p>{said}</p>"


def _bar(bar: Bar, top: float, height: float, scale: float) -> list[str]:
    colour = FATES[bar.fate][0]
    said = f"{bar.layer}: {bar.fate}, {milliseconds(bar.span.duration)} ms"
    said += f", {bar.about}" if bar.about else ""
    style = 'fill-opacity="0.3"' if bar.answered else 'fill-opacity="0"'
    if not bar.answered:
        style += ' stroke-dasharray="3 2"'
    drawn = [
        _box(bar.span, top, height, scale, colour, f'{style} stroke="{colour}"')
        + f"<title>{escape(said)}</title></rect>"
    ]
    if bar.convolution is not None:
        drawn.append(
            _box(bar.convolution, top, height, scale, colour, 'pointer-events="none"')
            + "</rect>"
        )
    return drawn


def _box(
    span: Span, top: float, height: float, scale: float, colour: str, style: str = ""
) -> str:
    """Returns an open rectangle; it may run off the chart, where it is cut."""
    left = min(max(span.begin * scale, 0.0), _CHART)
    right = min(max(span.end * scale, left), _CHART)
    return (
        f'<rect x="{_NAMES + left:.1f}" y="{(top + 0.1) * _ROW:.1f}" '
        f'width="{max(0.5, right - left):.1f}" height="{height * _ROW:.1f}" '
        f'fill="{colour}" {style}>'
    )


def _name(row: int, name: str) -> str:
    shown = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    return (
        f'<text x="0" y="{(row + 0.7) * _ROW:.1f}">{escape(shown)}'
        f"<title>{escape(name)}</title></text>"
    )
