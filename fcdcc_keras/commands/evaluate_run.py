"""The whole evaluation, from names to results."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import fcdcc_keras as fk
from fcdcc_keras.commands import models
from fcdcc_keras.commands.data import Batch, Dataset, open_data
from fcdcc_keras.commands.evaluation import Evaluation
from fcdcc_keras.commands.faults import (
    Fault,
    Saboteur,
    expected_losses,
    orderly_end,
    parse,
    schedule,
)
from fcdcc_keras.commands.models import Candidate
from fcdcc_keras.commands.progress import Stages
from fcdcc_keras.commands.side_by_side import compare
from fcdcc_keras.errors import FcdccError
from fcdcc_keras.execution.cluster.embedded import (
    default_workers,
    start_local_cluster,
    stop_local_cluster,
)
from fcdcc_keras.planning import By
from fcdcc_keras.rewriting.distribute import sessions


@dataclass(frozen=True)
class EvaluateOptions:
    """What is to be evaluated, and how; see the command's help."""

    model: str
    weights: str | None = None
    data: str | None = None
    split: str = "test"
    images: int | None = None
    image_size: int | None = None
    preprocess: str | None = None
    batch_size: int = 32
    workers: int | None = None
    cluster: str | None = None
    stragglers: int = 1
    objective: By = "price"
    inject: str = ""


def run(console: Console, options: EvaluateOptions) -> Evaluation:
    """Judges a model plainly and over workers, on the same images in turn.

    Args:
        console: Where to show the progress.
        options: What and how.

    Raises:
        FcdccError: An option is not usable.
    """
    faults = parse(options.inject)
    if faults and options.cluster is not None:
        raise FcdccError(
            "Faults are injected into workers that this command starts itself. "
            f"Received: --inject with --cluster {options.cluster}. Leave out one."
        )
    with orderly_end(), Stages(console) as stages:
        with stages.stage(f"Load {options.model}") as step:
            candidate, dataset = _load(options, step)
            plain = candidate.model
            # XLA is slower than plain TensorFlow for such models on a CPU.
            plain.compile(jit_compile=False)
        workers, plan = options.workers, None
        if options.cluster is None:
            workers = workers or default_workers(options.stragglers)
            # What cannot work is found before workers are started.
            faults = tuple(schedule(faults, workers, dataset.images))
            if options.objective == "price":
                plan = fk.plan(plain, workers=workers, stragglers=options.stragglers)
        with contextlib.ExitStack() as stack:
            if faults:
                stack.enter_context(expected_losses())
            cluster: Any = options.cluster
            if workers is not None and cluster is None:
                with stages.stage(f"Start {workers} workers on this machine"):
                    cluster = start_local_cluster(workers)
                stack.callback(stop_local_cluster, cluster)
            with stages.stage("Distribute the model"):
                coded = fk.distribute(
                    plain,
                    cluster,
                    workers=workers,
                    stragglers=options.stragglers,
                    objective=options.objective,
                    plan=plan,
                )
            stack.enter_context(fk.closing(coded))
            strike = stack.enter_context(Saboteur(cluster)).strike if faults else _none
            size = min(options.batch_size, dataset.images)
            text = f"Predict {dataset.images} images, plainly and over the workers"
            began = time.perf_counter()
            with stages.stage(text, -(-dataset.images // size)) as step:
                comparison = compare(
                    plain,
                    coded,
                    _prepared(candidate, dataset, size),
                    faults,
                    images=dataset.images,
                    strike=strike,
                    after_batch=step,
                )
            return Evaluation(
                model=candidate.name,
                data=dataset.name,
                batch_size=size,
                workers=sessions(coded)[0].executor.workers,
                stragglers=options.stragglers,
                labels_known=dataset.classes in (None, plain.output_shape[1]),
                comparison=comparison,
                layers=str(fk.report(coded)),
                seconds=time.perf_counter() - began,
            )


def _load(
    options: EvaluateOptions, on_epoch: Callable[[], None]
) -> tuple[Candidate, Dataset]:
    side = options.image_size
    own = options.preprocess and models.function(options.preprocess)
    candidate = models.load(
        options.model, options.weights, side=side, on_epoch=on_epoch
    )
    if own:
        candidate = Candidate(candidate.name, candidate.model, own)
    data = options.data or candidate.data
    if data is None:
        raise FcdccError(
            "A model that is not a shipped one needs images. Received: --model "
            f"{options.model} without --data. Give a folder with a folder for each "
            "class, a name in tensorflow_datasets, or digits or mnist."
        )
    shape = candidate.shape(side)
    dataset = open_data(data, shape, split=options.split, limit=options.images)
    return candidate, dataset


def _prepared(candidate: Candidate, dataset: Dataset, size: int) -> Iterator[Batch]:
    for images, labels in dataset.batches(size):
        prepared: NDArray[np.float32] = candidate.prepare(images, dataset.peak)
        yield prepared, labels


def _none(fault: Fault) -> None:
    raise AssertionError(f"{fault} is in no script")
