"""Who computes the parts of workers that will not: one layer's search for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcdcc_keras.execution.collector import Collector

if TYPE_CHECKING:
    from fcdcc_keras.execution.members import Members

MOST_TRIES = 3
"""Workers that a share is tried on before it is given up."""


class Substitution:
    """Moves slots to other workers, no more of them than are needed."""

    def __init__(self, collector: Collector, members: Members) -> None:
        self._collector = collector
        self._members = members
        self._tried: dict[int, set[str]] = {}

    def move_missing(self) -> list[int]:
        """Gives slots that are missing to sound workers until the others suffice.

        Returns:
            The slots moved; what stands for them must be sent to their new workers.
        """
        members, collector = self._members, self._collector
        sound = set(members.sound())
        hopeful = [r.worker for r in collector.records if self._hopeful(r.worker)]
        moved: list[int] = []
        for slot in range(len(collector.records)):
            if collector.enough([*hopeful, *moved]):
                break
            if slot in hopeful:
                continue
            tried = self._tried.setdefault(slot, {members.roster.address(slot)})
            if len(tried) >= MOST_TRIES:
                continue
            address = members.roster.replace(slot, sound - tried)
            if address is not None:
                tried.add(address)
                moved.append(slot)
        return moved

    def _hopeful(self, slot: int) -> bool:
        """Returns whether an answer has come, or is likely to."""
        if slot in self._collector.survivors:
            return True
        failed = self._collector.records[slot].outcome == "failed"
        return not (failed or self._members.of(slot).absent)
