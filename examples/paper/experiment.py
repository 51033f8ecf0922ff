"""What all experiments have: options, a progress line, a record and a picture."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from benchmarks.figures.estimate import Estimate
from examples.paper.models import SIDES
from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.observe.plotting import canvas
from fcdcc_keras.palette import BLUE, GREEN, ORANGE, RED

COLOURS = dict(zip(SIDES, (ORANGE, GREEN, BLUE, RED), strict=True))
"""Of each network."""


def files(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options --json and --plot."""
    options = (
        click.option("--json", "record", type=click.Path(path_type=Path),
                     metavar="FILE", help="Write all that was found."),
        click.option("--plot", "picture", type=click.Path(),
                     metavar="FILE", help="Draw it: png, svg or pdf."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def networks(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command --network, --rounds, --site and --quick."""
    options = (
        click.option("--network", "names", multiple=True, default=list(SIDES),
                     type=click.Choice(list(SIDES)), help="Default: all."),
        click.option("--rounds", default=7, show_default=True,
                     help="Turns of each, interleaved."),
        click.option("--site", "where", default="auto", show_default=True,
                     type=click.Choice(["auto", "lab", "loopback"]),
                     help="auto: the edge lab where there can be one."),
        click.option("--quick", is_flag=True,
                     help="Seconds: small sizes on this machine; no figure to quote."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def sides(names: Sequence[str], quick: bool) -> dict[str, int]:
    """Returns the networks to measure with the sizes of their images."""
    if quick:
        return {"LeNet-5": SIDES["LeNet-5"]}
    return {name: SIDES[name] for name in names}


def say(text: str) -> None:
    """Says how far it is, on standard error."""
    click.echo(text, err=True)


def write(path: Path, place: str, settings: dict[str, Any], rows: list[Any]) -> None:
    """Writes what was found as JSON; what is not finite is null.

    Args:
        path: Where to.
        place: The site's name.
        settings: Of the experiment.
        rows: What was found.
    """
    import keras
    import tensorflow

    found = {
        "site": place,
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "processor": _processor(),
            "system": platform.system(),
            "python": platform.python_version(),
            "tensorflow": tensorflow.__version__,
            "keras": keras.__version__,
        },
        "settings": settings,
        "rows": rows,
    }
    path.write_text(json.dumps(finite(found), indent=1) + "\n", "utf-8")


def ms(estimate: Estimate) -> dict[str, float]:
    """Returns seconds as milliseconds: the median and the quartiles."""
    low, high = estimate.quartiles
    return {"median": estimate.value * 1e3, "low": low * 1e3, "high": high * 1e3}


def cell(found: dict[str, float]) -> str:
    """Returns a median with half of the interquartile range."""
    return f"{short(found['median'])} ± {short((found['high'] - found['low']) / 2, 2)}"


def short(number: float, digits: int = 3) -> str:
    """Returns a number rounded to some digits, without an exponent."""
    return f"{float(f'{number:.{digits}g}'):.12g}"


def layer_seconds(passes: Sequence[Sequence[LayerRecord]], path: str) -> list[float]:
    """Returns how long the client took for a layer, in each of some traced passes.

    From its first micro-batch's start to the end of the last: they overlap.

    Args:
        passes: The records of each.
        path: Of the layer.
    """
    found = []
    for records in passes:
        own = [r for r in records if r.layer == path]
        ends = [r.started + r.encode + r.collect + r.decode for r in own]
        found.append(max(ends) - min(r.started for r in own))
    return found


def panels(number: int, width: float = 4.0, height: float = 3.4) -> tuple[Any, Any]:
    """Returns a figure with some axes beside one another, and these."""
    figure = canvas(width * number, height)
    return figure, figure.subplots(1, number, squeeze=False)[0]


def errors(found: Sequence[dict[str, float]]) -> Any:
    """Returns medians' distances to their quartiles, as error bars are drawn."""
    low = [f["median"] - f["low"] for f in found]
    return low, [f["high"] - f["median"] for f in found]


def finite(value: Any) -> Any:
    """Returns the value with null in place of what JSON lacks."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()
