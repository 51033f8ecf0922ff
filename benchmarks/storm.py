"""Soak: inferences one after another under a scripted storm of faults.

Six workers with nannies, γ = 2, at most two faults at once: processes killed, stopped,
slowed, out of memory, cut off, leaving; see `benchmarks/faults/script.py`. Every answer
is compared with the plain model's. Then, past γ: more workers away at once than the
code tolerates. As root on Linux the workers are devices of the edge lab, and with
`--where home` the client too; elsewhere they are on loopback, where links cannot go
down and that kind is left out. The same seed gives the same script. Prints a table;
`--json` writes all figures.

    sudo .venv/bin/python -m benchmarks.storm --json storm.json
    sudo .venv/bin/python -m benchmarks.storm --where home --objective latency
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.faults.places import Site, lab, loopback
from benchmarks.faults.predictors import Here, OnDevice, Predictor
from benchmarks.faults.script import KINDS, RESTARTING, write_script
from benchmarks.figures.lab import Remote
from fcdcc_keras.commands.faults import orderly_end
from fcdcc_keras.commands.progress import Stages
from fcdcc_keras.errors import ClusterError

WORKERS, STRAGGLERS = 6, 2
SOAKS = {"resnet": 1000, "vgg16": 50}
"""Inferences of each model."""
_RESNETS = {"price": "resnet", "latency": "resnet50", "throughput": "resnet50"}
"""By objective: with a small one nothing but the price is worth it."""
_BEYOND = ("exception", "restart", "link", "stop")
"""Kinds of faults that happen to more than γ workers at once."""
_LAB_CPU = 0.2
"""Share of a core of each device. With two that restart, and the client, they have
what two cores have: what is slow is slow for its fault, not for want of a processor."""


@click.command()
@click.option("--soak", "soaks", type=click.Choice([*SOAKS, "beyond"]), multiple=True,
              help="Which; default: all.")  # fmt: skip
@click.option("--restarts", default=5, show_default=True,
              help="Faults of each kind with a restart, per model.")  # fmt: skip
@click.option("--others", default=14, show_default=True,
              help="Faults of each other kind, per model.")  # fmt: skip
@click.option("--kind", "only", type=click.Choice(KINDS), multiple=True,
              help="Kinds of faults; default: all.")  # fmt: skip
@click.option("--images", type=int, help="Inferences of each model, at least; "
              "default: 1000 of the ResNet, 50 of VGG16.")  # fmt: skip
@click.option("--rounds", default=10, show_default=True, help="Past γ.")
@click.option("--limit", default=3600.0, show_default=True,
              help="Seconds after which no more faults begin, per model.")  # fmt: skip
@click.option("--where", type=click.Choice(["auto", "lab", "home", "loopback"]),
              default="auto", show_default=True,
              help="home: in a lab with the client on a device.")  # fmt: skip
@click.option("--objective", type=click.Choice([*_RESNETS]), default="price",
              show_default=True)  # fmt: skip
@click.option("--redundancy", type=click.Choice(["eager", "hedged"]),
              help="Default: eager by price, hedged by another objective.")  # fmt: skip
@click.option("--transport", type=click.Choice(["auto", "direct", "tasks"]),
              default="auto", show_default=True)  # fmt: skip
@click.option("--seed", default=5, show_default=True)
@click.option("--json", "target", type=click.Path(path_type=Path), help="To this file.")
def main(
    soaks: tuple[str, ...],
    restarts: int,
    others: int,
    only: tuple[str, ...],
    images: int | None,
    rounds: int,
    limit: float,
    where: str,
    objective: str,
    redundancy: str | None,
    transport: str,
    seed: int,
    target: Path | None,
) -> None:
    """Predict through a storm of faults."""
    if where == "auto":
        where = "lab" if _lab_is_possible() else "loopback"
    in_lab = where != "loopback"
    if in_lab:
        from cluster.edge_lab import isolate

        isolate()
    kinds = [kind for kind in only or KINDS if in_lab or kind != "link"]
    counts = {kind: restarts if kind in RESTARTING else others for kind in kinds}
    usual = "eager" if objective == "price" else "hedged"
    options: dict[str, Any] = {
        "redundancy": redundancy or usual,
        "objective": objective,
        "transport": transport,
    }
    result: dict[str, Any] = {
        "where": where,
        "seed": seed,
        **options,
        "left_out": [kind for kind in KINDS if kind not in kinds],
    }
    with (
        orderly_end(),
        Stages(Console(stderr=True)) as stages,
        _site(where) as site,
    ):
        for name in soaks or (*SOAKS, "beyond"):
            with stages.stage(f"{name}: {where}") as stage:
                result[name] = _soak(
                    site, name, counts, images or SOAKS.get(name, 0), rounds, limit,
                    seed, options, stage.note,
                )  # fmt: skip
    if target is not None:
        target.write_text(json.dumps(result, indent=1))
    _show(result)


def _soak(
    site: Site,
    name: str,
    counts: dict[str, int],
    images: int,
    rounds: int,
    limit: float,
    seed: int,
    options: dict[str, Any],
    say: Callable[[str], None],
) -> dict[str, Any]:
    from distributed import Client

    from benchmarks.faults.aftermath import leftovers
    from benchmarks.faults.beyond import beyond
    from benchmarks.faults.soak import soak

    model = name if name == "vgg16" else _RESNETS[options["objective"]]
    say("plain answers, and weights to the workers")
    shared = {"stragglers": STRAGGLERS, "fallback": "raise", **options}
    with _predictor(site, model, seed, shared) as predictor:
        say("predicting")
        if name == "beyond":
            kinds = tuple(kind for kind in _BEYOND if kind in counts)
            done = beyond(
                site, predictor, kinds=kinds, rounds=rounds,
                stragglers=STRAGGLERS, seed=seed, progress=say,
            )  # fmt: skip
        else:
            script = write_script(seed, counts, WORKERS)
            done = soak(
                site, predictor, script, inferences=images, limit=limit, progress=say
            )
    with Client(site.address, set_as_default=False) as client:
        return {**done, "left": leftovers(client)}


@contextmanager
def _predictor(
    site: Site, model: str, seed: int, options: dict[str, Any]
) -> Iterator[Predictor]:
    """Distributes a model, from where the client belongs."""
    if site.client is None:
        import fcdcc_keras as fk
        from benchmarks.faults.subjects import subject

        plain = subject(model, seed)
        coded = fk.distribute(plain.model, site.address, **options)
        with fk.closing(coded):
            yield Here(coded, plain)
        return
    with Remote(site.client, site.address, module="benchmarks.faults.device") as there:
        there.prepare("build", name=model, seed=seed)
        there.ask("distribute", options=options)
        yield OnDevice(there)
        there.ask("close")


def _site(where: str) -> AbstractContextManager[Site]:
    if where == "loopback":
        return loopback(WORKERS)
    return lab(WORKERS, _LAB_CPU, "device" if where == "home" else "free")


def _lab_is_possible() -> bool:
    from cluster.edge_lab import check_requirements

    try:
        check_requirements()
    except ClusterError as error:
        why = f"Without links, since no edge lab can be brought up here: {error}"
        click.echo(why, err=True)
        return False
    return True


def _show(result: dict[str, Any]) -> None:
    for name, value in result.items():
        if not isinstance(value, dict):
            click.echo(f"{name}: {value}")
            continue
        click.echo(f"\n{name}")
        for key, figure in value.items():
            if key not in ("slowest", "each"):
                text = f"{figure:.4g}" if isinstance(figure, float) else figure
                click.echo(f"  {key:28} {text}")


if __name__ == "__main__":
    main()
