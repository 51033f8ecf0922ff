"""What simulations say: of many workers, and of the edge lab beside what it measures.

Prints JSON. `python -m benchmarks.simulate sizes` simulates VGG16 over 6 to 1,000
workers, with and without coding; `sudo .venv/bin/python -m benchmarks.simulate lab`
measures it over six emulated devices of which some are slowed, and simulates the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

import click
import numpy as np

from fcdcc_keras.codes.certify import glance
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Calibration
from fcdcc_keras.planning.stragglers import OnOff, ShiftedExponential, Straggling
from fcdcc_keras.simulation import Sketch, simulate, sketch

SIZES = (6, 12, 24, 50, 100, 200, 500, 1000)
SLOW = 10.0
DEVICES = 6
# One core of a Pi Zero 2 W class device on Wi-Fi, behind a server on 10 Gbit/s: devices
# so weak that hundreds of them could be worth their messages.
WEAK = Calibration(
    latency=10e-3,
    bandwidth=1.17e9,
    worker_rate=1e9,
    client_rate=300e9,
    coding_rate=8e9,
    worker_bandwidth=5e6,
    kernel_rate=0.3e9,
    message=30e-6,
    client_memory_rate=10e9,
)
STRAGGLING = {
    "a tenth of the time ten times slower": OnOff(0.1, SLOW, 3.0),
    "exponential excess of half the time": ShiftedExponential(0.5),
}


def vgg16() -> list[tuple[str, ConvGeometry]]:
    """The convolutions of VGG16 at 224×224."""
    layers, size, channels = [], 224, 3
    blocks = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    for block, (convolutions, filters) in enumerate(blocks, 1):
        for number in range(1, convolutions + 1):
            geometry = ConvGeometry(
                (size, size), channels, filters, (3, 3), padding="same"
            )
            layers.append((f"block{block}_conv{number}", geometry))
            channels = filters
        size //= 2
    return layers


@click.group()
def main() -> None:
    """Simulate, and compare with the edge lab."""


@main.command()
@click.option("--largest", default=1000, show_default=True, help="Most workers.")
@click.option("--passes", default=20, show_default=True)
@click.option("--amplification", is_flag=True, help="Also sample the codes' α.")
def sizes(largest: int, passes: int, amplification: bool) -> None:
    """Simulate VGG16 over 6 to 1,000 workers or more."""
    begun = time.perf_counter()
    layers, rows = vgg16(), []
    numbers = [n for n in SIZES if n <= largest]
    for n in [*numbers, *([] if largest in numbers else [largest])]:
        gamma = stragglers(n)
        coded = sketch(layers, WEAK, workers=n, stragglers=gamma)
        uncoded = sketch(layers, WEAK, workers=n, stragglers=0, code="uncoded")
        ways: dict[str, tuple[Sketch, Any]] = {
            "coded": (coded, "eager"),
            "uncoded": (uncoded, "eager"),
            "speculative": (uncoded, "speculative"),
        }
        row: dict[str, Any] = {
            "workers": n,
            "stragglers": gamma,
            "thresholds": [la.code.recovery_threshold for la in coded.layers],
        }
        for law, straggling in STRAGGLING.items():
            row[law] = {
                name: _figures(plan, straggling, passes, redundancy)
                for name, (plan, redundancy) in ways.items()
            }
        if amplification:
            codes = {layer.code for layer in coded.layers}
            row["amplification_median"] = max(glance(c, samples=4)[0] for c in codes)
        rows.append(row)
    seconds = time.perf_counter() - begun
    result = {"device": WEAK.to_dict(), "seconds": seconds, "sizes": rows}
    click.echo(json.dumps(result, indent=1))


def stragglers(workers: int) -> int:
    """γ for n: a fifth of the workers, one at least."""
    return max(1, workers // 5)


def _figures(
    plan: Sketch, straggling: Straggling, passes: int, redundancy: Any
) -> dict[str, float]:
    start = time.perf_counter()
    found = simulate(plan, straggling=straggling, passes=passes, redundancy=redundancy)
    stages = ("encode", "transport", "waiting", "convolution", "decode")
    return {
        "median": found.median,
        "p99": found.percentile(99),
        **{s: sum(getattr(layer, s) for layer in found.layers) for s in stages},
        "events": found.events,
        "took": time.perf_counter() - start,
    }


@main.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--model", default="VGG16", show_default=True)
def lab(rounds: int, model: str) -> None:
    """Measure six emulated devices, some slowed, and simulate the same."""
    from cluster.edge_lab import edge_lab, isolate

    isolate()
    core = min(os.sched_getaffinity(0))
    with edge_lab(devices=DEVICES, cpu=0.25, rate="1gbit", pin_client=core) as it:
        result = _compare(it, model, rounds)
    click.echo(json.dumps(result, indent=1))


def _compare(it: Any, name: str, rounds: int) -> dict[str, Any]:
    import keras
    from distributed import Client

    import fcdcc_keras as fk
    from benchmarks.figures.models import random_images

    model = getattr(keras.applications, name)(weights=None)
    images, rows = random_images(1), []
    runs: list[tuple[Any, int, int, list[float]]] = []
    with Client(it.scheduler_address, set_as_default=False) as client:
        calibration = fk.calibrate(client, workers=DEVICES, stragglers=2)
        for code, gamma, most in (("crme", 2, 2), ("uncoded", 0, 1)):
            plan = fk.plan(
                model,
                workers=DEVICES,
                stragglers=gamma,
                code=code,
                calibration=calibration,
            )
            coded = fk.distribute(model, client, workers=DEVICES, plan=plan)
            with fk.closing(coded):
                for slowed in range(most + 1):
                    with _slowed(it.devices[:slowed]):
                        warm_up = 2 if code == "crme" or not slowed else 1
                        # Each of these takes ten times as long.
                        passes = rounds if warm_up == 2 else max(1, rounds // 2)
                        measured = [
                            _seconds(coded, images) for _ in range(warm_up + passes)
                        ][warm_up:]
                    runs.append((plan, slowed, warm_up, measured))
    for run in runs:
        plan, slowed, _, measured = run
        seconds = float(np.median(measured))
        rows.append(
            {
                "code": plan.layers[0].code.name,
                "slowed": slowed,
                "measured_ms": [round(1e3 * s) for s in measured],
                "simulated_over_measured": _median(calibration, run) / seconds,
            }
        )
    return {
        "model": name,
        "calibration": asdict(calibration),
        "rows": rows,
    }


def _median(device: Calibration, run: tuple[Any, int, int, list[float]]) -> float:
    plan, slowed, warm_up, measured = run
    found = simulate(
        plan,
        device,
        passes=warm_up + len(measured),
        slowed=dict.fromkeys(range(slowed), SLOW),
    )
    return float(np.median(found.latencies[warm_up:]))


def _seconds(model: Any, images: np.ndarray) -> float:
    start = time.perf_counter()
    model.predict_on_batch(images)
    return time.perf_counter() - start


@contextmanager
def _slowed(devices: Any) -> Iterator[None]:
    with ExitStack() as stack:
        for device in devices:
            stack.callback(device.slow, 1)
            device.slow(SLOW)
        yield


if __name__ == "__main__":
    main()
