"""Which answers of one layer there are, and whether they suffice.

Pure bookkeeping: no I/O, no clock, and of results it knows but who gave them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from fcdcc_keras.codes import Code
from fcdcc_keras.dispatch.targets import choose_few
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
    engine: str = ""
    """What the worker computed it by, as it says."""
    piece: int | None = None
    """Number of the tile, where the layers are computed in tiles."""
    redistributed: bool = False
    """Whether this worker was sent it as another was late, had failed or had left."""
    waited: float = 0.0
    """Seconds from start to finish, for what other workers were to give it."""


@dataclass(frozen=True)
class Verdict:
    """What came of comparing answers with each other."""

    asked: frozenset[int]
    """Workers whose answers were compared."""
    agreeing: frozenset[int]
    """Those of them whose answers agree; empty where it cannot be told."""


class Collector:
    """Gathers the workers' results of one layer until they can be decoded well."""

    spare: ClassVar[int] = 0
    """Workers without any of whom the others' answers must still do."""

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
        self._complete = self._stopped = False
        self._answers: dict[int, str] = {}
        """Who gave the answer that is used for each worker's share."""
        self.epoch = 0.0
        """What the times of records are later than those that it is told, in seconds:
        where those are of a clock that does not begin with 1970."""
        self._own = tuple(addresses)
        self.records = [SubtaskRecord(w, a) for w, a in enumerate(addresses)]
        """What became of each worker's share, by worker."""
        self.disputed = False
        """Whether the answers contradict each other; whose is wrong is not known."""
        self.exposed: list[str] = []
        """Addresses of workers that gave an answer which contradicts the others'."""
        self.abandoned: str | None = None
        """Why the workers' answers are of no use, whatever they are."""

    @property
    def complete(self) -> bool:
        """Whether the answers can be decoded well; from then on others are late."""
        return self._complete

    @property
    def survivors(self) -> tuple[int, ...]:
        """Workers whose answers are used, in ascending order."""
        return tuple(sorted(self._answers))

    @property
    def answers(self) -> list[tuple[int, str]]:
        """The survivors, in their order, each with the address that answered."""
        return sorted(self._answers.items())

    @property
    def code(self) -> Code:
        """The layer's code."""
        return self._code

    @property
    def hopeless(self) -> bool:
        """Whether even all workers that have not failed would not do."""
        left = [r.worker for r in self.records if r.outcome != "failed"]
        return not self.enough(left)

    def record(self, slot: int, worker: str) -> SubtaskRecord:
        """Returns what is noted of a slot, whoever has it."""
        return self.records[slot]

    def wants(self, slot: int) -> bool:
        """Returns whether an answer of a slot would be the first."""
        return self.records[slot].outcome == "late"

    def fail_all(self, now: float, why: str) -> None:
        """Notes that nothing that is waited for will come."""
        for record in self.records:
            self.failed(record.worker, now, why)

    def unsent(self) -> list[int]:
        """Returns the workers that were not sent anything for this layer."""
        return [r.worker for r in self.records if r.outcome == "skipped"]

    def sent(
        self, worker: int, now: float, nbytes: int, address: str | None = None
    ) -> None:
        """Notes that a worker, or another in its place, was sent its coded input."""
        record = self.records[worker]
        record.outcome, record.sent, record.received = "late", now + self.epoch, None
        record.bytes_sent += nbytes
        self._note_who(record, address)

    def again(self, worker: int) -> None:
        """Notes that a worker's part will be tried by another."""
        record = self.records[worker]
        if record.outcome != "used":
            record.outcome, record.detail = "skipped", ""

    def answered(
        self,
        worker: int,
        now: float,
        nbytes: int,
        started: float | None = None,
        finished: float | None = None,
        address: str | None = None,
    ) -> None:
        """Notes a worker's result; once collecting has ended, only when it came.

        Args:
            worker: Index of the worker.
            now: Seconds.
            nbytes: Size of its result.
            started: When it began, by its clock.
            finished: When it ended, by its clock.
            address: Who answered, where another may meanwhile be in its place.
        """
        record = self.records[worker]
        if worker in self._answers or record.outcome == "failed":
            return
        ended = self._complete or self._stopped
        if ended and record.outcome != "late":
            return
        # In this order, for who reads it elsewhere.
        record.bytes_received, record.received = nbytes, now + self.epoch
        record.started, record.finished = started, finished
        self._note_who(record, address)
        if ended:
            return
        self._answers[worker] = record.address
        record.outcome = "used"
        self._complete = self._suffices()

    def question(self) -> Mapping[str, frozenset[int]] | None:
        """Returns whose answers must be compared before they are complete, if any.

        Returns:
            The shares that each address has answered for. ``judged`` is to be given
            what comes of it.
        """
        return None

    def judged(self, verdict: Verdict) -> tuple[str, ...]:
        """Takes a verdict into account.

        Returns:
            Addresses of the workers that it shows to have lied.
        """
        return ()

    def stop(self) -> None:
        """Ends collecting: what comes from now on only is noted to have come."""
        self._stopped = True

    def failed(self, worker: int, now: float, why: str) -> None:
        """Notes that a worker will not answer."""
        record = self.records[worker]
        if self.complete or worker in self._answers:
            return
        record.outcome, record.received = "failed", now + self.epoch
        record.detail = why

    def enough(self, workers: Collection[int]) -> bool:
        """Returns whether these workers' results give the output within the limit."""
        if not self._code.decodable(workers):
            return False
        return math.isinf(self._limit) or self._amplification(workers) <= self._limit

    def choose(self, usual: Mapping[int, float]) -> list[int]:
        """Returns the least number of workers that gives the output, the best ones.

        Args:
            usual: Seconds that each worker that may be chosen usually takes.
        """
        return choose_few(self._code, usual, self.spare, self.enough)

    def _note_who(self, record: SubtaskRecord, address: str | None) -> None:
        if address is not None:
            record.address = address
            record.redistributed = address != self._own[record.worker]

    def _suffices(self) -> bool:
        return self.enough(self._answers)

    def _amplification(self, workers: Collection[int]) -> float:
        try:
            return self._code.decoder(workers).amplification
        except DecodeError:
            return math.inf
