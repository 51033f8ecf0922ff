"""What the doctor says of something that is amiss: plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fcdcc_keras.doctor.findings import WorkerFound


@dataclass(frozen=True)
class Trouble:
    """Something that is amiss."""

    kind: str
    """A word or two, for programs; docs/doctor.md lists them."""
    where: tuple[str, ...]
    """Who has it: workers and machines, "scheduler", "client"."""
    what: str
    """What it is, of each of them."""
    mend: str
    """What to do about it."""
    fatal: bool = True
    """Whether ``fk.distribute`` fails for it."""


def name_of(worker: WorkerFound) -> str:
    """Returns what a worker is told from others by: its name, and its address."""
    if worker.name == worker.address:
        return worker.address
    return f"{worker.name} ({worker.address.partition('://')[2]})"


def joined(troubles: Sequence[Trouble]) -> list[Trouble]:
    """Returns troubles, fatal ones first; what several have is one.

    Args:
        troubles: In any order, which is kept otherwise.
    """
    found: dict[tuple[str, str, str, bool], Trouble] = {}
    for one in sorted(troubles, key=lambda trouble: not trouble.fatal):
        key = one.kind, one.what, one.mend, one.fatal
        if key in found:
            found[key] = replace(found[key], where=found[key].where + one.where)
        else:
            found[key] = one
    return list(found.values())
