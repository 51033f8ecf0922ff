"""Compares light workers of another architecture with plain Keras, and kills one.

    python compare_workers.py COMMAND...

COMMAND is ``fcdcc-keras`` there, as ``chroot FOLDER fcdcc-keras``. Coded layers and
tiles, each over workers of their own, of which one is killed on the way.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click
import keras
import numpy as np
from distributed import Client, LocalCluster

import fcdcc_keras as fk
from fcdcc_keras.commands import models
from fcdcc_keras.commands.data import open_data
from fcdcc_keras.commands.faults import expected_losses, parse
from fcdcc_keras.commands.side_by_side import Comparison, Images, Labels, compare
from fcdcc_keras.planning import Plan
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan

WORKERS = 4
SIZE = (96, 96)
LARGEST = 1e-5
"""Deviation of float32 scores, over the largest of them."""
PATIENCE = 600.0
"""Seconds, for an emulated processor."""


@dataclass(frozen=True)
class Trial:
    """What is predicted, and how it is distributed."""

    name: str
    model: keras.Model
    plan: Plan
    images: int
    batches: Iterator[tuple[Images, Labels]]


def main(command: Sequence[str]) -> None:
    """Prints what differs for each trial; ends with 1 where something does."""
    found = [run(trial, command) for trial in (coded(), tiled())]
    sys.exit(
        any(each.differences or not 0 < each.deviation < LARGEST for each in found)
    )


def coded() -> Trial:
    """Returns the shipped model with every convolution coded, on the shipped images."""
    candidate = models.load("digits-vgg")
    candidate.model.compile(jit_compile=False)
    data = open_data("digits", candidate.shape(None))
    plan = fk.plan(candidate.model, workers=WORKERS, stragglers=1)
    return Trial("coded", candidate.model, plan, data.images, data.batches(50))


def tiled() -> Trial:
    """Returns a residual network whose convolutions are tiles, on noise."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = x = keras.Input((*SIZE, 3), name="photo")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_0")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    shortcut = x = layers.Conv2D(24, 3, padding="same", name="conv_1")(x)
    x = layers.BatchNormalization(name="normal")(x)
    x = layers.Conv2D(24, 3, padding="same", activation="relu", name="conv_2")(x)
    x = layers.Add(name="add")([x, shortcut])
    outputs = layers.Dense(4, name="scores")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs, name="residual")
    chains = ChainPlan("pool", "workers", True), ChainPlan("add", "workers", True)
    stretch = StretchPlan("", "photo", SIZE, chains)
    plan = Plan(model.name, WORKERS, 1, (), stretches=(stretch,))
    noise = np.random.default_rng(0).normal(size=(10, 2, *SIZE, 3)).astype("float32")
    none = np.zeros(2, "int64")
    return Trial("tiles", model, plan, 20, ((photos, none) for photos in noise))


def run(trial: Trial, command: Sequence[str]) -> Comparison:
    """Returns what differs between the plain model and the one over workers there."""
    with workers(command) as (client, processes), expected_losses():
        machines = set(client.run(platform.machine).values())
        distributed = fk.distribute(
            trial.model, client, plan=trial.plan, fallback="raise", timeout=PATIENCE
        )
        with fk.closing(distributed):
            found = compare(
                trial.model,
                distributed,
                trial.batches,
                parse("kill 0 at 40%"),
                images=trial.images,
                strike=lambda fault: processes[0].kill(),
            )
    engines = {name for names in found.summary.engines.values() for name in names}
    click.echo(
        f"{trial.name}: {WORKERS} workers ({', '.join(machines | engines)}), "
        f"{len(found.struck)} killed; {found.summary.local} of {found.summary.calls} "
        f"calls in the client; {len(found.differences)} of {found.images} predictions "
        f"differ; largest deviation {found.deviation:.1e}"
    )
    return found


@contextmanager
def workers(
    command: Sequence[str],
) -> Iterator[tuple[Client, list[subprocess.Popen[bytes]]]]:
    """Starts a scheduler here and workers there; gives a client, and the workers."""
    with (
        LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        line = [*command, "worker", cluster.scheduler_address, "--no-nanny"]
        processes = [subprocess.Popen(line) for _ in range(WORKERS)]
        try:
            client.wait_for_workers(WORKERS, timeout=PATIENCE)
            yield client, processes
        finally:
            for process in processes:
                process.kill()
                process.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
