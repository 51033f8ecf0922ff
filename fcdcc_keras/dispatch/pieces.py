"""Pieces of work that any worker can do, and which of them are done: bookkeeping.

A piece is a tile of a chain of layers. Pure: of results it knows but who gave them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from fcdcc_keras.dispatch.collector import SubtaskRecord


@dataclass(frozen=True)
class Piece:
    """One piece of work."""

    kind: Hashable
    """What workers' usual times for such work are remembered under."""
    size: float = 1.0
    """How much it is of the work that these times are for."""
    home: str = ""
    """Address of the worker that it was cut for."""
    needs: frozenset[int] = frozenset()
    """Pieces from whose results its input is taken."""
    part_of: tuple[Hashable, float] | None = None
    """Kind of a larger piece of work that it is part of, and how much of that kind's
    it is, where such are done as one as a rule."""


class PieceCollector:
    """Which pieces are done, by whom, and what became of all that was sent."""

    def __init__(
        self, pieces: Sequence[Piece], addresses: Sequence[str], spare: int = 0
    ) -> None:
        """Takes what is to be done.

        Args:
            pieces: The pieces.
            addresses: The workers', in the order of their slots.
            spare: Results of each piece that are wanted to confirm the first.
        """
        self.pieces = tuple(pieces)
        self.spare = spare
        self.epoch = 0.0
        """What the times of records are later than those that it is told, in
        seconds."""
        self.records: list[SubtaskRecord] = []
        """What became of each copy of a piece that was sent, in the order of
        sending."""
        self.disputed = False
        """Whether results contradict each other; whose is wrong is not known."""
        self.exposed: list[str] = []
        """Addresses of workers that gave a result which contradicts the others'."""
        self.abandoned: str | None = None
        """Why the workers' results are of no use, whatever they are."""
        self.begun = True
        """Whether anything was sent whose result is wanted."""
        self.used: dict[int, str] = {}
        """Whose result of each piece is used."""
        self._slots = {address: slot for slot, address in enumerate(addresses)}
        self._sent: dict[tuple[int, str], SubtaskRecord] = {}
        self._stopped = False

    @property
    def complete(self) -> bool:
        """Whether all pieces are done."""
        return len(self.used) == len(self.pieces)

    @property
    def survivors(self) -> tuple[int, ...]:
        """Slots of the workers whose results are used, in ascending order."""
        return tuple(sorted({self._slot(address) for address in self.used.values()}))

    @property
    def missing(self) -> list[int]:
        """Pieces that are not done."""
        return [p for p in range(len(self.pieces)) if p not in self.used]

    def record(self, piece: int, worker: str) -> SubtaskRecord:
        """Returns what is noted of a copy that was sent."""
        return self._sent[piece, worker]

    def wants(self, piece: int) -> bool:
        """Returns whether a result of a piece would be the first."""
        return piece not in self.used

    def sent(
        self, piece: int, worker: str, now: float, *, redistributed: bool = False
    ) -> None:
        """Notes that a worker was sent a piece, in the place of another or not."""
        record = SubtaskRecord(self._slot(worker), worker, "late", now + self.epoch)
        record.piece, record.redistributed = piece, redistributed
        self._sent[piece, worker] = record
        self.records.append(record)

    def came(
        self,
        piece: int,
        worker: str,
        now: float,
        nbytes: int,
        started: float | None = None,
        finished: float | None = None,
    ) -> None:
        """Notes a result, used or not, and when it was computed by whose clock."""
        record = self._sent[piece, worker]
        # In this order, for who reads it elsewhere.
        record.bytes_received, record.received = nbytes, now + self.epoch
        record.started, record.finished = started, finished

    def use(self, piece: int, worker: str) -> None:
        """Notes whose result of a piece is used."""
        self.used[piece] = worker
        self._sent[piece, worker].outcome = "used"

    def failed(self, piece: int, worker: str, now: float, why: str) -> None:
        """Notes that a worker gave no usable result of a piece."""
        record = self._sent.get((piece, worker))
        if record is None or record.outcome == "used" or self._stopped:
            return
        record.outcome, record.detail = "failed", why
        record.received = now + self.epoch

    def fail_all(self, now: float, why: str) -> None:
        """Notes that nothing that is waited for will come."""
        for piece, worker in self._sent:
            if piece not in self.used:
                self.failed(piece, worker, now, why)

    def stop(self) -> None:
        """Ends collecting: what comes from now on only is noted to have come."""
        self._stopped = True

    def _slot(self, address: str) -> int:
        # A worker that joined after the round began has the next number.
        return self._slots.setdefault(address, len(self._slots))
