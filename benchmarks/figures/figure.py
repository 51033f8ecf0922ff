"""One figure of the benchmark: what a measurement gives, and what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figures.estimate import Estimate


@dataclass(frozen=True)
class Outcome:
    """What a measurement found."""

    estimate: Estimate
    rounds: int
    """Rounds that its medians are over."""
    client_convolutions: int | None = None
    """Convolutions of coded layers that the client computed itself, by the trace;
    None where nothing is coded."""
    parts: Mapping[str, Any] = field(default_factory=dict)
    """What it was made from: JSON values."""


@dataclass(frozen=True)
class Goal:
    """What a figure is called, and what is asked of it."""

    name: str
    text: str
    """What it is, in one line."""
    unit: str
    limit: float | None = None
    """What it has to keep."""
    aim: float | None = None
    """What it should reach."""
    higher_is_better: bool = False

    def keeps(self, value: float) -> bool | None:
        """Returns whether a value keeps the limit, or None: there is none."""
        if self.limit is None:
            return None
        return value >= self.limit if self.higher_is_better else value <= self.limit


@dataclass(frozen=True)
class Figure:
    """A goal with what was measured for it."""

    goal: Goal
    outcome: Outcome | None
    """None where it could not be measured."""
    error: str = ""
    """Why not."""

    @property
    def kept(self) -> bool | None:
        """Whether it keeps its limit; None without a limit, or without a value."""
        if self.outcome is None:
            return None
        return self.goal.keeps(self.outcome.estimate.value)

    def to_json(self) -> dict[str, Any]:
        """Returns the figure as JSON values: its value is null after an error."""
        goal, outcome = self.goal, self.outcome
        found: dict[str, Any] = {
            "name": goal.name,
            "value": None if outcome is None else outcome.estimate.value,
            "unit": goal.unit,
            "spread": None if outcome is None else outcome.estimate.spread,
        }
        if outcome is None:
            found["error"] = self.error
        else:
            found["quartiles"] = list(outcome.estimate.quartiles)
            found["rounds"] = outcome.rounds
            if outcome.client_convolutions is not None:
                found["client_convolutions"] = outcome.client_convolutions
        found |= {"limit": goal.limit, "aim": goal.aim}
        found["better"] = "higher" if goal.higher_is_better else "lower"
        found["kept"] = self.kept
        if outcome is not None:
            found["parts"] = dict(outcome.parts)
        return found
