"""What became of a subtask, for people: in finer words than whether it was used."""

from __future__ import annotations

from typing import Literal

from fcdcc_keras.dispatch.collector import SubtaskRecord
from fcdcc_keras.execution.records import LayerRecord, UnderWay
from fcdcc_keras.palette import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY, YELLOW

Fate = Literal["used", "redistributed", "redundant", "late", "failed", "running"]

FATES: dict[Fate, tuple[str, str]] = {
    "used": (GREEN, "its answer was needed"),
    "redistributed": (PINK, "likewise, in the place of another worker"),
    "redundant": (YELLOW, "others' answers did; its own came soon after"),
    "late": (ORANGE, "others' answers did; its own came long after, or has not come"),
    "failed": (RED, "there was no answer, or a wrong one"),
    "running": (BLACK, "what becomes of it is not known yet"),
}
"""Colour and meaning of each."""
PHASES = {"encode": BLUE, "collect": "#CCCCCC", "decode": SKY, "convolve": GREY}
"""Colour of what the client does."""
_SOON = 2.0
"""Times as long as the slowest answer needed that one takes which came soon after."""


def fates(record: LayerRecord | UnderWay) -> list[Fate]:
    """Returns what became of each subtask of a micro-batch, in their order."""
    took = [_took(task) for task in record.subtasks if task.outcome == "used"]
    soon = _SOON * max((t for t in took if t is not None), default=0.0)
    return [
        "running" if isinstance(record, UnderWay) and _owed(task) else _fate(task, soon)
        for task in record.subtasks
    ]


def _owed(task: SubtaskRecord) -> bool:
    return task.outcome == "late" and task.received is None


def _fate(task: SubtaskRecord, soon: float) -> Fate:
    if task.outcome == "failed":
        return "failed"
    if task.outcome == "used":
        return "redistributed" if task.redistributed else "used"
    took = _took(task)
    return "redundant" if took is not None and took <= soon else "late"


def _took(task: SubtaskRecord) -> float | None:
    if task.sent is None or task.received is None:
        return None
    return task.received - task.sent
