"""``fcdcc-keras evaluate``."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from fcdcc_keras.planning.objective import OBJECTIVES


@click.command(name="evaluate")
@click.option(
    "--model",
    required=True,
    metavar="NAME",
    help="digits-vgg, digits-resnet, mnist-vgg or mnist-resnet, which are trained on "
    "first use, in a minute at most, and kept; a name in keras.applications; a .keras "
    "file; or module:function, which returns a model.",
)
@click.option(
    "--weights",
    metavar="WHAT",
    help="random, imagenet, or a file of weights.  [default: as trained; imagenet for "
    "keras.applications]",
)
@click.option(
    "--data",
    metavar="NAME",
    help="digits or mnist (their test images); a folder with a folder for each class; "
    "or a name in tensorflow_datasets.  [default: what a shipped model was trained on]",
)
@click.option(
    "--split", default="test", show_default=True, help="Of tensorflow_datasets."
)
@click.option(
    "--images", type=click.IntRange(min=1), help="Images at most.  [default: all]"
)
@click.option(
    "--image-size",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Height and width of the images.  [default: the model's]",
)
@click.option(
    "--preprocess",
    metavar="MODULE:FUNCTION",
    help="What is done to images (B, H, W, C) first.  [default: keras.applications' "
    "own; else nothing: pixels are in [0, 255], those of digits and mnist in [0, 1]]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Images a batch.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="n, the workers to use.  [default: one for each core, or all of the cluster]",
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="A Dask scheduler.  [default: workers are started on this machine]",
)
@click.option(
    "--stragglers",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="γ, the workers that may be missing.",
)
@click.option(
    "--objective",
    type=click.Choice(OBJECTIVES),
    default="price",
    show_default=True,
    help="price: every convolution is coded. latency, throughput: workers get what "
    "they do sooner, by a measurement of them, and several layers at a time.",
)
@click.option(
    "--inject",
    default="",
    metavar="FAULTS",
    help='What happens to workers, as "kill 2 at image 100; stop 0,3 at 40%; resume 3 '
    'at 80%". kill is for good, restart kills and starts anew. Workers are numbered '
    "from 0. Not with --cluster.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False),
    metavar="FILE.html",
    help="Also write a page with pictures, in one file. Needs matplotlib.",
)
def evaluate(as_json: bool, report: str | None, **options: Any) -> None:
    """Judge a model on data: plainly, and over workers that may fail.

    Every batch is predicted by both in turn. Shows the accuracy of both, predictions
    that differ, how long batches took, and what became of each worker's results: used,
    late, lost, or skipped because it had not finished the one before.
    """
    if report is not None:
        from fcdcc_keras.observe.plotting import check_plotting

        # Before the minutes that all else may take.
        check_plotting(report, suffixes=(".html",))
    # Read when TensorFlow is loaded, here and in the workers.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from fcdcc_keras.backend import check_backend

    check_backend()
    from rich.console import Console

    from fcdcc_keras.commands.evaluate_run import EvaluateOptions, run

    found = run(Console(stderr=True), EvaluateOptions(**options))
    if report is not None:
        from fcdcc_keras.commands.page import write_page

        write_page(found, report)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
    else:
        click.echo(str(found), nl=False)
