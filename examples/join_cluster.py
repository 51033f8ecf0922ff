"""A cluster of your own: what to start where, and a model on all that has joined.

    dask scheduler --host 192.168.1.10 --port 8786        # on one machine
    fcdcc-keras worker tcp://192.168.1.10:8786            # on each of the others
    python examples/join_cluster.py tcp://192.168.1.10:8786

Waits for the workers that are asked for, distributes MobileNet over all that there are,
and saves it; then loads it, as another program would, with the same cluster.
"""

from __future__ import annotations

import json
import os
import tempfile

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from distributed import Client

import fcdcc_keras as fk


@click.command()
@click.argument("address")
@click.option("--workers", default=3, show_default=True, help="To wait for.")
@click.option("--stragglers", default=1, show_default=True, help="May be missing.")
@click.option("--side", default=128, show_default=True, help="Pixels of the images.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(address: str, workers: int, stragglers: int, side: int, as_json: bool) -> None:
    """Runs MobileNet on the cluster whose scheduler is at ADDRESS."""
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNet(weights=None, input_shape=(side, side, 3))
    images = np.random.default_rng(0).uniform(-1, 1, (4, side, side, 3))
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=120)
        held = client.scheduler_info(n_workers=-1)["workers"]
        coded = fk.distribute(model, client, stragglers=stragglers)
        with fk.closing(coded), tempfile.TemporaryDirectory() as folder:
            found = coded.predict(images, verbose=0)
            coded.save(f"{folder}/mobilenet.keras")
            loaded = fk.load_model(
                f"{folder}/mobilenet.keras", client, stragglers=stragglers
            )
            with fk.closing(loaded), fk.trace(loaded) as trace:
                again = loaded.predict(images, verbose=0)
    result = {
        "workers": {a: w["nthreads"] for a, w in held.items()},
        "convolutions_on_workers": trace.distributed_convolutions,
        "convolutions_in_client": trace.local_convolutions,
        "largest_deviation": float(abs(again - found).max() / found.max()),
    }
    if not as_json:
        click.echo(trace.summary())
    click.echo(json.dumps(result, indent=None if as_json else 1))


if __name__ == "__main__":
    main()
