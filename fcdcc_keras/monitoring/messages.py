"""What a client tells its scheduler: sums, and what happens and happened, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Literal

from fcdcc_keras.dispatch.collector import SubtaskRecord
from fcdcc_keras.execution.records import LayerRecord, UnderWay
from fcdcc_keras.monitoring.totals import Totals

HANDLER = "fcdcc_figures"
"""Name of the scheduler's handler that takes them."""
Wanted = Literal["nothing", "sums", "events"]
"""What a scheduler that was told wants to be told from now on: events too, where
somebody looks at them."""

_values = attrgetter(*(field.name for field in fields(SubtaskRecord)))
"""Gives a subtask as a row: by names it would take twice as long."""


@dataclass(frozen=True)
class Told:
    """What a message says."""

    client: str
    """What Dask calls the client."""
    source: str
    """Which of its models it is about."""
    totals: Totals
    """Since that was distributed."""
    records: Sequence[tuple[int, LayerRecord]] = ()
    """What happened lately, each with its number; one that is told of again has changed
    as late answers came."""
    under_way: Sequence[UnderWay] = ()
    """All that goes on now."""

    def to_text(self) -> str:
        """Returns it as it is sent."""
        said = {
            "client": self.client,
            "source": self.source,
            "totals": self.totals.to_plain(),
            "records": [(number, _plain(record)) for number, record in self.records],
            "under_way": list(map(_plain, self.under_way)),
        }
        return json.dumps(said)

    @classmethod
    def from_text(cls, text: str) -> Told:
        """Returns what ``to_text`` made a text of."""
        said = json.loads(text)
        return cls(
            said["client"],
            said["source"],
            Totals.from_plain(said["totals"]),
            [(number, _record(row)) for number, row in said["records"]],
            [UnderWay(**row | _subtasks(row)) for row in said["under_way"]],
        )


def _plain(told: LayerRecord | UnderWay) -> dict[str, Any]:
    return vars(told) | {"subtasks": list(map(_values, told.subtasks))}


def _record(row: dict[str, Any]) -> LayerRecord:
    survivors = tuple(row.pop("survivors"))
    return LayerRecord(**row | _subtasks(row), survivors=survivors)


def _subtasks(row: dict[str, Any]) -> dict[str, tuple[SubtaskRecord, ...]]:
    return {"subtasks": tuple(SubtaskRecord(*values) for values in row["subtasks"])}
