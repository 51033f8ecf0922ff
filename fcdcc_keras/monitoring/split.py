"""Where the time of a coded layer's call went: into four parts, none counted twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

import numpy as np

from fcdcc_keras.execution.records import LayerRecord


@dataclass(frozen=True)
class Split:
    """Where the time of a layer's call went, in seconds."""

    encode: float = 0.0
    """Splitting and encoding the input, in the client."""
    transport: float = 0.0
    """The rest: to the workers and back, and waiting there, for halos as well."""
    convolution: float = 0.0
    """Of the worker whose answer was the last one needed, by its own clock, of tiles of
    the worker that had most to do; or of the client, where it computed the layer."""
    decode: float = 0.0
    """Decoding and merging, in the client."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.encode + self.transport + self.convolution + self.decode


STAGES = tuple(field.name for field in fields(Split))
"""Names of the parts of a ``Split``, in the order of time."""


def split(record: LayerRecord) -> Split:
    """Returns where the time of one micro-batch went, whatever else went on."""
    used = [
        (task.received, task.finished - task.started)
        for task in record.subtasks
        if task.outcome == "used"
        and task.received is not None
        and task.started is not None
        and task.finished is not None
    ]
    # A local layer may have waited for workers first: that is transport.
    waited = record.local is None and bool(used)
    busy = (_of_tiles(record) or max(used)[1]) if waited else 0.0
    convolution = min(max(0.0, busy), record.collect)
    return Split(
        encode=record.encode,
        transport=record.collect - convolution,
        convolution=convolution + record.convolve,
        decode=record.decode,
    )


def _of_tiles(record: LayerRecord) -> float:
    """Returns the seconds of the worker that computed most of a chain's tiles."""
    busy: defaultdict[str, float] = defaultdict(float)
    for task in record.subtasks:
        times = task.started, task.finished
        if task.outcome == "used" and task.piece is not None and None not in times:
            span = (task.finished or 0.0) - (task.started or 0.0)
            busy[task.address] += span - task.waited
    return max(busy.values(), default=0.0)


def split_together(parts: Iterable[tuple[float, Split]]) -> Split:
    """Returns where time went while any of these micro-batches was under way.

    What went on at the same moment shares it equally: the total is the time in
    which at least one was under way, however they overlap.

    Args:
        parts: When each began, in seconds, and where its own time went.
    """
    rows = [(began, *astuple(each)) for began, each in parts]
    if not rows:
        return Split()
    times = np.array(rows)
    times[:, 0] -= times[:, 0].min()  # since the epoch they have few digits left
    bounds = np.cumsum(times, axis=1)
    begins, ends = bounds[:, :-1], bounds[:, 1:]
    moments = np.unique(bounds)
    # Of each micro-batch and stage, whether it lasts from one moment to the next.
    lasting = (begins[..., None] <= moments[:-1]) & (moments[1:] <= ends[..., None])
    alike = np.maximum(lasting.sum(axis=(0, 1)), 1)
    seconds = (lasting * (np.diff(moments) / alike)).sum(axis=(0, 2))
    return Split(*map(float, seconds))
