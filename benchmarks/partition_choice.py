"""The planner's split against every feasible one, measured; needs root: prints JSON.

`python -m benchmarks.partition_choice [--rounds 15] [--json FILE]`: the layers of VGG16
over six devices of the edge lab, two of which may be missing. Layers of the same sizes
are measured once, and count as often as there are.
"""

import argparse
import json
import os
from collections import Counter
from statistics import median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from benchmarks.figures.lab import isolate

    isolate(required=True)
    import fcdcc_keras as fk
    from benchmarks.figures.edge import STRAGGLERS, WORKERS
    from benchmarks.figures.models import build
    from benchmarks.figures.planned import choice, lab
    from fcdcc_keras.execution.calibrate import measure
    from fcdcc_keras.execution.connect import connect

    plan = fk.plan(build("VGG16"), workers=WORKERS, stragglers=STRAGGLERS)
    times = Counter(layer.geometry for layer in plan.layers)
    with lab() as address:
        executor, cleanup = connect(address, WORKERS, STRAGGLERS)
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


if __name__ == "__main__":
    main()
