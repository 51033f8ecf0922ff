"""``fcdcc-keras bench``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import click

from benchmarks.figures.registry import FIGURES, Entry, select


@click.command(name="bench")
@click.option(
    "--only",
    "names",
    multiple=True,
    metavar="NAME",
    help="Measure this figure; may be given several times.  [default: all]",
)
@click.option("--list", "as_list", is_flag=True, help="List the figures and end.")
@click.option(
    "--repeats",
    type=click.IntRange(min=2),
    help="Rounds of each figure.  [default: its own]",
)
@click.option(
    "--images",
    type=click.IntRange(min=10),
    default=60,
    show_default=True,
    help="Images of client_memory_growth.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print a JSON list, one object for each figure.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also draw the figures: png, svg or pdf by the suffix. Needs matplotlib.",
)
def bench(
    names: Sequence[str],
    as_list: bool,
    repeats: int | None,
    images: int,
    as_json: bool,
    plot: str | None,
) -> None:
    """Measure what coded layers cost, beside their peers.

    Each figure is a ratio or a difference of times that are measured in turn, on
    worker processes of this machine: the median over the rounds, and as its spread
    the interquartile range. The edge figures emulate weak devices: they need Linux
    and root, and take the network away from this command.
    """
    entries = select(names)
    if as_list:
        _list(entries)
        return
    if plot is not None:
        from fcdcc_keras.observe.plotting import check_plotting

        check_plotting(plot)  # before the minutes that measuring takes
    _prepare(entries, required=bool(names))
    from benchmarks.figures.show import run_shown, table

    figures = run_shown(entries, repeats, images, required=bool(names))
    if plot is not None:
        from benchmarks.figures.picture import draw

        draw(figures, plot)
    if as_json:
        found = [figure.to_json() for figure in figures]
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        click.echo(table(figures), nl=False)


def _list(entries: Sequence[Entry]) -> None:
    width = max(len(entry.goal.name) for entry in FIGURES)
    for entry in entries:
        click.echo(f"{entry.goal.name:{width}}  {entry.goal.text}")


def _prepare(entries: Sequence[Entry], *, required: bool) -> None:
    # Read when TensorFlow is loaded, here and in the workers.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if any(entry.needs_lab for entry in entries):
        from benchmarks.figures.lab import isolate

        isolate(required=required)
    from fcdcc_keras.backend import check_backend

    check_backend()
