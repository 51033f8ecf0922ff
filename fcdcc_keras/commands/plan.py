"""``fcdcc-keras plan``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import click

from fcdcc_keras.checks import check_output
from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning.devices import PROFILES, profile
from fcdcc_keras.planning.memory import limit_bytes
from fcdcc_keras.planning.objective import OBJECTIVES
from fcdcc_keras.planning.stragglers import from_spec


def _bytes(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> float | None:
    """Returns the bytes that a text such as 200MB stands for."""
    try:
        return limit_bytes(value)
    except PlanError as error:
        raise click.BadParameter(str(error)) from error


@click.command(name="plan")
@click.argument("model")
@click.option(
    "--workers", type=click.IntRange(min=1), required=True, help="n, the workers."
)
@click.option(
    "--stragglers",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="γ, the workers that may be missing.",
)
@click.option(
    "--device",
    metavar="PROFILE",
    help=f"What workers and client can do: {', '.join(PROFILES)}, or a JSON file of "
    "what fk.calibrate returned (to_dict). Without it no latency is predicted.",
)
@click.option(
    "--straggling",
    default="none",
    show_default=True,
    metavar="SPEC",
    help="How workers are slowed: none, exponential:MEAN, pareto:SHAPE, "
    "onoff:PROBABILITY,FACTOR[,SPELL] or trace:FILE.",
)
@click.option(
    "--objective",
    type=click.Choice(OBJECTIVES),
    help="The least time of one image (latency), or most images a second "
    "(throughput), by tiles of several layers, coded layers or this device itself, "
    "whichever is best; or every convolution coded at the least price.  [default: "
    "latency with --device, otherwise price]",
)
@click.option(
    "--redundancy",
    type=click.Choice(["eager", "hedged", "auto"]),
    help="Send layers to all workers, or to as many as needed and the others later; "
    "auto chooses for each layer.  [default: auto; eager for price]",
)
@click.option(
    "--memory-limit",
    callback=_bytes,
    metavar="BYTES",
    help="That a worker can hold of kernels, as 200MB.  [default: the device's]",
)
@click.option(
    "--code", default="auto", show_default=True, help="Name of a code, or auto."
)
@click.option(
    "--image-size",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Height and width for keras.applications.  [default: their own]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also draw what each split of each layer would cost: png, svg or pdf by the "
    "suffix. Needs matplotlib.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE.json",
    help="Also write the plan, for distribute(plan=...).",
)
def plan(
    model: str,
    device: str | None,
    straggling: str,
    objective: str | None,
    redundancy: str | None,
    image_size: int | None,
    as_json: bool,
    plot: str | None,
    output: str | None,
    **options: Any,
) -> None:
    """Show how MODEL would be spread over workers, what it costs, and whether it pays.

    MODEL is a name in keras.applications, of which no weights are downloaded; a .keras
    file; module:function, which returns a model; or digits-vgg, digits-resnet,
    mnist-vgg or mnist-resnet. No cluster is needed.
    """
    if plot is not None:
        from fcdcc_keras.observe.plotting import check_plotting

        check_plotting(plot)
    if output is not None:
        check_output(output)
    known = None if device is None else profile(device)
    slowed = from_spec(straggling)
    # Read when TensorFlow is loaded.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from fcdcc_keras.backend import check_backend

    check_backend()
    from fcdcc_keras.commands.models import architecture
    from fcdcc_keras.planning import Objective, Prices
    from fcdcc_keras.rewriting.planners.model import plan as plan_model

    by: Any = objective or ("price" if known is None else "latency")
    if redundancy is not None:
        options["redundancy"] = redundancy
    options |= {"calibration": known, "objective": by, "straggling": slowed}
    with _shown() as progress:
        made = plan_model(architecture(model, image_size), progress=progress, **options)
    if output is not None:
        made.to_json(output)
    if as_json:
        click.echo(made.to_json())
    else:
        click.echo(str(made), nl=False)
    if plot is not None:
        from fcdcc_keras.observe.plan_plot import plot_plan

        prices = Prices() if known is None else known.prices
        goal = Objective(prices, known, slowed, by)
        plot_plan(made, goal, plot)


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[int, int], None] | None]:
    """Shows on a terminal how many layers are planned; yields what is told of it."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    from fcdcc_keras.commands.progress import Stages

    with Stages(console) as stages, stages.stage("choosing codes") as stage:

        def progress(done: int, of: int) -> None:
            stage.expect(of)
            if done:
                stage()

        yield progress
