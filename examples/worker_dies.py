"""A worker is killed, another stops, in the middle of a prediction.

    python examples/worker_dies.py

Four worker processes are started here. A callback kills one after the first batch and
stops another (as a swapping machine would); the answers are those of the plain model.
"""

from __future__ import annotations

import json
import os
import signal

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from distributed import Client, LocalCluster

import fcdcc_keras as fk


class Trouble(keras.callbacks.Callback):
    """Kills one process and stops another once the first batch is through."""

    def __init__(self, to_kill: int, to_stop: int) -> None:
        super().__init__()
        self.to_kill, self.to_stop = to_kill, to_stop

    def on_predict_batch_end(self, batch: int, logs: object = None) -> None:
        if batch == 0:
            os.kill(self.to_kill, signal.SIGKILL)
            os.kill(self.to_stop, signal.SIGSTOP)


def network(side: int) -> keras.Model:
    """A network of eight convolutions for ten classes."""
    inputs = x = keras.Input((side, side, 3))
    for filters in (16, 32, 64, 64):
        for stride in (1, 2):
            convolve = keras.layers.Conv2D(
                filters, 3, stride, "same", activation="relu"
            )
            x = convolve(x)
    return keras.Model(
        inputs, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x))
    )


@click.command()
@click.option("--side", default=96, show_default=True, help="Pixels of the images.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(side: int, as_json: bool) -> None:
    """Predicts while workers go."""
    keras.utils.set_random_seed(0)
    model = network(side)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(24, side, side, 3)).astype("float32")
    expected = model.predict(images, verbose=0)
    # Dask starts the killed one anew in time; until then two answer.
    with (
        LocalCluster(
            n_workers=4, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(4)
        kill, stop = list(client.run(os.getpid).values())[:2]
        coded = fk.distribute(model, client, stragglers=2, fallback="raise")
        try:
            with fk.closing(coded), fk.trace(coded) as trace:
                found = coded.predict(
                    images, batch_size=8, verbose=0, callbacks=[Trouble(kill, stop)]
                )
        finally:
            os.kill(stop, signal.SIGCONT)
    result = {
        "convolutions_on_workers": trace.distributed_convolutions,
        "convolutions_in_client": trace.local_convolutions,
        "largest_deviation": float(abs(found - expected).max() / abs(expected).max()),
    }
    if not as_json:
        click.echo(trace.summary())
    click.echo(json.dumps(result))


if __name__ == "__main__":
    main()
