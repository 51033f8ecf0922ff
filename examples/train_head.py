"""Training a new head on a frozen backbone whose convolutions run on workers.

    python examples/train_head.py                # workers on this machine
    python examples/train_head.py --cluster tcp://192.168.1.10:8786

A small ResNet learns the handwritten digits 0 to 4 on this machine. Then its layers
are frozen, and a new head learns to tell 5 to 9 apart by its features: every forward
pass runs coded over worker processes, of which one may be missing at any time, and
only the head gets gradients. The frozen kernels stay where they are; of a layer that
is trained, each step sends every worker its share anew.
"""

from __future__ import annotations

import json
import os

import click
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

import fcdcc_keras as fk
from fcdcc_keras.commands.networks import build_resnet, train
from fcdcc_keras.commands.samples import Samples, load_digits


def known_and_new(data: Samples) -> tuple[Samples, Samples]:
    """The digits 0 to 4, and the digits 5 to 9 with labels from 0."""

    def part(first: int) -> Samples:
        train, test = (
            (labels >= first) & (labels < first + 5)
            for labels in (data.train_labels, data.test_labels)
        )
        return Samples(
            data.train_images[train],
            data.train_labels[train] - first,
            data.test_images[test],
            data.test_labels[test] - first,
        )

    return part(0), part(5)


def with_new_head(trained: keras.Model) -> keras.Model:
    """The frozen layers of a network but its last, and five new outputs."""
    backbone = keras.Model(trained.input, trained.layers[-2].output, name="backbone")
    backbone.trainable = False
    inputs = keras.Input(trained.input_shape[1:])
    model = keras.Model(inputs, keras.layers.Dense(5, name="head")(backbone(inputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"])
    return model


@click.command()
@click.option("--cluster", help="A scheduler's address.  [default: 4 workers here]")
@click.option("--stragglers", default=1, show_default=True, help="May be missing.")
@click.option("--quick", is_flag=True, help="Fewer epochs, for a test.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(cluster: str | None, stragglers: int, quick: bool, as_json: bool) -> None:
    """Trains the head of a frozen, coded network."""
    keras.utils.set_random_seed(0)
    known, new = known_and_new(load_digits(seed=0))
    network = build_resnet(8)
    train(network, known, epochs=3 if quick else 10)
    model = with_new_head(network)
    workers = None if cluster else 4  # None: all that the cluster has
    coded = fk.distribute(model, cluster, workers=workers, stragglers=stragglers)
    with fk.closing(coded), fk.trace(coded) as trace:
        before = coded.get_layer("backbone").get_weights()
        history = coded.fit(
            new.train_images,
            new.train_labels,
            batch_size=64,
            epochs=2 if quick else 8,
            verbose=0,
        )
        _, accuracy = coded.evaluate(new.test_images, new.test_labels, verbose=0)
        after = coded.get_layer("backbone").get_weights()
    result = {
        "loss": history.history["loss"],
        "accuracy": accuracy,
        "convolutions_on_workers": trace.distributed_convolutions,
        "convolutions_in_client": trace.local_convolutions,
        "backbone_unchanged": all(map(np.array_equal, before, after)),
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(trace.summary())
    click.echo("loss of each epoch: " + ", ".join(f"{x:.3f}" for x in result["loss"]))
    click.echo(f"digits 5 to 9 of the test told apart: {accuracy:.1%}")


if __name__ == "__main__":
    main()
