"""ResNet50 as a feature extractor for images of any size, fed by ``tf.data``.

    python examples/wrap_resnet50.py                # workers on this machine
    python examples/wrap_resnet50.py --cluster tcp://192.168.1.10:8786

Height and width are left open, so each layer is planned at the first image of each
size. With ``redundancy="hedged"`` a layer goes to as many workers as needed, and to the
others when one is late. With ``--latency`` workers get only what they do sooner than
this process, by a measurement of both, and several layers at a time.
"""

from __future__ import annotations

import json
import os

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_sample_images

import fcdcc_keras as fk


def crops(sides: tuple[int, ...], batch: int) -> tf.data.Dataset:
    """Random crops of scikit-learn's photographs: batches (batch, side, side, 3)."""
    photos = load_sample_images().images
    rng = np.random.default_rng(0)

    def cut() -> object:
        for side in sides:
            images = []
            for photo in (photos * batch)[:batch]:
                top, left = (int(rng.integers(n - side)) for n in photo.shape[:2])
                images.append(photo[top : top + side, left : left + side])
            yield np.stack(images).astype("float32")

    shape = tf.TensorSpec((batch, None, None, 3))
    images = tf.data.Dataset.from_generator(cut, output_signature=shape)
    return images.map(keras.applications.resnet.preprocess_input).prefetch(2)


@click.command()
@click.option("--cluster", help="A scheduler's address.  [default: 4 workers here]")
@click.option("--weights", help='"imagenet", or a file.  [default: random]')
@click.option("--latency", is_flag=True, help="Give workers only what they do sooner.")
@click.option("--quick", is_flag=True, help="Small images, for a test.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    cluster: str | None, weights: str | None, latency: bool, quick: bool, as_json: bool
) -> None:
    """Compares the features of plain and coded ResNet50."""
    keras.utils.set_random_seed(0)
    model = keras.applications.ResNet50(
        weights=weights, include_top=False, pooling="avg"
    )
    coded = fk.distribute(
        model,
        cluster,
        workers=None if cluster else 4,
        objective="latency" if latency else "price",
        redundancy="hedged",
    )
    deviations = {}
    with fk.closing(coded), fk.trace(coded) as trace:
        for images in crops((48, 64) if quick else (224, 320), batch=2):
            expected = model(images).numpy()
            deviation = abs(coded(images).numpy() - expected).max() / expected.max()
            deviations["x".join(map(str, images.shape[1:3]))] = float(deviation)
    result = {
        "largest_deviation": deviations,
        "convolutions_on_workers": trace.distributed_convolutions,
        "convolutions_in_client": trace.local_convolutions,
    }
    if not as_json:
        click.echo(trace.summary())
    click.echo(json.dumps(result, indent=None if as_json else 1))


if __name__ == "__main__":
    main()
