"""Scalability: the time of a network over the number of workers.

    python -m examples.paper.scalability --json n.json --plot n.svg

FCDCC (arXiv:2411.01579) fixes γ and lets n grow: each of the δ = n − γ workers that are
waited for computes 1/δ of a layer, so the time should fall. Here γ = 1 with CRME, and
n from 2 to 8; n = 1 is one worker that gets the whole input of each layer, uncoded. All
n take turns over the same devices, and medians are over the rounds. Beside the time of
a pass there are its parts by the trace, added up over its layers: encoding and
decoding, which the client does, and the longest convolution that had to be waited for.
In large layers these overlap, with each other and with sending.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.figures.estimate import median
from benchmarks.figures.interleave import interleave
from examples.paper import experiment
from examples.paper.models import build, image
from examples.paper.site import Site, settle, site
from fcdcc_keras.observe.plotting import bare, check_plotting
from fcdcc_keras.text import table

CODE = "crme"
SHARE = 0.2
"""Of a core for each device: so that eight and the client have room on two."""
_WARM_UP = 2


def measure(
    where: Site, network: str, side: int, counts: Sequence[int], rounds: int
) -> Iterator[dict[str, Any]]:
    """Yields a row for each n."""
    import fcdcc_keras as fk
    from benchmarks.figures.anatomy import Watched

    model = build(network, side)
    batch = image(model)
    watched = {}
    with ExitStack() as stack:
        for workers in counts:
            coded = fk.distribute(
                model,
                where.cluster,
                workers=workers,
                stragglers=min(1, workers - 1),
                code=CODE if workers > 1 else "uncoded",
            )
            stack.enter_context(fk.closing(coded))
            watched[str(workers)] = Watched(coded, batch)
        samples = interleave(
            {n: each.turn for n, each in watched.items()}, rounds, warm_up=_WARM_UP
        )
    for n, each in watched.items():
        parts = each.parts(samples[n])
        yield {
            "network": network,
            "workers": int(n),
            "threshold": max(1, int(n) - 1),
            "ms": experiment.ms(median(samples[n])),
            "coding_ms": parts["encode_ms"] + parts["decode_ms"],
            "convolution_ms": parts["slowest_convolution_ms"],
            "client_convolutions": each.client_convolutions,
        }


def lines(rows: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Returns the cells of the table: a line for each network and n."""
    first = {r["network"]: r["ms"]["median"] for r in rows if r["workers"] == 1}
    return [
        (
            row["network"],
            str(row["workers"]),
            str(row["threshold"]),
            experiment.cell(row["ms"]),
            f"{first[row['network']] / row['ms']['median']:.2f}",
            experiment.short(row["convolution_ms"]),
            experiment.short(row["coding_ms"]),
        )
        for row in rows
    ]


def draw(rows: Sequence[dict[str, Any]], path: str) -> None:
    """Draws the time over n, with that of the convolutions alone."""
    names = list(dict.fromkeys(row["network"] for row in rows))
    figure, axes = experiment.panels(len(names), width=3.2)
    for axis, name in zip(axes, names, strict=True):
        part = [row for row in rows if row["network"] == name]
        counts = [row["workers"] for row in part]
        times = [row["ms"] for row in part]
        axis.errorbar(
            counts,
            [t["median"] for t in times],
            experiment.errors(times),
            **{"color": experiment.COLOURS[name], "marker": "o", "capsize": 3},
            label="a pass",
        )
        axis.plot(counts, [row["convolution_ms"] for row in part], color="black",
                  lw=1, ls=(0, (6, 2)), label="its convolutions")  # fmt: skip
        axis.set_title(name, loc="left", fontsize=11)
        axis.set_xlabel("workers n")
        axis.set_xticks(counts)
        axis.set_ylim(0)
        bare(axis, grid="y")
        axis.legend(frameon=False, fontsize=9)
    axes[0].set_ylabel("ms for one image")
    figure.suptitle("More workers, one of which may be late", fontsize=12)
    figure.savefig(path, dpi=150)


@click.command()
@experiment.networks
@click.option("--workers", default=8, show_default=True, help="The largest n.")
@experiment.files
def main(
    names: Sequence[str],
    rounds: int,
    where: str,
    quick: bool,
    workers: int,
    record: Path | None,
    picture: str | None,
) -> None:
    """Times networks over one worker, two, and so on."""
    if picture is not None:
        check_plotting(picture)
    if quick:
        where, workers, rounds = "loopback", 4, 2
    rows: list[dict[str, Any]] = []
    counts = [1, *range(2, workers + 1, 2 if quick else 1)]
    with site(settle(where), workers, share=SHARE) as there:
        for name, side in experiment.sides(names, quick).items():
            experiment.say(f"{name} ...")
            rows += measure(there, name, side, counts, rounds)
    columns = ["network", "n", "δ", "ms", "over n = 1", "convolutions ms", "coding ms"]
    settings = {"workers": counts, "stragglers": 1, "rounds": rounds, "code": CODE}
    if record is not None:
        experiment.write(record, there.name, settings, rows)
    click.echo(there.name)
    click.echo(table("γ = 1", columns, lines(rows)))
    if picture is not None:
        draw(rows, picture)


if __name__ == "__main__":
    main()
