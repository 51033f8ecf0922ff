"""What a client tells its scheduler: sums, and what happened lately, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fcdcc_keras.dispatch.collector import SubtaskRecord
from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.monitoring.totals import Totals

HANDLER = "fcdcc_figures"
"""Name of the scheduler's handler that takes them."""


@dataclass(frozen=True)
class Told:
    """What a message says."""

    client: str
    """What Dask calls the client."""
    source: str
    """Which of its models it is about."""
    totals: Totals
    """Since that was distributed."""
    records: Sequence[tuple[int, LayerRecord]]
    """What happened lately, each with its number; one that is told of again has changed
    as late answers came."""

    def to_text(self) -> str:
        """Returns it as it is sent."""
        records = [
            [number, vars(record) | {"subtasks": list(map(vars, record.subtasks))}]
            for number, record in self.records
        ]
        said = {"totals": self.totals.to_plain(), "records": records}
        return json.dumps({"client": self.client, "source": self.source, **said})

    @classmethod
    def from_text(cls, text: str) -> Told:
        """Returns what ``to_text`` made a text of."""
        said = json.loads(text)
        totals = Totals.from_plain(said["totals"])
        records = [(number, _record(row)) for number, row in said["records"]]
        return cls(said["client"], said["source"], totals, records)


def _record(row: dict[str, Any]) -> LayerRecord:
    subtasks = tuple(SubtaskRecord(**task) for task in row.pop("subtasks"))
    survivors = tuple(row.pop("survivors"))
    return LayerRecord(**row, survivors=survivors, subtasks=subtasks)
