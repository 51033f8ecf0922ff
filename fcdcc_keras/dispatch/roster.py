"""Which worker has which share: pure bookkeeping.

A layer has n shares, one for each *slot*. At first every slot has a worker of its own.
When workers are lost, their slots may go to spare workers or, where too few are left,
to workers that have one already; when workers come, slots go back to one each.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


class Roster:
    """The address of each slot's worker, and moves between them."""

    def __init__(self, addresses: Sequence[str]) -> None:
        """Takes the worker of each slot."""
        self._addresses = list(addresses)
        self._slots: dict[str, list[int]] = {}
        for slot, address in enumerate(addresses):
            self._slots.setdefault(address, []).append(slot)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Address of each slot's worker."""
        return tuple(self._addresses)

    def address(self, slot: int) -> str:
        """Returns the address of a slot's worker."""
        return self._addresses[slot]

    def slots(self, address: str) -> list[int]:
        """Returns the slots of a worker, in ascending order."""
        return sorted(self._slots.get(address, ()))

    @property
    def doubled(self) -> bool:
        """Whether a worker has several slots."""
        return len(self._slots) < len(self._addresses)

    def heal(self, there: Collection[str], spare: Collection[str]) -> list[int]:
        """Gives workers without a slot those of workers that are gone or have several.

        Args:
            there: Addresses of workers that may keep their slot.
            spare: Addresses of workers that may be given one, if they have none.

        Returns:
            The slots that moved.
        """
        moved = []
        for address in [a for a in spare if a not in self._slots]:
            slot = self._vacant(there)
            if slot is None:
                slot = self._most_loaded()
            if slot is None:
                break
            self._move(slot, address)
            moved.append(slot)
        return moved

    def replace(self, slot: int, candidates: Collection[str]) -> str | None:
        """Gives a slot to the candidate that has the fewest.

        Returns:
            Its address, or None where there is no other candidate.
        """
        others = [a for a in candidates if a != self._addresses[slot]]
        if not others:
            return None
        self._move(slot, min(others, key=lambda a: len(self._slots.get(a, ()))))
        return self._addresses[slot]

    def _move(self, slot: int, address: str) -> None:
        before = self._slots[self._addresses[slot]]
        before.remove(slot)
        if not before:
            del self._slots[self._addresses[slot]]
        self._slots.setdefault(address, []).append(slot)
        self._addresses[slot] = address

    def _vacant(self, there: Collection[str]) -> int | None:
        return next((s for s, a in enumerate(self._addresses) if a not in there), None)

    def _most_loaded(self) -> int | None:
        several = [slots for slots in self._slots.values() if len(slots) > 1]
        if not several:
            return None
        most = max(map(len, several))
        return min(min(slots) for slots in several if len(slots) == most)
