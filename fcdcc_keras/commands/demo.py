"""``fcdcc-keras demo``."""

from __future__ import annotations

import importlib.util
import json
import os

import click

from fcdcc_keras.backend import check_backend
from fcdcc_keras.errors import FcdccError


@click.command()
@click.option(
    "--only",
    type=click.Choice(["resnet", "vgg16"]),
    help="Show one of the two models.",
)
@click.option(
    "--weights",
    type=click.Choice(["random", "imagenet"]),
    default="random",
    show_default=True,
    help="VGG16's weights; imagenet downloads 528 MB the first time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def demo(only: str | None, weights: str, as_json: bool) -> None:
    """Two CNNs keep their answers while two of six workers go.

    Trains a small ResNet on real handwritten digits and takes VGG16 on two
    photographs. Each is run plainly, over six worker processes on this machine,
    and again while one of them is stopped and another killed. Takes about two
    minutes, and 7 GB of memory.
    """
    _need_examples()
    # Read when TensorFlow is loaded, here and in the workers.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    check_backend()
    from rich.console import Console

    from fcdcc_keras.commands.demo_results import closing_words, table
    from fcdcc_keras.commands.demo_run import MODELS, run

    result = run(
        Console(stderr=True), models=(only,) if only else MODELS, weights=weights
    )
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
    else:
        console = Console()
        console.print()
        console.print(table(result))
        console.print(closing_words(result))
    if not result.identical_predictions:
        raise SystemExit(1)


def _need_examples() -> None:
    missing = [
        name for name in ("sklearn", "PIL") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise FcdccError(
            "The demo needs scikit-learn and Pillow for their pictures. "
            f"Received: no module named {' and '.join(missing)}. "
            "Install them with: pip install 'fcdcc-keras[cpu,examples]'"
        )
