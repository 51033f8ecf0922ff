"""Collecting the answers of one layer: pure bookkeeping, no I/O, no clock.

Both executors feed it what happened and when, and ask it what to do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fcdcc_keras.codes import Code
from fcdcc_keras.errors import DecodeError

Outcome = Literal["used", "late", "failed", "skipped"]


@dataclass
class SubtaskRecord:
    """What became of one worker's share of one layer. Times in seconds."""

    worker: int
    """Index of the worker, from 0 to n − 1."""
    address: str
    outcome: Outcome = "skipped"
    """"used", "late" (decoded without it), "failed", or "skipped" (not sent,
    because the worker had unfinished work)."""
    sent: float | None = None
    started: float | None = None
    """By the worker's clock, as ``finished``."""
    finished: float | None = None
    received: float | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    detail: str = ""
    """Why it failed."""


class Collector:
    """Gathers the workers' results of one layer until they can be decoded well."""

    def __init__(
        self, code: Code, addresses: Sequence[str], limit: float = math.inf
    ) -> None:
        """Takes what to decode by.

        Args:
            code: The layer's code.
            addresses: Address of each worker.
            limit: Largest error amplification α with which an answer may be decoded;
                with a worse one, further answers are waited for.
        """
        self._code = code
        self._limit = limit
        self._complete = False
        self._answers: dict[int, np.ndarray] = {}
        self.records = [SubtaskRecord(w, a) for w, a in enumerate(addresses)]
        """What became of each worker's share, by worker."""

    @property
    def complete(self) -> bool:
        """Whether the answers can be decoded well; from then on others are late."""
        return self._complete

    @property
    def survivors(self) -> tuple[int, ...]:
        """Workers whose answers are used, in ascending order."""
        return tuple(sorted(self._answers))

    @property
    def results(self) -> list[np.ndarray]:
        """The answers of the survivors, in their order."""
        return [self._answers[w] for w in self.survivors]

    @property
    def hopeless(self) -> bool:
        """Whether even all workers that have not failed would not do."""
        left = [r.worker for r in self.records if r.outcome != "failed"]
        return not self.enough(left)

    def unsent(self) -> list[int]:
        """Returns the workers that were not sent anything for this layer."""
        return [r.worker for r in self.records if r.outcome == "skipped"]

    def sent(self, worker: int, now: float, nbytes: int) -> None:
        """Notes that a worker was sent its coded input."""
        record = self.records[worker]
        record.outcome, record.sent, record.bytes_sent = "late", now, nbytes

    def answered(
        self,
        worker: int,
        now: float,
        array: np.ndarray,
        started: float | None = None,
        finished: float | None = None,
    ) -> None:
        """Notes a worker's result; ignored once the answers are complete."""
        record = self.records[worker]
        if self.complete or record.outcome == "failed":
            return
        self._answers[worker] = array
        record.outcome, record.received = "used", now
        record.started, record.finished = started, finished
        record.bytes_received = array.nbytes
        self._complete = self.enough(self._answers)

    def failed(self, worker: int, now: float, why: str) -> None:
        """Notes that a worker will not answer."""
        record = self.records[worker]
        if self.complete or worker in self._answers:
            return
        record.outcome, record.received, record.detail = "failed", now, why

    def enough(self, workers: Collection[int]) -> bool:
        """Returns whether these workers' results give the output within the limit."""
        if not self._code.decodable(workers):
            return False
        if math.isinf(self._limit):
            return True
        try:
            return self._code.decoder(workers).amplification <= self._limit
        except DecodeError:
            return False


def choose_targets(
    collector: Collector, free: Collection[int], alive: Collection[int]
) -> list[int]:
    """Returns the workers to send a layer's coded inputs to.

    A worker with unfinished work gets nothing new while the others suffice: it
    would not answer sooner, and what is sent to a frozen one piles up on the way.

    Args:
        collector: Of the layer, before anything is sent.
        free: Workers without unfinished work.
        alive: Workers not known to be lost.
    """
    return sorted(free if collector.enough(free) else alive)
