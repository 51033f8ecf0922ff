"""The benchmark on the screen: a bar while it runs, a table at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from benchmarks.figures.figure import Figure
from benchmarks.figures.registry import Entry
from benchmarks.figures.run import Run
from fcdcc_keras import text
from fcdcc_keras.commands.faults import orderly_end
from fcdcc_keras.commands.progress import Stages


def run_shown(
    entries: Sequence[Entry], repeats: int | None, images: int, *, required: bool
) -> list[Figure]:
    """Measures figures with a bar for each on the standard error stream.

    Args:
        entries: Which.
        repeats: Rounds of each; None: its own number.
        images: Images of ``client_memory_growth``.
        required: Whether one that cannot be measured is an error.
    """
    figures = []
    with (
        orderly_end(),
        Stages(Console(stderr=True)) as stages,
        Run(repeats, images) as run,
    ):
        for entry in entries:
            with stages.stage(entry.goal.name) as run.stage:
                figure = entry.measure(run, required=required)
                if figure.outcome is None:
                    run.stage.note(f"{figure.goal.name}: {figure.error}")
            figures.append(figure)
    return figures


def table(figures: Sequence[Figure]) -> str:
    """Returns the figures as a table for people."""
    rows = [_row(figure) for figure in figures]
    columns = ["figure", "value", "spread", "unit", "limit", "aim", "kept"]
    kept = sum(figure.kept is True for figure in figures)
    judged = sum(figure.kept is not None for figure in figures)
    title = f"{kept} of {judged} limits kept; the spread is the interquartile range"
    return text.table(title, columns, rows, right=["value", "spread", "limit", "aim"])


def _row(figure: Figure) -> tuple[str, ...]:
    goal, outcome = figure.goal, figure.outcome
    at_most = "≥" if goal.higher_is_better else "≤"
    return (
        goal.name,
        "–" if outcome is None else f"{outcome.estimate.value:.3g}",
        "–" if outcome is None else f"{outcome.estimate.spread:.2g}",
        goal.unit,
        *(
            "" if bound is None else f"{at_most} {bound:g}"
            for bound in (goal.limit, goal.aim)
        ),
        {True: "yes", False: "no", None: ""}[figure.kept],
    )
