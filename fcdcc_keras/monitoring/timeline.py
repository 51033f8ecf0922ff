"""Records of coded layers as bars on a common time axis, in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fcdcc_keras.dispatch.collector import Outcome, SubtaskRecord
from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.monitoring.fates import Fate, fates

Stage = Literal["encode", "collect", "decode", "convolve"]


@dataclass(frozen=True)
class Span:
    """Some time, in seconds since the trace's first layer began."""

    begin: float
    end: float

    @property
    def duration(self) -> float:
        """Seconds from the begin to the end."""
        return self.end - self.begin


@dataclass(frozen=True)
class Bar:
    """What one worker did with its share of one micro-batch of one layer."""

    worker: int
    """Index of the share, from 0 to n − 1."""
    address: str
    layer: str
    call: int
    outcome: Outcome
    fate: Fate
    """What became of it, for people."""
    span: Span
    """From sending to the answer; without an answer, to when the layer was settled."""
    convolution: Span | None
    """When the worker computed; None: it is not known."""
    answered: bool
    bytes_sent: int
    bytes_received: int
    detail: str
    """Why it failed."""
    engine: str
    """What the worker computed by."""
    tile: int | None = None
    """Number of the tile, where the layers were computed in tiles."""


@dataclass(frozen=True)
class Phase:
    """What the client did for one micro-batch of one layer."""

    layer: str
    call: int
    record: int
    """Number of the micro-batch in the timeline: its phases follow each other."""
    stage: Stage
    """"convolve": it computed the layer itself."""
    span: Span


@dataclass(frozen=True)
class Timeline:
    """All that happened in a trace."""

    bars: tuple[Bar, ...]
    """Shares that were sent to a worker, or would have been if it had not failed."""
    phases: tuple[Phase, ...]
    shares: Mapping[str, int]
    """Index of the share that each worker's address had first, in ascending order."""
    origin: float
    """When it began, in seconds since the epoch."""


def timeline(records: Sequence[LayerRecord]) -> Timeline:
    """Returns records on a common time axis.

    A worker's clock may differ from the client's: where what it says of its
    convolution does not lie between sending and answer, its duration alone is
    believed, and put into the middle.

    Args:
        records: What ``fk.trace`` holds, in any order.
    """
    records = sorted(records, key=lambda record: record.started)
    origin = records[0].started if records else 0.0
    bars, phases, first_share = [], [], dict[str, int]()
    for number, record in enumerate(records):
        begin = record.started - origin
        phases += _phases(record, number, begin)
        for task, fate in zip(record.subtasks, fates(record), strict=True):
            first_share.setdefault(task.address, task.worker)
            if task.outcome != "skipped":
                bars.append(_bar(record, task, fate, begin, origin))
    shares = dict(sorted(first_share.items(), key=lambda item: item[1]))
    return Timeline(tuple(bars), tuple(phases), shares, origin)


def _phases(record: LayerRecord, number: int, begin: float) -> list[Phase]:
    stages: tuple[tuple[Stage, float], ...] = (
        ("encode", record.encode),
        ("collect", record.collect),
        ("decode", record.decode),
        ("convolve", record.convolve),
    )
    phases = []
    for stage, duration in stages:
        if duration:
            span = Span(begin, begin + duration)
            phases.append(Phase(record.layer, record.call, number, stage, span))
            begin = span.end
    return phases


def _bar(
    record: LayerRecord, task: SubtaskRecord, fate: Fate, begin: float, origin: float
) -> Bar:
    settled = begin + record.encode + record.collect
    answered = task.received is not None and task.outcome != "failed"
    busy = (task.finished or 0.0) - (task.started or 0.0)
    if record.transport == "in process":  # times since the layer began, none real
        origin = -begin
        span = Span(begin + (task.sent or 0.0), begin + (task.received or 0.0) + busy)
    else:
        sent = begin if task.sent is None else task.sent - origin
        end = settled if task.received is None else task.received - origin
        span = Span(sent, max(sent, end))
    convolution = None
    if task.started is not None and task.finished is not None:
        convolution = _within(span, Span(task.started - origin, task.finished - origin))
    return Bar(
        worker=task.worker,
        address=task.address,
        layer=record.layer,
        call=record.call,
        outcome=task.outcome,
        fate=fate,
        span=span,
        convolution=convolution,
        answered=answered,
        bytes_sent=task.bytes_sent,
        bytes_received=task.bytes_received,
        detail=task.detail,
        engine=task.engine,
        tile=task.piece,
    )


def _within(outer: Span, inner: Span) -> Span:
    if outer.begin <= inner.begin <= inner.end <= outer.end:
        return inner
    half = min(max(0.0, inner.duration), outer.duration) / 2
    middle = (outer.begin + outer.end) / 2
    return Span(middle - half, middle + half)


def phase_lanes(phases: Sequence[Phase]) -> list[int]:
    """Returns lanes as ``lanes`` does, one for all phases of a micro-batch."""
    whole: dict[int, Span] = {}
    for phase in phases:
        first = whole.setdefault(phase.record, phase.span)
        whole[phase.record] = Span(first.begin, phase.span.end)
    lane = dict(zip(whole, lanes(list(whole.values())), strict=True))
    return [lane[phase.record] for phase in phases]


def lanes(spans: Sequence[Span]) -> list[int]:
    """Returns the least lanes such that no two spans of a lane overlap.

    Args:
        spans: In any order.

    Returns:
        The lane of each span, counted from 0.
    """
    chosen = [0] * len(spans)
    free_at: list[float] = []
    for i in sorted(range(len(spans)), key=lambda i: (spans[i].begin, spans[i].end)):
        lane = next((n for n, at in enumerate(free_at) if at <= spans[i].begin), None)
        if lane is None:
            lane = len(free_at)
            free_at.append(0.0)
        free_at[lane] = spans[i].end
        chosen[i] = lane
    return chosen
