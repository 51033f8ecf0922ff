"""The planner's split against every feasible one, measured; needs root: prints JSON.

`python -m benchmarks.partition_choice [--rounds 15] [--json FILE]`: the layers of VGG16
over six devices of the edge lab, two of which may be missing. Layers of the same sizes
are measured once, and count as often as there are.
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks.figures.interleave import interleave
from benchmarks.figures.lab import isolate, weak_devices
from fcdcc_keras.execution.calibration.client import random_layer
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.execution.forward.coded_convolution import CodedConvolution
from fcdcc_keras.execution.records import Policy
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Calibration, LayerPlan, Objective, plan_layer
from fcdcc_keras.planning.search import landscape

DEVICES, STRAGGLERS = 6, 2
_CONTENDING = 1.5
"""Times the least, in the first rounds, up to which a split is measured further."""
_FIRST_ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    isolate(required=True)
    import fcdcc_keras as fk
    from benchmarks.figures.models import build
    from fcdcc_keras.execution.calibration.calibrate import measure
    from fcdcc_keras.execution.executors.connect import connect

    plan = fk.plan(build("VGG16"), workers=DEVICES, stragglers=STRAGGLERS)
    times = Counter(layer.geometry for layer in plan.layers)
    with weak_devices(DEVICES) as lab:
        executor, cleanup = connect(lab.scheduler_address, DEVICES, STRAGGLERS)
        try:
            calibration = measure(executor, STRAGGLERS)
            found = [
                choice(executor, geometry, STRAGGLERS, calibration, asked.rounds)
                for geometry in times
            ]
        finally:
            cleanup()
    over = [
        one["over_best"]
        for one, count in zip(found, times.values(), strict=True)
        for _ in range(count)
    ]
    result = {
        "median_over_best": median(over),
        "worst_over_best": max(over),
        "kept": median(over) <= 1.1 and max(over) <= 1.3,
        "calibration": calibration.to_dict(),
        "layers": found,
    }
    text = json.dumps(result, indent=1)
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    print(text)


def choice(
    executor: Executor,
    geometry: ConvGeometry,
    stragglers: int,
    calibration: Calibration,
    rounds: int,
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


if __name__ == "__main__":
    main()
