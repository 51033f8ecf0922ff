"""Straggler resilience: the time of a network while workers are late.

    python -m examples.paper.stragglers --json late.json --plot late.svg

FCDCC (arXiv:2411.01579) delays some of the workers, up to γ of them, and compares the
time with that of nobody late: it should not change. Here n = 6, γ = 2 with CRME, and
beside it the same network cut over the same workers without redundancy (γ = 0), which
has to wait for everybody. A late worker is one whose process is stopped for the first
``--delay`` seconds of a pass, the same one each time. With 0, 1 and 2 workers late
coded and uncoded passes take turns, and medians are over the rounds.

A worker that is silent for more than a second is taken for lost, and others take its
share over, without redundancy too: longer delays measure that as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.figures.estimate import median
from benchmarks.figures.interleave import interleave
from examples.paper import experiment
from examples.paper.models import build, image
from examples.paper.site import Site, settle, site
from fcdcc_keras.observe.plotting import bare, check_plotting
from fcdcc_keras.palette import BLUE, RED
from fcdcc_keras.text import table

WAYS = {"coded": "crme", "uncoded": "uncoded"}
"""The code of each way to spread a network."""
_WARM_UP = 2


def measure(
    where: Site,
    network: str,
    side: int,
    workers: int,
    stragglers: int,
    delay: float,
    rounds: int,
) -> Iterator[dict[str, Any]]:
    """Yields a row for each way and each number of late workers."""
    import fcdcc_keras as fk
    from benchmarks.figures.anatomy import Watched

    model = build(network, side)
    batch = image(model)
    expected = model.predict_on_batch(batch)
    spread = {
        way: fk.distribute(
            model,
            where.cluster,
            workers=workers,
            stragglers=stragglers if way == "coded" else 0,
            code=code,
        )
        for way, code in WAYS.items()
    }
    outputs: dict[str, Any] = {}

    def keep(key: str, one: Watched) -> None:
        outputs[key] = one.predict()

    with fk.closing(spread["coded"]), fk.closing(spread["uncoded"]):
        cases = {
            f"{way} {late}": (way, late, Watched(model, batch))
            for way, model in spread.items()
            for late in range(stragglers + 1)
        }
        turns = {
            key: where.late(late, delay, partial(keep, key, watched))
            for key, (_, late, watched) in cases.items()
        }
        samples = interleave(turns, rounds, warm_up=_WARM_UP)
    for key, (way, late, watched) in cases.items():
        deviation = abs(outputs[key] - expected).max() / abs(expected).max()
        yield {
            "network": network,
            "way": way,
            "late": late,
            "ms": experiment.ms(median(samples[key])),
            "client_convolutions": watched.client_convolutions,
            "largest_deviation": float(deviation),
        }


def lines(rows: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Returns the cells of the table: a line for each network and way."""
    found = {}
    for row in rows:
        key = row["network"], row["way"]
        found.setdefault(key, [*key]).append(experiment.cell(row["ms"]))
    return [tuple(line) for line in found.values()]


def draw(rows: Sequence[dict[str, Any]], delay: float, path: str) -> None:
    """Draws the time over the number of late workers, coded and uncoded."""
    names = list(dict.fromkeys(row["network"] for row in rows))
    figure, axes = experiment.panels(len(names), width=3.2)
    for axis, name in zip(axes, names, strict=True):
        for way, colour, marker in (("coded", BLUE, "o"), ("uncoded", RED, "s")):
            part = [r for r in rows if (r["network"], r["way"]) == (name, way)]
            times = [row["ms"] for row in part]
            axis.errorbar(
                [row["late"] for row in part],
                [t["median"] for t in times],
                experiment.errors(times),
                **{"color": colour, "marker": marker, "capsize": 3, "label": way},
            )
        axis.set_title(name, loc="left", fontsize=11)
        axis.set_xlabel("workers late")
        axis.set_xticks(sorted({row["late"] for row in rows}))
        axis.set_ylim(0)
        bare(axis, grid="y")
    axes[0].set_ylabel("ms for one image")
    axes[0].legend(frameon=False)
    figure.suptitle(f"Workers that are silent for {delay:g} s", fontsize=12)
    figure.savefig(path, dpi=150)


@click.command()
@experiment.networks
@click.option("--workers", default=6, show_default=True, help="n.")
@click.option("--stragglers", default=2, show_default=True, help="γ.")
@click.option("--delay", default=0.5, show_default=True, help="Seconds.")
@experiment.files
def main(
    names: Sequence[str],
    rounds: int,
    where: str,
    quick: bool,
    workers: int,
    stragglers: int,
    delay: float,
    record: Path | None,
    picture: str | None,
) -> None:
    """Times networks while none to γ of their workers are late."""
    if picture is not None:
        check_plotting(picture)
    if quick:
        where, workers, stragglers, rounds, delay = "loopback", 4, 1, 1, 0.1
    rows: list[dict[str, Any]] = []
    with site(settle(where), workers) as there:
        for name, side in experiment.sides(names, quick).items():
            experiment.say(f"{name} ...")
            rows += measure(there, name, side, workers, stragglers, delay, rounds)
    settings = {"workers": workers, "stragglers": stragglers, "delay": delay,
                "rounds": rounds, "codes": WAYS}  # fmt: skip
    if record is not None:
        experiment.write(record, there.name, settings, rows)
    click.echo(there.name)
    title = f"ms, late by {delay:g} s, n = {workers}"
    columns = ["network", "way", *(f"{k} late" for k in range(stragglers + 1))]
    click.echo(table(title, columns, lines(rows), right=columns[2:]))
    if picture is not None:
        draw(rows, delay, picture)


if __name__ == "__main__":
    main()
