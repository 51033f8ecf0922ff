"""The picture of ``fcdcc-keras bench --plot``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures.figure import Figure, Outcome
from fcdcc_keras.observe.plotting import bare, canvas, check_plotting
from fcdcc_keras.palette import BLUE, GREEN, RED

_KEPT, _BROKEN, _NEUTRAL = GREEN, RED, BLUE


def draw(figures: Sequence[Figure], path: str | Path) -> None:
    """Draws each figure as a bar with its quartiles, its limit and its aim.

    Each bar has its own scale, on which the limit, or else the value, is 1: what the
    unit is does not matter for whether a figure keeps its limit.

    Args:
        figures: What was measured; those without a value are left out.
        path: Where to write the picture: png, svg or pdf by its suffix.

    Raises:
        FcdccError: See ``check_plotting``.
    """
    path = check_plotting(path)
    shown = [(f, f.outcome) for f in figures if f.outcome is not None]
    picture = canvas(10, 1.4 + 0.42 * len(shown))
    axis = picture.subplots()
    for row, (figure, outcome) in enumerate(shown):
        _bar(axis, row, figure, outcome)
    axis.axvline(1, color="black", lw=1.2, ls=(0, (6, 2)))
    axis.set_yticks(range(len(shown)), [f.goal.name for f, _ in shown])
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.set_xlim(0, 1.2 * axis.get_xlim()[1])  # room for the last label
    axis.set_xlabel("over the limit (dashed); diamonds: the aim; lines: quartiles")
    bare(axis)
    picture.savefig(path, dpi=150)


def _bar(axis: Any, row: int, figure: Figure, outcome: Outcome) -> None:
    goal, estimate = figure.goal, outcome.estimate
    scale = goal.limit or estimate.value or 1.0
    length = estimate.value / scale
    colour = {True: _KEPT, False: _BROKEN, None: _NEUTRAL}[figure.kept]
    axis.barh(row, length, height=0.6, color=colour, alpha=0.75)
    axis.hlines(row, *(q / scale for q in estimate.quartiles), color="black", lw=1.5)
    if goal.aim is not None:
        axis.plot(goal.aim / scale, row, marker="D", color="black", markersize=4)
    sense = "" if goal.limit is None else " ≥" if goal.higher_is_better else " ≤"
    limit = "" if goal.limit is None else f"{sense} {goal.limit:g}"
    end = max(length, estimate.quartiles[1] / scale)
    label = f" {estimate.value:.3g} {goal.unit}{limit}"
    axis.text(max(end, 0), row, label, va="center", fontsize=9)
