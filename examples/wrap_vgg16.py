"""VGG16 over workers, of which some may hang or die: the same answers.

    python examples/wrap_vgg16.py                # workers on this machine
    python examples/wrap_vgg16.py --cluster tcp://192.168.1.10:8786 --weights imagenet

Prints what would be done with each layer, takes two photographs through the plain and
the coded model, and compares.
"""

from __future__ import annotations

import json
import os

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from sklearn.datasets import load_sample_images

import fcdcc_keras as fk


def photographs(side: int) -> np.ndarray:
    """The two photographs of scikit-learn, (2, side, side, 3), as VGG16 wants them."""
    images = (
        keras.preprocessing.image.smart_resize(image.astype("float32"), (side, side))
        for image in load_sample_images().images
    )
    return keras.applications.vgg16.preprocess_input(np.stack(list(images)))


@click.command()
@click.option("--cluster", help="A scheduler's address.  [default: 4 workers here]")
@click.option("--stragglers", default=1, show_default=True, help="May be missing.")
@click.option("--weights", help='"imagenet", or a file.  [default: random]')
@click.option("--side", default=224, show_default=True, help="Pixels; 224: imagenet.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    cluster: str | None, stragglers: int, weights: str | None, side: int, as_json: bool
) -> None:
    """Compares plain and coded VGG16."""
    keras.utils.set_random_seed(0)
    model = keras.applications.VGG16(weights=weights, input_shape=(side, side, 3))
    photos = photographs(side)
    workers = None if cluster else 4  # None: all that the cluster has
    coded = fk.distribute(model, cluster, workers=workers, stragglers=stragglers)
    with fk.closing(coded), fk.trace(coded) as trace:
        report = fk.report(coded)
        found = coded.predict(photos, verbose=0)
    expected = model.predict(photos, verbose=0)
    result = {
        "layers_coded": len(report.converted),
        "convolutions_on_workers": trace.distributed_convolutions,
        "convolutions_in_client": trace.local_convolutions,
        "largest_deviation": float(abs(found - expected).max() / expected.max()),
        "same_classes": bool((found.argmax(1) == expected.argmax(1)).all()),
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(report)
    click.echo(trace.summary())
    for name, value in result.items():
        click.echo(f"{name.replace('_', ' ')}: {value}")


if __name__ == "__main__":
    main()
