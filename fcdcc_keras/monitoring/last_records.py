"""The last records, as many as have no more than so many subtasks together."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from fcdcc_keras.execution.records import LayerRecord

Name = TypeVar("Name", bound=Hashable)


class LastRecords(Generic[Name]):
    """Forgets the oldest where there are too many, but never the only one."""

    def __init__(self, most: int) -> None:
        """Takes what may be kept.

        Args:
            most: Subtasks of all records together.
        """
        self._most = most
        self._records: dict[Name, LayerRecord] = {}
        self._subtasks = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def records(self) -> list[LayerRecord]:
        """The records, in the order in which their names came."""
        return list(self._records.values())

    def keep(self, name: Name, record: LayerRecord) -> None:
        """Adds a record; one of its name that there is has its place taken."""
        if name not in self._records:
            self._subtasks += len(record.subtasks)
        self._records[name] = record
        while self._subtasks > self._most and len(self._records) > 1:
            oldest = self._records.pop(next(iter(self._records)))
            self._subtasks -= len(oldest.subtasks)

    def take(self) -> list[tuple[Name, LayerRecord]]:
        """Returns the records with their names, and forgets them."""
        taken, self._records, self._subtasks = [*self._records.items()], {}, 0
        return taken
