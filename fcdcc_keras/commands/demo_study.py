"""One model: plain, coded, and coded while two workers go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

import fcdcc_keras as fk
from fcdcc_keras.commands.demo_passes import Subject, logits, seconds_per_image
from fcdcc_keras.commands.demo_results import ModelResult, compare
from fcdcc_keras.commands.progress import Stages
from fcdcc_keras.commands.sabotage import Saboteur

_REPEATS = 5


def study(
    subject: Subject, client: Any, stages: Stages, *, workers: int, stragglers: int
) -> ModelResult:
    """Runs a model in all three modes and compares them.

    Args:
        subject: The model and its images, in two batches at least.
        client: A ``distributed.Client`` of a local cluster.
        stages: Where to show the progress.
        workers: n, the workers to use.
        stragglers: γ, how many may be missing: two at least, as two will be.
    """
    timed = _REPEATS + 1
    with stages.stage("  evaluate it here, plainly", subject.batches + timed) as step:
        plain = logits(subject.model, subject, _each(step))
        plain_time = seconds_per_image(subject.model, subject, _REPEATS, _each(step))

    enough = f"any {workers - stragglers} of {workers} workers will do"
    with stages.stage(f"  distribute it: {enough}"):
        coded_model = fk.distribute(
            subject.model, client, workers=workers, stragglers=stragglers
        )

    with fk.closing(coded_model), fk.trace(coded_model) as trace:
        text = f"  evaluate it over the {workers} workers"
        with stages.stage(text, subject.batches + timed) as step:
            coded = logits(coded_model, subject, _each(step))
            coded_time, used = _timed(coded_model, subject, step)

        with Saboteur(client) as saboteur:
            text = "  again: one worker is stopped, one killed half way"
            with stages.stage(text, subject.batches) as step:

                def strike() -> None:
                    saboteur.stop(0)
                    saboteur.restart(1)

                each = _each(step, at=subject.batches // 2, do=strike)
                degraded = logits(coded_model, subject, each)
            with stages.stage("  time it without these two", timed) as step:
                saboteur.stop_restarted()
                degraded_time, left = _timed(coded_model, subject, step)

    labels = subject.labels
    return ModelResult(
        name=subject.name,
        images=len(subject.images),
        plain=compare(plain, plain, labels, plain_time),
        coded=compare(coded, plain, labels, coded_time, used),
        degraded=compare(degraded, plain, labels, degraded_time, left),
        local_convolutions=trace.local_convolutions,
    )


def _timed(
    coded_model: keras.Model, subject: Subject, step: Callable[[], None]
) -> tuple[float, int]:
    """Returns the seconds an image takes, and how many workers' answers were used."""
    with fk.trace(coded_model) as trace:
        seconds = seconds_per_image(coded_model, subject, _REPEATS, _each(step))
    outcomes = trace.summary().outcomes.values()
    return seconds, sum(counts["used"] > 0 for counts in outcomes)


def _each(
    step: Callable[[], None],
    at: int | None = None,
    do: Callable[[], None] = lambda: None,
) -> Callable[[int], None]:
    """Returns what to call after each batch: a step, and once something else."""

    def after_batch(done: int) -> None:
        step()
        if done == at:
            do()

    return after_batch
