"""Whole models on loopback workers, over the same models without any."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.figures.anatomy import Watched
from benchmarks.figures.estimate import median, ratio
from benchmarks.figures.figure import Outcome
from benchmarks.figures.interleave import interleave
from benchmarks.figures.run import Run
from benchmarks.figures.worker_side import build_model, predict_part

if TYPE_CHECKING:
    import keras
    from distributed import Client

WORKERS = 2
"""n = δ."""
LENET = "LeNet-5"


def vgg16_b1(run: Run) -> Outcome:
    """Measures ``vgg16_b1_over_plain``."""
    return _over_plain(run, "VGG16", 1, 15)


def vgg16_b16(run: Run) -> Outcome:
    """Measures ``vgg16_b16_over_plain``."""
    return _over_plain(run, "VGG16", 16, 5)


def resnet50_b16(run: Run) -> Outcome:
    """Measures ``resnet50_b16_over_plain``."""
    return _over_plain(run, "ResNet50", 16, 7)


def data_parallel_b16(run: Run) -> Outcome:
    """Measures ``peers_b16``."""
    rounds = run.rounds(5)
    client, model, batch = run.loopback(WORKERS), build("VGG16"), random_images(16)
    return _compare(run, rounds, model, batch, _mapped(client, model, batch), "mapped")


def build(application: str) -> keras.Model:
    """Returns a model of ``keras.applications``, or LeNet-5, with random weights.

    Without softmax, which makes nearly the same of whatever random weights yield: a
    wrong output would go unnoticed.
    """
    import keras

    if application == LENET:
        from examples.paper.models import build as of_the_paper

        return of_the_paper(application, top=True)
    keras.utils.set_random_seed(0)
    return getattr(keras.applications, application)(
        weights=None, classifier_activation=None
    )


def random_images(
    batch: int, shape: tuple[int, int, int] = (224, 224, 3)
) -> np.ndarray:
    """Returns images of shape (batch, H, W, C), of values from −1 to 1."""
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (batch, *shape)).astype("float32")


def _over_plain(run: Run, application: str, batch: int, usual: int) -> Outcome:
    rounds = run.rounds(usual)
    model, images = build(application), random_images(batch)

    def plain() -> np.ndarray:
        outputs: np.ndarray = model.predict_on_batch(images)
        return outputs

    return _compare(run, rounds, model, images, plain, "plain")


def _compare(
    run: Run,
    rounds: int,
    model: keras.Model,
    batch: np.ndarray,
    peer: Callable[[], np.ndarray],
    name: str,
) -> Outcome:
    import fcdcc_keras as fk

    client = run.loopback(WORKERS)
    coded = fk.distribute(model, client, workers=WORKERS, stragglers=0, code="crme")
    with fk.closing(coded):
        watched = Watched(coded, batch)
        deviation = float(np.abs(watched.predict() - peer()).max())
        samples = interleave(
            {"coded": watched.turn, name: lambda: _done(peer())},
            rounds,
            step=run.step,
        )
    return Outcome(
        ratio(samples["coded"], samples[name]),
        rounds,
        watched.client_convolutions,
        {
            **{
                f"{key}_ms": median(seconds).scaled(1e3).to_json()
                for key, seconds in samples.items()
            },
            **watched.parts(samples["coded"]),
            "largest_deviation": deviation,
        },
    )


def _done(outputs: np.ndarray) -> None:
    """Leaves the time that counts to the clock."""


def _mapped(
    client: Client, model: keras.Model, batch: np.ndarray
) -> Callable[[], np.ndarray]:
    """Returns data-parallel prediction: every worker has the whole model."""
    addresses = sorted(client.nthreads())[:WORKERS]
    key = f"bench-{id(model)}"
    client.run(
        build_model, key, model.to_json(), model.get_weights(), workers=addresses
    )

    def predict() -> np.ndarray:
        futures: Any = client.map(
            predict_part,
            np.array_split(batch, WORKERS),
            model_key=key,
            workers=addresses,
            pure=False,
        )
        return np.concatenate(client.gather(futures))

    return predict
