"""Coded convolutions against a single node, layer by layer.

    python -m examples.paper.per_layer --json layers.json --plot layers.svg

FCDCC (arXiv:2411.01579) compares the time that n workers take for each convolutional
layer of LeNet-5, AlexNet and VGG with that of one node which computes it alone. Here
n = 6 and γ = 2 with CRME, the paper's code, and ResNet50 besides. The single node is a
device like the workers', which runs plain Keras, and gets its input for nothing. The
time of a coded layer is the client's: encoding, sending, waiting for the fastest four,
decoding. Each round times the one and the other, and medians are over rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.figures.estimate import median, ratio
from benchmarks.figures.interleave import interleave
from examples.paper import experiment
from examples.paper.models import build, image
from examples.paper.site import Site, settle, site
from fcdcc_keras.observe.plotting import bare, check_plotting
from fcdcc_keras.text import table

CODE = "crme"
WHOLE = "whole"
"""Stands for all layers of a network, those included that are not coded."""
_WARM_UP = 2


def measure(
    where: Site, network: str, side: int, workers: int, stragglers: int, rounds: int
) -> Iterator[dict[str, Any]]:
    """Yields a row for each convolutional layer of a network, and one for the whole."""
    import fcdcc_keras as fk
    from benchmarks.figures.anatomy import Watched

    model = build(network, side)
    batch = image(model)
    plan = fk.plan(model, workers=workers, stragglers=stragglers, code=CODE)
    coded = fk.distribute(
        model, where.cluster, workers=workers, stragglers=stragglers, plan=plan
    )
    alone: list[dict[str, float]] = []
    ask = where.single_node(network, side)
    with fk.closing(coded):
        watched = Watched(coded, batch)
        expected = model.predict_on_batch(batch)
        deviation = abs(watched.predict() - expected).max() / abs(expected).max()

        def single() -> float:
            alone.append(ask())
            return alone[-1][WHOLE]

        samples = interleave(
            {"coded": watched.turn, "single": single}, rounds, warm_up=_WARM_UP
        )
    passes = watched.passes[-rounds:]
    over_workers = {
        layer.path: experiment.layer_seconds(passes, layer.path)
        for layer in plan.layers
    }
    over_workers[WHOLE] = samples["coded"]
    for path, seconds in over_workers.items():
        singles = [turn[path] for turn in alone[-rounds:]]
        layer = plan.layer(path)
        gain = ratio(singles, seconds)
        yield {
            "network": network,
            "layer": path,
            **(_sizes(layer) if layer is not None else {}),
            "single_ms": experiment.ms(median(singles)),
            "coded_ms": experiment.ms(median(seconds)),
            "gain": {"median": gain.value, "low": gain.quartiles[0],
                     "high": gain.quartiles[1]},
            "client_convolutions": watched.client_convolutions,
            "largest_deviation": float(deviation),
        }  # fmt: skip


def _sizes(layer: Any) -> dict[str, Any]:
    geometry = layer.geometry
    return {
        "input": [*geometry.input_size, geometry.channels],
        "kernel": [*geometry.kernel_size],
        "strides": [*geometry.strides],
        "filters": geometry.filters,
        "partition": [layer.code.k_a, layer.code.k_b],
    }


def alike(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Returns the layers of one network in groups of the same sizes."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        keys = ("input", "kernel", "strides", "filters")
        key = tuple(str(row.get(name)) for name in keys)
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def lines(rows: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Returns the cells of the table of one network: a line for layers of one size."""
    found = []
    for group in alike(rows):
        first = group[0]
        times = [
            {k: float(np.median([row[key][k] for row in group])) for k in first[key]}
            for key in ("single_ms", "coded_ms", "gain")
        ]
        names = first["layer"] if len(group) == 1 else f"{len(group)} × the like"
        if first["layer"] == WHOLE:
            sizes = ("", "", "")
        else:
            sizes = (
                "×".join(map(str, first["input"])),
                "{}×{}".format(*first["kernel"])
                + (f" /{first['strides'][0]}" if first["strides"][0] > 1 else "")
                + f", {first['filters']}",
                "{}, {}".format(*first["partition"]),
            )
        found.append((names, *sizes, *map(experiment.cell, times)))
    return found


COLUMNS = ["layer", "input", "kernel", "k_A, k_B", "single ms", "coded ms", "gain"]


def draw(rows: Sequence[dict[str, Any]], path: str) -> None:
    """Draws each layer's gain; below 1 the single node is faster."""
    names = list(dict.fromkeys(row["network"] for row in rows))
    figure, axes = experiment.panels(len(names))
    for axis, name in zip(axes, names, strict=True):
        part = [r for r in rows if r["network"] == name and r["layer"] != WHOLE]
        gains = [row["gain"] for row in part]
        at = range(1, len(part) + 1)
        axis.bar(at, [g["median"] for g in gains], color=experiment.COLOURS[name],
                 yerr=experiment.errors(gains), error_kw={"lw": 0.8})  # fmt: skip
        (whole,) = (r for r in rows if r["network"] == name and r["layer"] == WHOLE)
        axis.axhline(whole["gain"]["median"], color="black", lw=1, ls=(0, (6, 2)))
        axis.axhline(1, color="black", lw=0.8)
        axis.set_title(name, loc="left", fontsize=11)
        axis.set_xlabel("convolutional layer")
        axis.xaxis.get_major_locator().set_params(integer=True)
        bare(axis, grid="y")
    axes[0].set_ylabel("times faster than a single node")
    figure.suptitle("Coded over a single node (dashed: the whole network)", fontsize=12)
    figure.savefig(path, dpi=150)


@click.command()
@experiment.networks
@click.option("--workers", default=6, show_default=True, help="n.")
@click.option("--stragglers", default=2, show_default=True, help="γ.")
@experiment.files
def main(
    names: Sequence[str],
    rounds: int,
    where: str,
    quick: bool,
    workers: int,
    stragglers: int,
    record: Path | None,
    picture: str | None,
) -> None:
    """Times every convolution over workers, and on one node."""
    if picture is not None:
        check_plotting(picture)
    if quick:
        where, workers, stragglers, rounds = "loopback", 4, 1, 2
    rows: list[dict[str, Any]] = []
    with site(settle(where), workers, spare=True) as there:
        for name, side in experiment.sides(names, quick).items():
            experiment.say(f"{name} ...")
            rows += measure(there, name, side, workers, stragglers, rounds)
    settings = {"workers": workers, "stragglers": stragglers, "rounds": rounds,
                "code": CODE}  # fmt: skip
    if record is not None:
        experiment.write(record, there.name, settings, rows)
    click.echo(there.name)
    for name in dict.fromkeys(row["network"] for row in rows):
        title = f"{name}, n = {workers}, γ = {stragglers}"
        part = [row for row in rows if row["network"] == name]
        click.echo(table(title, COLUMNS, lines(part), right=COLUMNS[4:]))
    if picture is not None:
        draw(rows, picture)


if __name__ == "__main__":
    main()
