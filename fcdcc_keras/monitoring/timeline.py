"""Records of coded layers as bars on a common time axis, in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fcdcc_keras.dispatch.collector import Outcome, SubtaskRecord
from fcdcc_keras.execution.records import LayerRecord, UnderWay
from fcdcc_keras.monitoring.fates import Fate, fates
from fcdcc_keras.text import milliseconds

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
    call: int | None
    """None: it is under way."""
    outcome: Outcome
    fate: Fate
    """What became of it, for people."""
    span: Span
    """From sending to the answer; without an answer, to when the layer was settled, or
    to what is known."""
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
    waited: float = 0.0
    """Seconds of ``convolution`` in which it waited for other workers' halos."""

    @property
    def about(self) -> str:
        """What else there is to say of it, for people."""
        tile = "" if self.tile is None else f"tile {self.tile}"
        waited = f"waited {milliseconds(self.waited)} ms for halos" * bool(self.waited)
        return ", ".join(filter(None, (tile, self.engine, waited, self.detail)))


@dataclass(frozen=True)
class Phase:
    """What the client did for one micro-batch of one layer."""

    layer: str
    call: int | None
    """None: it is under way."""
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


def timeline(
    records: Sequence[LayerRecord], under_way: Sequence[UnderWay] = ()
) -> Timeline:
    """Returns records on a common time axis.

    A worker's clock may differ from the client's: where what it says of its
    convolution does not lie between sending and answer, its duration alone is
    believed, and put into the middle.

    Args:
        records: What ``fk.trace`` holds, in any order.
        under_way: What goes on yet.
    """
    records = sorted(records, key=lambda record: record.started)
    begins = [each.started for each in records] + list(map(_began, under_way))
    origin = min(begins, default=0.0)
    bars, phases, first_share = [], [], dict[str, int]()
    whole: list[LayerRecord | UnderWay] = [*records, *under_way]
    for number, record in enumerate(whole):
        begin = begins[number] - origin
        call: int | None = None
        if isinstance(record, UnderWay):
            settled = max(begin, record.at - origin)
            collecting = Span(begin, settled)
            phases.append(Phase(record.layer, call, number, "collect", collecting))
        else:
            call, settled = record.call, begin + record.encode + record.collect
            phases += _phases(record, number, begin)
        for task, fate in zip(record.subtasks, fates(record), strict=True):
            first_share.setdefault(task.address, task.worker)
            if task.outcome == "skipped":
                continue
            if isinstance(record, LayerRecord) and record.transport == "in process":
                # Times since the layer began, none real.
                span, since = _virtual_span(task, begin), -begin
            else:
                span, since = _span(task, begin, settled, origin), origin
            bars.append(_bar(record.layer, call, task, fate, span, since))
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


def _began(record: UnderWay) -> float:
    sent = (task.sent for task in record.subtasks if task.sent is not None)
    return min(sent, default=record.at)


def _span(task: SubtaskRecord, begin: float, settled: float, origin: float) -> Span:
    sent = begin if task.sent is None else task.sent - origin
    end = settled if task.received is None else task.received - origin
    return Span(sent, max(sent, end))


def _virtual_span(task: SubtaskRecord, begin: float) -> Span:
    busy = (task.finished or 0.0) - (task.started or 0.0)
    return Span(begin + (task.sent or 0.0), begin + (task.received or 0.0) + busy)


def _bar(
    layer: str,
    call: int | None,
    task: SubtaskRecord,
    fate: Fate,
    span: Span,
    origin: float,
) -> Bar:
    convolution = None
    if task.started is not None and task.finished is not None:
        convolution = _within(span, Span(task.started - origin, task.finished - origin))
    return Bar(
        worker=task.worker,
        address=task.address,
        layer=layer,
        call=call,
        outcome=task.outcome,
        fate=fate,
        span=span,
        convolution=convolution,
        answered=task.received is not None and task.outcome != "failed",
        bytes_sent=task.bytes_sent,
        bytes_received=task.bytes_received,
        detail=task.detail,
        engine=task.engine,
        tile=task.piece,
        waited=task.waited,
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
