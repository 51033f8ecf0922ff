"""Where does the time of a coded model go? Reading the records of ``fk.trace``.

    python examples/read_trace.py                # workers on this machine
    python examples/read_trace.py --cluster tcp://192.168.1.10:8786

For each layer: what the client took to encode, to wait and to decode, how long the
slowest of the workers that were needed computed, and how much of the waiting was
neither: transport, and workers that were busy. For each worker: how often its answer
was used. Times are medians over the passes, in milliseconds.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from statistics import median

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import fcdcc_keras as fk
from fcdcc_keras.execution.records import LayerRecord


def computed(record: LayerRecord) -> float:
    """Seconds that the slowest worker whose answer was used took to convolve."""
    used = (task for task in record.subtasks if task.outcome == "used")
    return max((task.finished - task.started for task in used), default=0.0)


@click.command()
@click.option("--cluster", help="A scheduler's address.  [default: 4 workers here]")
@click.option("--passes", default=5, show_default=True, help="Batches to trace.")
@click.option("--side", default=128, show_default=True, help="Pixels of the images.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(cluster: str | None, passes: int, side: int, as_json: bool) -> None:
    """Traces MobileNet on workers."""
    model = keras.applications.MobileNet(weights=None, input_shape=(side, side, 3))
    images = np.random.default_rng(0).uniform(-1, 1, (4, side, side, 3))
    coded = fk.distribute(model, cluster, workers=None if cluster else 4)
    with fk.closing(coded):
        coded.predict_on_batch(images)  # the first pass is slower: libraries, caches
        with fk.trace(coded) as trace:
            for _ in range(passes):
                coded.predict_on_batch(images)
    by_layer = defaultdict(list)
    for record in trace.records:
        if record.local is None:
            by_layer[record.layer].append(record)
    layers = {
        name: {
            "encode": 1e3 * median(r.encode for r in records),
            "wait": 1e3 * median(r.collect for r in records),
            "decode": 1e3 * median(r.decode for r in records),
            "convolve": 1e3 * median(map(computed, records)),
            "other": 1e3 * median(r.collect - computed(r) for r in records),
        }
        for name, records in by_layer.items()
    }
    tasks = [task for record in trace.records for task in record.subtasks]
    used = Counter(task.address for task in tasks if task.outcome == "used")
    if as_json:
        click.echo(json.dumps({"layers": layers, "used": used}))
        return
    for name, times in layers.items():
        text = ", ".join(f"{what} {ms:.2f}" for what, ms in times.items())
        click.echo(f"{name:24} {text}")
    for address, count in used.most_common():
        click.echo(f"{address}: used {count} times")


if __name__ == "__main__":
    main()
