"""The benchmark on the screen: a bar while it runs, a table at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from benchmarks.figures.figure import Figure
from benchmarks.figures.registry import Entry
from benchmarks.figures.run import Run, measure
from fcdcc_keras import text
from fcdcc_keras.commands.sabotage import orderly_end


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
    console = Console(stderr=True)
    with orderly_end(), _bars(console) as bars:
        task = None

        def before(entry: Entry) -> None:
            nonlocal task
            if not console.is_terminal:
                console.print(f"{entry.goal.name} ...")
            task = bars.add_task(entry.goal.name, total=None)

        def progress(total: int | None) -> None:
            assert task is not None
            if total is None:
                bars.advance(task)
            else:
                bars.update(task, total=total)

        figures = []
        with Run(repeats, images, progress) as run:
            for figure in measure(entries, run, required=required, before=before):
                figures.append(figure)
                if figure.outcome is None:
                    console.print(f"{figure.goal.name}: {figure.error}", markup=False)
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


@contextlib.contextmanager
def _bars(console: Console) -> Iterator[Progress]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        # Elsewhere than on a terminal, all bars would appear at the very end.
        disable=not console.is_terminal,
    ) as bars:
        yield bars
