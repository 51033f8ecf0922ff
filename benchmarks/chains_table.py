"""The table of docs/applications.md of models as chains in tiles, in forced grids.

Every model of keras.applications, and some of other kinds, with random weights: each of
its stretches goes to six workers in this process, as chains that end where maps become
smaller, every chain in a grid of so many rows and columns of tiles. Prints Markdown;
`--cache` keeps the rows of models that were measured before. An hour of two cores, and
up to 10 GB; 20 GB for ConvNeXtXLarge.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import keras
import numpy as np

import fcdcc_keras as fk
from benchmarks import applications_table as coded
from fcdcc_keras.execution.forward import cutting
from fcdcc_keras.partition import SizedProgram
from fcdcc_keras.partition.tiling import grid
from fcdcc_keras.planning import Plan
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.rewriting.graph.stretches import StretchSite, sites

GRIDS = ((2, 3), (6, 1), (1, 5))
"""Rows and columns of tiles."""
WORKERS = 6
SIDE = 64
"""Height and width of the input, unless a model needs more."""

_L: Any = keras.layers


@dataclass(frozen=True)
class ChainsRow:
    """What came out for one model."""

    model: str
    size: tuple[int, ...]
    """Of its input."""
    chains: int
    """That workers compute."""
    tiles: int
    """Of all chains and grids together; a map has at most one for each of its rows and
    columns."""
    deviation: dict[str, float]
    """Largest difference of the outputs from the plain model's, relative to the largest
    output, by grid."""
    plain_error: float
    """The same of the plain model's from those in float64."""


def u_net(size: tuple[int, int] = (51, 43)) -> keras.Model:
    """Returns a U-Net: transposed convolutions, rows cut off where sizes are odd."""
    x = first = keras.Input((*size, 3))
    kept = []
    for filters in (8, 12, 16):
        x = _L.Conv2D(filters, 3, padding="same", activation="relu")(x)
        kept.append(_L.BatchNormalization()(x))
        x = _L.MaxPooling2D(2)(kept[-1])
    for beside in reversed(kept):
        x = _L.Conv2DTranspose(beside.shape[-1], 3, 2, padding="same")(x)
        sizes = zip(beside.shape[1:3], x.shape[1:3], strict=True)
        crops = tuple((here - there, 0) for here, there in sizes)
        x = _L.Concatenate()([x, _L.Cropping2D(crops)(beside)])
        x = _L.Conv2D(12, 3, padding="same", activation="relu")(x)
    return keras.Model(first, x, name="u_net")


def wave_net(length: int = 203) -> keras.Model:
    """Returns a WaveNet: causal convolutions, each dilated twice as far."""
    x = first = keras.Input((length, 4))
    x = _L.Conv1D(12, 2, padding="causal")(x)
    skips = []
    for dilation in (1, 2, 4, 8, 16):
        options = {"padding": "causal", "dilation_rate": dilation}
        gate = _L.Conv1D(12, 2, activation="sigmoid", **options)(x)
        y = _L.Conv1D(12, 2, activation="tanh", **options)(x)
        y = _L.Conv1D(12, 1)(_L.Multiply()([y, gate]))
        skips.append(y)
        x = _L.Add()([x, y])
    y = _L.ReLU()(_L.Add()(skips))
    return keras.Model(first, _L.Conv1D(6, 1)(y), name="wave_net")


def volumes(size: tuple[int, int, int] = (9, 13, 11)) -> keras.Model:
    """Returns a network over volumes."""
    x = first = keras.Input((*size, 2))
    for filters in (6, 10):
        x = _L.Conv3D(filters, 3, padding="same", activation="relu")(x)
        x = _L.BatchNormalization()(x)
        # TensorFlow pools no volumes in float64.
        x = _L.Conv3D(filters, 2, strides=2, padding="same")(x)
    x = _L.GlobalAveragePooling3D()(_L.Conv3D(12, 3, padding="same")(x))
    return keras.Model(first, _L.Dense(5)(x), name="volumes")


OTHERS: Mapping[str, Callable[[], keras.Model]] = {
    "U-Net": u_net,
    "WaveNet": wave_net,
    "3D CNN": volumes,
}


def build(name: str, dtype: str = "float32") -> keras.Model:
    """Returns a model with random weights."""
    if name not in OTHERS:
        return coded.build(name, SIDE, dtype)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(dtype)
    try:
        return OTHERS[name]()
    finally:
        keras.config.set_dtype_policy("float32")


def chained_plan(model: keras.Model) -> Plan:
    """Returns a plan by which workers compute all that can be chains."""
    sized = [site for site in sites(model) if site.size is not None]
    stretches = tuple(
        StretchPlan(site.graph, site.entry, tuple(site.size or ()), tuple(_cut(site)))
        for site in sized
    )
    return Plan(model.name, WORKERS, 1, (), (), stretches=stretches)


def _cut(site: StretchSite) -> Iterator[ChainPlan]:
    """Yields chains, which end where maps become smaller, or cannot be cut in space."""
    assert site.size is not None
    stretch = site.at(site.size)
    steps, before, shape = [], None, stretch.shape(1)
    for path, _ in stretch.ends:
        step = stretch.chain(before, path).sized(shape)
        same = step.shapes[-1][:-1] == shape[:-1]
        steps.append((path, step.local, same))
        before, shape = path, step.shapes[-1]
    for (path, local, _), after in zip(steps, [*steps[1:], None], strict=True):
        if after is None or after[1] != local or (local and not after[2]):
            yield ChainPlan(path, "workers")


@contextmanager
def forced(counts: tuple[int, int]) -> Iterator[list[int]]:
    """Has every chain cut into a grid; yields a list of how many tiles each has.

    Args:
        counts: Rows and columns of tiles; of signals their product, of volumes whole
            in depth.
    """
    made: list[int] = []

    def tiles(sized: SizedProgram, *_: Any) -> Any:
        shape, rank = sized.shapes[-1], len(sized.shapes[-1]) - 2
        along = {1: (counts[0] * counts[1],), 2: counts, 3: (1, *counts)}
        parts = along.get(rank) if sized.local else None
        boxes = grid(shape, (1, *(parts or (1,) * rank)))
        made.append(len(boxes))
        return tuple(enumerate(boxes))

    with mock.patch.object(cutting, "best_tiles", tiles):
        yield made


def measure(name: str, engine: str = "tensorflow") -> ChainsRow:
    """Returns the row of a model.

    Args:
        name: Of keras.applications, or of ``OTHERS``.
        engine: What the workers compute with.
    """
    model = build(name)
    coded.scale(model, coded.DAMPED.get(name, 1.0))
    shape = model.input_shape[1:]
    image = np.random.default_rng(0).uniform(0, 255, (1, *shape))
    plain, deviation, tiles = coded.logits(model, image), {}, 0
    plan = chained_plan(model)
    for counts in GRIDS:
        executor = fk.LocalExecutor(WORKERS, engine=engine)
        with forced(counts) as made:
            chained = fk.distribute(model, executor, plan=plan, fallback="raise")
            with fk.trace(chained) as trace:
                found = coded.logits(chained, image)
        assert trace.local_convolutions == 0
        asked = sum(len(record.subtasks) for record in trace.records)
        assert asked >= sum(made) > 0
        tiles += sum(made)
        deviation["×".join(map(str, counts))] = coded.difference(found, plain)
        fk.close(chained)
        del chained, trace, executor
        gc.collect()
    wide = build(name, "float64")
    wide.set_weights(model.get_weights())
    return ChainsRow(
        model=name,
        size=shape[:-1],
        chains=sum(len(stretch.chains) for stretch in plan.stretches),
        tiles=tiles,
        deviation=deviation,
        plain_error=coded.difference(plain, coded.logits(wide, image)),
    )


def table(rows: list[ChainsRow]) -> str:
    """Returns rows as Markdown."""
    headings = (
        *("model", "input", "chains", "tiles"),
        *(f"deviation, {a}×{b}" for a, b in GRIDS),
        "plain float32 from float64",
    )
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for row in rows:
        cells = (
            *(row.model, "×".join(map(str, row.size)), str(row.chains), str(row.tiles)),
            *(f"{found:.1e}" for found in row.deviation.values()),
            f"{row.plain_error:.1e}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@click.command()
@click.argument("models", nargs=-1)
@click.option("--engine", default="tensorflow", help="What workers compute with.")
@click.option("--cache", type=click.Path(path_type=Path), help="JSON of known rows.")
def main(models: tuple[str, ...], engine: str, cache: Path | None) -> None:
    """Measures models, all if none are named, and prints the table."""
    known: dict[str, Any] = {}
    if cache is not None and cache.exists():
        known = json.loads(cache.read_text("utf-8"))
    for name in models or (*OTHERS, *coded.names()):
        if name not in known:
            known[name] = asdict(measure(name, engine))
            click.echo(f"{name}: {known[name]}", err=True)
            if cache is not None:
                cache.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    chosen = models or (*coded.names(), *OTHERS)
    click.echo(table([ChainsRow(**known[name]) for name in chosen]))


if __name__ == "__main__":
    main()
