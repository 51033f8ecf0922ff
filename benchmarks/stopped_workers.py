"""VGG16 with two of six workers stopped, against four live ones; and memory.

Prints JSON. `stopped_over_live` is the ratio of the interleaved medians of the time
per image: n = 6, γ = 2 with two workers SIGSTOPped before the first call, over
n = δ = 4 with all alive. `growth_mb` is how much the resident memory of this
process, which holds client and scheduler, grows over further images.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from contextlib import ExitStack

import click
import numpy as np
import psutil


@click.command()
@click.option("--rounds", default=15, show_default=True, help="Images each.")
@click.option("--further", default=100, show_default=True, help="Images for memory.")
def main(rounds: int, further: int) -> None:
    """Measure what stopped workers cost."""
    import keras

    import fcdcc_keras as fk
    from fcdcc_keras.commands.faults import Saboteur
    from fcdcc_keras.execution.cluster.embedded import (
        start_local_cluster,
        stop_local_cluster,
    )

    keras.utils.set_random_seed(0)
    model = keras.applications.VGG16(weights=None)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3)).astype("float32")
    clients = {"stopped": start_local_cluster(6), "live": start_local_cluster(4)}
    coded = {
        "stopped": fk.distribute(model, clients["stopped"], stragglers=2),
        "live": fk.distribute(model, clients["live"], stragglers=0),
    }
    times: dict[str, list[float]] = {"stopped": [], "live": []}
    local = 0

    def predict(name: str) -> float:
        nonlocal local
        with fk.trace(coded[name]) as trace:
            start = time.perf_counter()
            coded[name].predict_on_batch(image)
            end = time.perf_counter()
        local += trace.local_convolutions
        return end - start

    with ExitStack() as stack:
        for client in clients.values():
            stack.callback(stop_local_cluster, client)
        for name in coded:
            predict(name)
        saboteur = stack.enter_context(Saboteur(clients["stopped"]))
        saboteur.stop(0)
        saboteur.stop(1)
        for _ in range(rounds):
            for name in coded:
                times[name].append(predict(name))
        process = psutil.Process()
        gc.collect()
        before = process.memory_info().rss
        for _ in range(further):
            predict("stopped")
        gc.collect()
        growth = process.memory_info().rss - before
    medians = {name: statistics.median(values) for name, values in times.items()}
    click.echo(
        json.dumps(
            {
                "stopped_over_live": medians["stopped"] / medians["live"],
                "seconds_per_image": medians,
                "rounds": rounds,
                "growth_mb": growth / 1e6,
                "further_images": further,
                "local_convolutions": local,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
