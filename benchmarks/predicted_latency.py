"""Predicted and measured latency of models in the edge lab; needs root: prints JSON.

`python -m benchmarks.predicted_latency [--rounds 9] [--json FILE]`. The cluster is
calibrated once, by layers that are in none of the models, with all six devices.
"""

import argparse
import json
import os
from statistics import median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from benchmarks.figures.lab import isolate

    isolate(required=True)
    import fcdcc_keras as fk
    from benchmarks.figures.planned import CONFIGURATIONS, lab, predicted

    with lab() as address:
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


if __name__ == "__main__":
    main()
