"""Whether plans come true: latencies as predicted, and splits that are the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from benchmarks.figures.edge import RATE, SHARE, WORKERS
from benchmarks.figures.interleave import interleave
from benchmarks.figures.lab import edge_lab
from benchmarks.figures.models import build, random_images
from fcdcc_keras.execution.base import Executor
from fcdcc_keras.execution.calibrate_client import random_layer
from fcdcc_keras.execution.pipeline import CodedConvolution
from fcdcc_keras.execution.records import LayerRecord, Policy, Redundancy
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Calibration, LayerPlan, Objective, plan_layer
from fcdcc_keras.planning.optimum import landscape

_WARM_UP = 3
_CONTENDING = 1.5
"""Times the least, in the first rounds, up to which a split is measured further."""
_FIRST_ROUNDS = 3


@dataclass(frozen=True)
class Configuration:
    """A way to distribute a model."""

    application: str
    workers: int
    stragglers: int
    code: str
    redundancy: Redundancy


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


@contextmanager
def lab() -> Iterator[str]:
    """Brings up an edge lab of six devices; yields its scheduler's address."""
    import os

    core = min(os.sched_getaffinity(0))
    with edge_lab().edge_lab(
        devices=WORKERS, cpu=SHARE, rate=RATE, pin_client=core
    ) as up:
        yield up.scheduler_address


def predicted(
    address: str,
    configuration: Configuration,
    calibration: Calibration,
    rounds: int = 9,
) -> dict[str, Any]:
    """Returns the predicted and the measured latency of a model, in milliseconds."""
    import fcdcc_keras as fk

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


def choice(
    executor: Executor,
    geometry: ConvGeometry,
    stragglers: int,
    calibration: Calibration,
    rounds: int = 15,
) -> dict[str, Any]:
    """Returns how the planner's split compares with every feasible one, measured.

    All splits are measured in turn for some rounds, and those that are not far behind
    for the others.
    """
    objective = Objective(calibration=calibration, by="latency")
    workers = executor.workers
    ranks = landscape(
        geometry, workers=workers, stragglers=stragglers, objective=objective
    )
    chosen = plan_layer(
        "chosen",
        geometry,
        workers=workers,
        stragglers=stragglers,
        objective=objective,
    )
    own = chosen.code.k_a, chosen.code.k_b
    plans = {
        split: LayerPlan.of(str(split), geometry, code, objective=objective)
        for split, (_, code) in ranks.items()
    } | {own: chosen}
    inputs, kernel = random_layer(geometry)

    def measure(
        splits: Sequence[tuple[int, int]], times: int
    ) -> dict[str, list[float]]:
        coded = {
            split: CodedConvolution(plans[split], executor, Policy())
            for split in splits
        }
        try:
            for each in coded.values():
                each.place(kernel, wait=True)
            return interleave(
                {str(s): _turn(each, inputs, kernel) for s, each in coded.items()},
                times,
            )
        finally:
            for each in coded.values():
                each.detach()

    first = measure(list(plans), min(_FIRST_ROUNDS, rounds))
    seconds = {split: median(first[str(split)]) for split in plans}
    least = min(seconds.values())
    near = [
        split
        for split in plans
        if split == own or seconds[split] <= _CONTENDING * least
    ]
    further = measure(near, rounds)
    seconds |= {split: median(further[str(split)]) for split in near}
    best = min(near, key=lambda split: seconds[split])
    return {
        "geometry": [*geometry.input_size, geometry.channels, geometry.filters],
        "chosen": list(own),
        "best": list(best),
        "over_best": seconds[own] / seconds[best],
        "splits": [
            {
                "split": list(split),
                "code": plan.code.name,
                "measured_ms": seconds[split] * 1e3,
                "predicted_ms": plan.latency and plan.latency.expected * 1e3,
            }
            for split, plan in sorted(plans.items())
        ],
    }


def _turn(
    coded: CodedConvolution, inputs: np.ndarray, kernel: np.ndarray
) -> Callable[[], None]:
    def run() -> None:
        coded(inputs, kernel)

    return run


def _walls(records: Sequence[LayerRecord]) -> dict[str, float]:
    """Returns for how long each layer was under way."""
    spans: dict[str, tuple[float, float]] = {}
    for record in records:
        ended = record.started + record.encode + record.collect + record.decode
        ended += record.convolve
        start, end = spans.get(record.layer, (record.started, ended))
        spans[record.layer] = min(start, record.started), max(end, ended)
    return {layer: end - start for layer, (start, end) in spans.items()}
