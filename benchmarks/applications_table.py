"""The tables of docs/applications.md: every model of keras.applications, coded.

Random weights, logits of one random image, four workers in this process of which
another one is missing at each layer; by each engine. Prints Markdown; `--cache` keeps
the rows of models that were measured before. Half an hour of two cores, 10 GB.
"""

from __future__ import annotations

import gc
import json
import math
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import keras
import numpy as np

import fcdcc_keras as fk
from fcdcc_keras.execution.executors.local import LOST
from fcdcc_keras.rewriting.eligibility import has_convolution
from fcdcc_keras.rewriting.keras_internals import uses
from fcdcc_keras.rewriting.walk import walk

WORKERS = 4
ENGINES = ("tensorflow", "light")
"""What they compute with, one after the other."""
AT_224 = ("VGG16", "ResNet50", "MobileNetV2", "Xception")
"""Models that are also tried at 224×224, for 1×1 maps hide errors of partitions."""
DAMPED = {"EfficientNetV2L": 0.75}
"""Scales of the normalizations of models in which, with random weights and scales of 1,
rounding errors double every few layers: the plain model's own logits in float32 are 94%
off those in float64."""
_SMALLEST = re.compile(r"must be at least (\d+)x")


@dataclass(frozen=True)
class Row:
    """What came out for one model."""

    model: str
    size: int
    """Height and width of its input."""
    convolutions: int
    """Convolutional layers."""
    converted: int
    """Those of them that are coded."""
    convolutional_share: float
    """Of the convolutions' multiply-adds, those in coded layers."""
    total_share: float
    """The same of convolutions and Dense layers, with Dense on."""
    deviation: dict[str, float]
    """Largest difference of the coded model's logits from the plain one's, relative
    to the largest logit, with Dense off and on, by the workers' engine."""
    plain_error: float | None
    """The same of the plain model's from those in float64."""


def names() -> list[str]:
    """Returns the models of keras.applications."""
    every = vars(keras.applications).items()
    return sorted(name for name, of in every if callable(of) and name[0].isupper())


def build(name: str, size: int = 1, dtype: str = "float32") -> keras.Model:
    """Returns a model with random weights, at least so large as it allows."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(dtype)
    try:
        return getattr(keras.applications, name)(
            weights=None, classifier_activation=None, input_shape=(size, size, 3)
        )
    except ValueError as error:
        least = _SMALLEST.search(str(error))
        if least is None or int(least[1]) <= size:
            raise
        return build(name, int(least[1]), dtype)
    finally:
        keras.config.set_dtype_policy("float32")


def multiply_adds(layer: Any) -> int:
    """Returns the multiply-adds of a layer, by its weights and its places alone."""
    transposed = "Transpose" in type(layer).__name__
    kernels = [w for w in layer.trainable_weights if w.name.endswith("kernel")]
    places = 0
    for inputs, outputs in uses(layer):
        tensors = inputs if transposed else outputs
        places += sum(math.prod(tensor.shape[1:-1]) for tensor in tensors)
    return places * sum(math.prod(kernel.shape) for kernel in kernels)


def share(model: keras.Model, plan: fk.Plan, dense: bool) -> tuple[int, float]:
    """Returns how many layers may be coded, and which part of their work is."""
    coded = {layer.path for layer in plan.layers}
    work = {
        path: multiply_adds(layer)
        for path, layer in walk(model)
        if has_convolution(layer) or (dense and isinstance(layer, keras.layers.Dense))
    }
    return len(work), sum(work[path] for path in coded & set(work)) / sum(work.values())


def measure(name: str, size: int, *, exact: bool = True) -> Row:
    """Returns the row of a model.

    Args:
        name: Which.
        size: Height and width of its input; 1 is the smallest that it allows.
        exact: Whether it is also compared with the plain model in float64.
    """
    model = build(name, size)
    scale(model, DAMPED.get(name, 1.0))
    size = model.input_shape[1]
    image = np.random.default_rng(0).uniform(0, 255, (1, size, size, 3))
    plain = logits(model, image)
    deviation, plans = dict.fromkeys(ENGINES, 0.0), []
    for dense in (False, True):
        executor = fk.LocalExecutor(WORKERS, _rotating)
        coded = fk.distribute(model, executor, dense=dense, fallback="raise")
        plans.append(fk.plan(model, workers=WORKERS, dense=dense))
        for engine in ENGINES:
            executor.engine = engine
            with fk.trace(coded) as trace:
                found = logits(coded, image)
            assert trace.local_convolutions == 0
            assert trace.distributed_convolutions >= len(plans[-1].layers)
            off = difference(found, plain)
            deviation[engine] = max(deviation[engine], off)
        fk.close(coded)
        del coded, trace
        gc.collect()
    convolutions, convolutional = share(model, plans[0], False)
    _, total = share(model, plans[1], True)
    plain_error = None
    if exact:
        wide = build(name, size, "float64")
        wide.set_weights(model.get_weights())
        plain_error = difference(plain, logits(wide, image))
    return Row(
        model=name,
        size=size,
        convolutions=convolutions,
        converted=len(plans[0].layers),
        convolutional_share=convolutional,
        total_share=total,
        deviation=deviation,
        plain_error=plain_error,
    )


def table(rows: list[Row]) -> str:
    """Returns rows as Markdown."""
    headings = (
        "model",
        "input",
        "layers converted",
        "convolutional multiply-adds",
        "all, with Dense",
        *(f"deviation, {engine}" for engine in ENGINES),
        "plain float32 from float64",
    )
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for row in rows:
        cells = (
            row.model,
            f"{row.size}×{row.size}",
            f"{row.converted} of {row.convolutions}",
            f"{row.convolutional_share:.1%}",
            f"{row.total_share:.1%}",
            *(f"{row.deviation[engine]:.1e}" for engine in ENGINES),
            "" if row.plain_error is None else f"{row.plain_error:.1e}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def scale(model: keras.Model, scale: float) -> None:
    """Sets the scales of normalizations, and those of ConvNeXt's branches to 1.

    At their initial 1e-6 the branches, and errors in them, would not show.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and scale != 1:
            layer.gamma.assign(scale * layer.gamma)
        if type(layer).__name__ == "LayerScale":
            layer.gamma.assign(keras.ops.ones_like(layer.gamma))


def _rotating(call: int, worker: int) -> Any:
    return LOST if worker == call % WORKERS else None


def logits(model: keras.Model, image: np.ndarray) -> np.ndarray:
    found: np.ndarray = model(image.astype(model.compute_dtype)).numpy()
    return found


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@click.command()
@click.argument("models", nargs=-1)
@click.option("--cache", type=click.Path(path_type=Path), help="JSON of known rows.")
def main(models: tuple[str, ...], cache: Path | None) -> None:
    """Measures models, all if none are named, and prints the tables."""
    known: dict[str, Any] = {}
    if cache is not None and cache.exists():
        known = json.loads(cache.read_text("utf-8"))
    chosen = models or names()
    for title, size, among in (
        ("At the smallest input", 1, chosen),
        ("At 224×224", 224, [name for name in AT_224 if name in chosen]),
    ):
        rows = []
        for name in among:
            key = f"{name} {size}"
            if key not in known:
                known[key] = asdict(measure(name, size))
                click.echo(f"{name}: {known[key]}", err=True)
                if cache is not None:
                    cache.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
            rows.append(Row(**known[key]))
        click.echo(f"\n{title}:\n\n{table(rows)}")


if __name__ == "__main__":
    main()
