"""Where does the time of a coded model go? Reading the records of ``fk.trace``.

    python examples/read_trace.py                # workers on this machine
    python examples/read_trace.py --cluster tcp://192.168.1.10:8786

For each layer: what the client took to encode and to decode, how long the last of the
workers that were needed computed, and the rest: transport, and waiting for workers that
were busy. For each worker: how often its answer was used. Times are medians over the
passes, in milliseconds. With --plot it draws what each worker did when, and with
--chrome writes it for chrome://tracing and ui.perfetto.dev.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import fcdcc_keras as fk


@click.command()
@click.option("--cluster", help="A scheduler's address.  [default: 4 workers here]")
@click.option("--passes", default=5, show_default=True, help="Batches to trace.")
@click.option("--side", default=128, show_default=True, help="Pixels of the images.")
@click.option("--plot", metavar="FILE", help="Draw it: png, svg or pdf.")
@click.option("--chrome", metavar="FILE.json", help="Write it for trace viewers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    cluster: str | None,
    passes: int,
    side: int,
    plot: str | None,
    chrome: str | None,
    as_json: bool,
) -> None:
    """Traces MobileNet on workers."""
    model = keras.applications.MobileNet(weights=None, input_shape=(side, side, 3))
    images = np.random.default_rng(0).uniform(-1, 1, (4, side, side, 3))
    coded = fk.distribute(model, cluster, workers=None if cluster else 4)
    with fk.closing(coded):
        coded.predict_on_batch(images)  # the first pass is slower: libraries, caches
        with fk.trace(coded) as trace:
            for _ in range(passes):
                coded.predict_on_batch(images)
    if plot is not None:
        trace.plot(plot)
    if chrome is not None:
        trace.to_chrome(chrome)
    summary = trace.summary()
    layers = {
        name: {part: 1e3 * seconds for part, seconds in asdict(layer.median).items()}
        for name, layer in summary.layers.items()
    }
    used = {address: counts["used"] for address, counts in summary.outcomes.items()}
    if as_json:
        click.echo(json.dumps({"layers": layers, "used": used}))
        return
    for name, times in layers.items():
        text = ", ".join(f"{what} {ms:.2f}" for what, ms in times.items())
        click.echo(f"{name:24} {text}")
    for address, count in used.items():
        click.echo(f"{address}: used {count} times")


if __name__ == "__main__":
    main()
