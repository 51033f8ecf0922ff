"""The best partition: (k_A, k_B) of each layer, by the paper's cost and by the clock.

    python -m examples.paper.optimal_partition --json split.json --plot split.svg

With δ fixed, k_A·k_B is too: finer parts of the input are less to send, and coarser
blocks of the kernel more to hold. FCDCC (arXiv:2411.01579) weighs both in a cost

    U(k_A) = λ_comm·upload + λ_store·storage,

in floats of one worker, and finds it least near
k_A* = ℓ_A·√(δ·λ_comm·W·H'·s / (λ_store·N·K_H·K_W)): large for the first layers, with
their large maps, and small for the last ones with their many channels. Here this is
computed for every layer, and then the time of every layer is measured under every pair
(k_A, k_B) for n = 6, γ = 2 with CRME: the pairs take turns, and medians are over the
rounds. "planned" is what the planner takes to be quickest by a calibration of the same
workers; it may choose a smaller δ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.figures.estimate import median
from benchmarks.figures.interleave import interleave
from examples.paper import experiment
from examples.paper.models import build, image
from examples.paper.site import Site, settle, site
from fcdcc_keras import codes
from fcdcc_keras.codes import Code
from fcdcc_keras.codes.splits import factor_pairs
from fcdcc_keras.execution.calibration.calibrate import calibrate
from fcdcc_keras.observe.plotting import check_plotting
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Calibration, Prices
from fcdcc_keras.planning.cost import layer_cost
from fcdcc_keras.text import table

CODE = "crme"
PLANNED = "planned"
"""Stands for the pair of the plan, which differs from layer to layer."""
PLANES = 2
"""ℓ of a coded side: CRME's blocks are rotations of the plane."""
_WARM_UP = 2


def optimal_k_a(
    geometry: ConvGeometry,
    threshold: int,
    *,
    communication: float,
    storage: float,
    ell_a: int = 2,
    images: int = 1,
) -> float:
    """Returns k_A*, for which U = λ_comm·upload + λ_store·storage is least.

    With k_A·k_B = ℓ_A·ℓ_B·δ, and the rows that parts have in common left out, a worker
    is sent ℓ_A·B·C·H'·s·W/k_A numbers and holds K_H·K_W·C·N·k_A/(ℓ_A·δ), so that

        k_A* = ℓ_A·√(δ·λ_comm·B·W·H'·s / (λ_store·N·K_H·K_W)):

    FCDCC (arXiv:2411.01579). It is to be rounded to a k_A that a code has.

    Args:
        geometry: Sizes of a convolution in two dimensions.
        threshold: δ.
        communication: λ_comm, what sending a number to a worker costs.
        storage: λ_store, what holding one costs.
        ell_a: ℓ_A.
        images: B.
    """
    sent = images * geometry.input_size[1] * geometry.output_size[0]
    sent *= geometry.strides[0]
    kept = geometry.filters * math.prod(geometry.kernel_size)
    return ell_a * math.sqrt(threshold * communication * sent / (storage * kept))


def pairs(workers: int, threshold: int) -> list[Code]:
    """Returns the code under every pair (k_A, k_B): each side is even, or 1."""
    crme = codes.get(CODE)
    both = [
        (a, b) for a, b in factor_pairs(PLANES**2 * threshold) if a % 2 == b % 2 == 0
    ]
    found = [(1, PLANES * threshold), *both, (PLANES * threshold, 1)]
    return [crme(a, b, workers) for a, b in found]


def paper_cost(
    geometry: ConvGeometry, code: Code, communication: float, storage: float
) -> float:
    """Returns U, what a worker is sent and holds of a layer; exact, zeros included."""
    cost = layer_cost(geometry, code, Prices())
    return communication * cost.upload + storage * cost.storage


def measure(
    where: Site,
    network: str,
    side: int,
    workers: int,
    stragglers: int,
    storage: float,
    rounds: int,
    able: Calibration,
) -> Iterator[dict[str, Any]]:
    """Yields a row for each layer: costs and times under every pair."""
    import fcdcc_keras as fk
    from benchmarks.figures.anatomy import Watched
    from fcdcc_keras.planning import Objective, plan_layer

    model = build(network, side)
    batch = image(model)
    threshold = workers - stragglers
    designs = {f"{c.k_a}, {c.k_b}": c for c in pairs(workers, threshold)}
    plan = fk.plan(
        model,
        workers=workers,
        stragglers=stragglers,
        code=CODE,
        calibration=able,
    )
    quickest = [
        plan_layer(
            layer.path,
            layer.geometry,
            workers=workers,
            stragglers=stragglers,
            code=CODE,
            objective=Objective(calibration=able, by="latency"),
        )
        for layer in plan.layers
    ]
    plan = replace(plan, layers=tuple(quickest))
    watched = {}
    with ExitStack() as stack:
        for name, code in designs.items():
            coded = fk.distribute(
                model, where.cluster, workers=workers, stragglers=stragglers, code=code
            )
            stack.enter_context(fk.closing(coded))
            watched[name] = Watched(coded, batch)
        coded = fk.distribute(
            model, where.cluster, workers=workers, stragglers=stragglers, plan=plan
        )
        stack.enter_context(fk.closing(coded))
        watched[PLANNED] = Watched(coded, batch)
        turns = {name: each.turn for name, each in watched.items()}
        interleave(turns, rounds, warm_up=_WARM_UP)
    for layer in plan.layers:
        times = {
            name: experiment.layer_seconds(each.passes[-rounds:], layer.path)
            for name, each in watched.items()
        }
        costs = {
            name: paper_cost(layer.geometry, code, 1.0, storage)
            for name, code in designs.items()
        }
        yield {
            "network": network,
            "layer": layer.path,
            "input": [*layer.geometry.input_size, layer.geometry.channels],
            "filters": layer.geometry.filters,
            "closed_form": optimal_k_a(
                layer.geometry, threshold, communication=1.0, storage=storage
            ),
            "cost": costs,
            "ms": {name: experiment.ms(median(t)) for name, t in times.items()},
            # k = 2 costs as much as k = 1, and is never better.
            "least_cost": min(costs, key=lambda k: (costs[k], _blocks(designs[k]))),
            "fastest": min(designs, key=lambda name: float(np.median(times[name]))),
            "planned": f"{layer.code.k_a}, {layer.code.k_b}",
            "client_convolutions": sum(w.client_convolutions for w in watched.values()),
        }


def _blocks(code: Code) -> int:
    return code.k_a * code.k_b


def over_fastest(row: dict[str, Any], name: str) -> float:
    """Returns the time of a layer under a pair over that under its fastest one."""
    return float(row["ms"][name]["median"] / row["ms"][row["fastest"]]["median"])


def lines(rows: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Returns the cells of the table of one network, and its medians below."""
    found = [
        (
            row["layer"],
            "×".join(map(str, row["input"])) + f" → {row['filters']}",
            f"{row['closed_form']:.1f}",
            row["least_cost"],
            row["planned"],
            row["fastest"],
            *(experiment.short(t["median"]) for t in row["ms"].values()),
        )
        for row in rows
    ]
    choices = {
        "least cost": [over_fastest(row, row["least_cost"]) for row in rows],
        PLANNED: [over_fastest(row, PLANNED) for row in rows],
    }
    for choice, ratios in choices.items():
        words = f"{choice} over fastest: {np.median(ratios):.2f}"
        found.append(
            (f"{words}, at most {max(ratios):.2f}", *[""] * (len(found[0]) - 1))
        )
    return found


def draw(rows: Sequence[dict[str, Any]], path: str) -> None:
    """Draws how far each pair is from a layer's fastest, and which is chosen."""
    names = list(dict.fromkeys(row["network"] for row in rows))
    figure, axes = experiment.panels(len(names), width=3.4, height=4.6)
    shades = None
    for axis, name in zip(axes, names, strict=True):
        part = [row for row in rows if row["network"] == name]
        found = list(part[0]["cost"])
        ratios = [[over_fastest(row, pair) for pair in found] for row in part]
        edges = (-0.5, len(found) - 0.5, len(part) + 0.5, 0.5)
        shades = axis.imshow(
            ratios, aspect="auto", vmin=1, vmax=2, cmap="YlOrBr", extent=edges
        )
        axis.yaxis.get_major_locator().set_params(integer=True)
        for choice, marker, size in (("least_cost", "x", 6), (PLANNED, "o", 8)):
            at = [  # a plan with another δ has none of these pairs
                (found.index(row[choice]), number)
                for number, row in enumerate(part, start=1)
                if row[choice] in found
            ]
            axis.plot(*zip(*at, strict=True), marker, color="black", markersize=size,
                      fillstyle="none", label=choice.replace("_", " "))  # fmt: skip
        axis.set_xticks(range(len(found)), found, rotation=45)
        axis.set_xlabel("k_A, k_B")
        axis.set_title(name, loc="left", fontsize=11)
    axes[0].set_ylabel("convolutional layer")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=2, frameon=False)  # fmt: skip
    figure.colorbar(shades, ax=list(axes), label="time over the fastest pair's")
    figure.savefig(path, dpi=150)


@click.command()
@experiment.networks
@click.option("--workers", default=6, show_default=True, help="n.")
@click.option("--stragglers", default=2, show_default=True, help="γ.")
@click.option("--storage", default=0.01, show_default=True,
              help="λ_store over λ_comm: what holding a float costs.")  # fmt: skip
@experiment.files
def main(
    names: Sequence[str],
    rounds: int,
    where: str,
    quick: bool,
    workers: int,
    stragglers: int,
    storage: float,
    record: Path | None,
    picture: str | None,
) -> None:
    """Compares every partition of every layer, by cost and by time."""
    if picture is not None:
        check_plotting(picture)
    if quick:
        where, workers, stragglers, rounds = "loopback", 4, 2, 2
    rows: list[dict[str, Any]] = []
    with site(settle(where), workers) as there:
        experiment.say("calibration ...")
        able = calibrate(there.cluster, workers=workers, stragglers=stragglers)
        for name, side in experiment.sides(names, quick).items():
            experiment.say(f"{name} ...")
            rows += measure(
                there, name, side, workers, stragglers, storage, rounds, able
            )
    settings = {"workers": workers, "stragglers": stragglers, "storage": storage,
                "rounds": rounds, "code": CODE}  # fmt: skip
    if record is not None:
        experiment.write(record, there.name, settings, rows)
    click.echo(there.name)
    for name in dict.fromkeys(row["network"] for row in rows):
        part = [row for row in rows if row["network"] == name]
        title = f"{name}, n = {workers}, γ = {stragglers}"
        columns = ["layer", "sizes", "k_A*", "least cost", "planned", "fastest"]
        columns += [f"{pair} ms" for pair in part[0]["ms"]]
        click.echo(table(title, columns, lines(part), right=columns[6:]))
    if picture is not None:
        draw(rows, picture)


if __name__ == "__main__":
    main()
