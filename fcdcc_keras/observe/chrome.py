"""Traces in the format that browsers' and Perfetto's trace viewers open.

Source of the format: "Trace Event Format", the Chromium project.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fcdcc_keras.monitoring.timeline import Bar, Span, Timeline, lanes, phase_lanes

_CLIENT = 0
"""Process number of the client; the workers' follow."""
# Names of the viewer's own palette.
_COLOURS = {"used": "good", "late": "bad", "failed": "terrible"}


def chrome_events(line: Timeline) -> list[dict[str, Any]]:
    """Returns a timeline as trace events: times in microseconds.

    Every worker is a process. What overlaps is put on threads beside each other.
    """
    events = list(_named(_CLIENT, "client"))
    for phase, lane in zip(line.phases, phase_lanes(line.phases), strict=True):
        events.append(
            _complete(_CLIENT, lane, f"{phase.stage} {phase.layer}", phase.span)
            | {"cat": phase.stage, "args": {"layer": phase.layer, "call": phase.call}}
        )
    for number, (address, share) in enumerate(line.shares.items(), start=1):
        events += _named(number, f"worker {share}: {address}")
        bars = [bar for bar in line.bars if bar.address == address]
        for bar, lane in zip(bars, lanes([bar.span for bar in bars]), strict=True):
            events += _share(number, lane, bar)
    return events


def write_chrome(line: Timeline, path: str | Path) -> None:
    """Writes a timeline as a JSON file for chrome://tracing or ui.perfetto.dev."""
    found = {
        "traceEvents": chrome_events(line),
        "displayTimeUnit": "ms",
        "otherData": {"started": line.origin},
    }
    Path(path).write_text(json.dumps(found), "utf-8")


def _share(process: int, lane: int, bar: Bar) -> Iterator[dict[str, Any]]:
    yield _complete(process, lane, bar.layer, bar.span) | {
        "cat": bar.outcome,
        "cname": _COLOURS[bar.outcome],
        "args": {
            "share": bar.worker,
            "call": bar.call,
            "outcome": bar.outcome,
            "answered": bar.answered,
            "bytes_sent": bar.bytes_sent,
            "bytes_received": bar.bytes_received,
            **({} if bar.tile is None else {"tile": bar.tile}),
            **({"engine": bar.engine} if bar.engine else {}),
            **({"waited": bar.waited} if bar.waited else {}),
            **({"detail": bar.detail} if bar.detail else {}),
        },
    }
    if bar.convolution is not None:
        yield _complete(process, lane, "convolution", bar.convolution) | {
            "cat": "convolution",
            "args": {"layer": bar.layer, "call": bar.call},
        }


def _complete(process: int, thread: int, name: str, span: Span) -> dict[str, Any]:
    return {
        "ph": "X",
        "pid": process,
        "tid": thread,
        "name": name,
        "ts": round(span.begin * 1e6, 3),
        "dur": round(span.duration * 1e6, 3),
    }


def _named(process: int, name: str) -> Iterator[dict[str, Any]]:
    shared = {"ph": "M", "pid": process, "tid": 0}
    yield {**shared, "name": "process_name", "args": {"name": name}}
    yield {**shared, "name": "process_sort_index", "args": {"sort_index": process}}
