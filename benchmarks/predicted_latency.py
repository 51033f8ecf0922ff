"""Predicted and measured latency of models in the edge lab; needs root: prints JSON.

`python -m benchmarks.predicted_latency [--rounds 9] [--json FILE]`. The cluster is
calibrated once, by layers that are in none of the models, with all six devices.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np

from benchmarks.figures.lab import isolate, weak_devices
from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.planning import Calibration

DEVICES = 6
_WARM_UP = 3


@dataclass(frozen=True)
class Configuration:
    """A way to distribute a model."""

    application: str
    workers: int
    stragglers: int
    code: str
    redundancy: Literal["eager", "hedged"]


CONFIGURATIONS = (
    Configuration("VGG16", 6, 2, "auto", "eager"),
    Configuration("VGG16", 6, 2, "crme", "hedged"),
    Configuration("VGG16", 5, 1, "systematic", "eager"),
    Configuration("VGG16", 4, 1, "crme", "eager"),
    Configuration("ResNet50", 6, 2, "auto", "eager"),
    Configuration("ResNet50", 6, 1, "crme", "hedged"),
    Configuration("ResNet50", 5, 2, "systematic", "eager"),
    Configuration("ResNet50", 4, 1, "auto", "hedged"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    isolate(required=True)
    import fcdcc_keras as fk

    with weak_devices(DEVICES) as lab:
        address = lab.scheduler_address
        calibration = fk.calibrate(address, stragglers=2)
        found = [
            predicted(address, c, calibration, asked.rounds) for c in CONFIGURATIONS
        ]
    off = [abs(one["ratio"] - 1) for one in found]
    result = {
        "largest_deviation": max(off),
        "median_deviation": median(off),
        "within_25_percent": max(off) <= 0.25,
        "calibration": calibration.to_dict(),
        "configurations": found,
    }
    text = json.dumps(result, indent=1)
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    print(text)


def predicted(
    address: str,
    configuration: Configuration,
    calibration: Calibration,
    rounds: int,
) -> dict[str, Any]:
    """Returns the predicted and the measured latency of a model, in milliseconds."""
    import fcdcc_keras as fk
    from benchmarks.figures.models import build, random_images

    c = configuration
    model, images = build(c.application), random_images(1)
    plan = fk.plan(
        model,
        workers=c.workers,
        stragglers=c.stragglers,
        code=c.code,
        redundancy=c.redundancy,
        calibration=calibration,
    )
    assert plan.latency is not None
    coded = fk.distribute(model, address, plan=plan, redundancy=c.redundancy)
    seconds, walls, local = [], [], 0
    with fk.closing(coded):
        for number in range(-_WARM_UP, rounds):
            with fk.trace(coded) as trace:
                start = time.perf_counter()
                coded.predict_on_batch(images)
                took = time.perf_counter() - start
            if number >= 0:
                seconds.append(took)
                walls.append(_walls(trace.records))
                local += sum(record.local is not None for record in trace.records)
    measured = median(seconds)
    return {
        **vars(c),
        "predicted_ms": plan.latency.expected * 1e3,
        "measured_ms": measured * 1e3,
        "ratio": plan.latency.expected / measured,
        "quartiles_ms": (np.quantile(seconds, [0.25, 0.75]) * 1e3).tolist(),
        "client_convolutions": local,
        "layers": [
            {
                "path": layer.path,
                "split": [layer.code.k_a, layer.code.k_b],
                "predicted_ms": layer.latency and layer.latency.expected * 1e3,
                "measured_ms": median(wall[layer.path] for wall in walls) * 1e3,
            }
            for layer in plan.layers
        ],
        "client_ms": {
            "predicted": plan.client and plan.client.seconds(calibration) * 1e3,
            "measured": 1e3
            * median(
                total - sum(wall.values())
                for total, wall in zip(seconds, walls, strict=True)
            ),
        },
    }


def _walls(records: Sequence[LayerRecord]) -> dict[str, float]:
    """Returns for how long each layer was under way."""
    spans: dict[str, tuple[float, float]] = {}
    for record in records:
        ended = record.started + record.encode + record.collect + record.decode
        ended += record.convolve
        start, end = spans.get(record.layer, (record.started, ended))
        spans[record.layer] = min(start, record.started), max(end, ended)
    return {layer: end - start for layer, (start, end) in spans.items()}


if __name__ == "__main__":
    main()
