"""Two models side by side on the same images, while faults happen to one of them."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from numpy.typing import NDArray

from fcdcc_keras.commands.faults import Fault, take_due
from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.observe.summary import Summary
from fcdcc_keras.observe.trace import trace
from fcdcc_keras.rewriting.distribute import sessions

Images = NDArray[np.float32]
Labels = NDArray[np.int64]

_PATIENCE = 50
"""Batches until answers that are still out are no more counted."""
_MOST_SCENES = 4


@dataclass(frozen=True)
class Scene:
    """A batch whose every share is kept, for its picture."""

    title: str
    records: tuple[LayerRecord, ...]


@dataclass(frozen=True)
class Difference:
    """An image that the two models give different classes."""

    image: int
    """Its number, from 0."""
    label: int
    """Its class in the data."""
    plain: int
    coded: int


@dataclass
class Comparison:
    """What was found."""

    summary: Summary = field(default_factory=Summary)
    """What workers did, batch by batch added up."""
    images: int = 0
    plain_right: int = 0
    coded_right: int = 0
    differences: list[Difference] = field(default_factory=list)
    deviation: float = 0.0
    """Largest |scores − plain scores| of a batch over its largest |plain score|."""
    plain_seconds: list[float] = field(default_factory=list)
    """Of each full batch."""
    coded_seconds: list[float] = field(default_factory=list)
    """Of each full batch."""
    struck: list[tuple[Fault, int]] = field(default_factory=list)
    """Each fault with the number of the batch in which it happened, from 0."""
    scenes: list[Scene] = field(default_factory=list)
    """The first batch, the first ones with faults, and the slowest."""


def compare(
    plain: keras.Model,
    coded: keras.Model,
    batches: Iterator[tuple[Images, Labels]],
    faults: Sequence[Fault] = (),
    *,
    images: int,
    strike: Callable[[Fault], None] = lambda fault: None,
    after_batch: Callable[[], None] = lambda: None,
) -> Comparison:
    """Predicts every batch with both models in turn, and compares.

    Args:
        plain: Maps images (B, H, W, C) to scores (B, N).
        coded: Its coded counterpart.
        batches: Images and their classes; the last batch may be smaller.
        faults: In the order in which they happen.
        images: How many there are in all.
        strike: Called with each fault in the middle of the batch that its image is
            in: when the first coded layer is done.
        after_batch: Called after each batch.
    """
    comparison = Comparison()
    first = next(batches)
    full = len(first[0])
    for model in (plain, coded):  # whatever is loaded or compiled at first
        model.predict_on_batch(first[0])
    left = deque(faults)
    recent: deque[list[LayerRecord]] = deque()
    slowest, longest = None, 0.0
    strikes = _Strikes(strike)
    with trace(coded) as watched, _listening(coded, strikes):
        for number, (batch, labels) in enumerate(itertools.chain([first], batches)):
            plain_scores, plain_time = _timed(plain, batch)
            now = take_due(left, comparison.images + len(batch), images)
            comparison.struck += [(fault, number) for fault in now]
            strikes.pending += now
            coded_scores, coded_time = _timed(coded, batch)
            _add(comparison, plain_scores, coded_scores, labels)
            if len(batch) == full:  # another size is another graph to build
                comparison.plain_seconds.append(plain_time)
                comparison.coded_seconds.append(coded_time)
            records = watched.records.copy()
            del watched.records[: len(records)]
            recent.append(records)
            if (number == 0 or now) and len(comparison.scenes) < _MOST_SCENES:
                told = "; ".join(fault.text for fault in now) or "before any fault"
                comparison.scenes.append(_scene(number, told, records))
            elif coded_time > longest:
                slowest, longest = _scene(number, "the slowest", records), coded_time
            if len(recent) > _PATIENCE:
                comparison.summary.add(recent.popleft())
            after_batch()
    for records in recent:
        comparison.summary.add(records)
    if slowest is not None and longest >= max(comparison.coded_seconds):
        comparison.scenes.append(slowest)
    return comparison


class _Strikes:
    """Lets what is pending happen when the next layer is done."""

    def __init__(self, strike: Callable[[Fault], None]) -> None:
        self.pending: list[Fault] = []
        self._strike = strike
        self._lock = threading.Lock()

    def __call__(self, record: LayerRecord) -> None:
        with self._lock:  # micro-batches may be done at the same time
            now, self.pending = self.pending, []
        for fault in now:
            self._strike(fault)


@contextlib.contextmanager
def _listening(
    coded: keras.Model, listener: Callable[[LayerRecord], None]
) -> Iterator[None]:
    notes = [session.notes for session in sessions(coded)]
    for each in notes:
        each.listeners.append(listener)
    try:
        yield
    finally:
        for each in notes:
            each.listeners.remove(listener)


def _timed(model: keras.Model, batch: Images) -> tuple[Images, float]:
    began = time.perf_counter()
    scores = np.asarray(model.predict_on_batch(batch))
    return scores, time.perf_counter() - began


def _add(found: Comparison, plain: Images, coded: Images, labels: Labels) -> None:
    ours, theirs = coded.argmax(axis=1), plain.argmax(axis=1)
    for i in np.flatnonzero(ours != theirs):
        classes = (int(x[i]) for x in (labels, theirs, ours))
        found.differences.append(Difference(found.images + int(i), *classes))
    found.plain_right += int((theirs == labels).sum())
    found.coded_right += int((ours == labels).sum())
    found.images += len(labels)
    # Whatever is not finite is no deviation if both are the same.
    if not np.array_equal(coded, plain, equal_nan=True):
        deviation = float(np.abs(coded - plain).max() / np.abs(plain).max())
        found.deviation = float(np.fmax(found.deviation, deviation))
        if np.isnan(deviation):
            found.deviation = float("inf")


def _scene(number: int, told: str, records: list[LayerRecord]) -> Scene:
    return Scene(f"Batch {number + 1}: {told}", tuple(records))
