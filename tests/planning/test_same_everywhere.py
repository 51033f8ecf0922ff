"""The same plan from the same arguments, whatever the machine's BLAS and vectors."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict

import pytest

from fcdcc_keras.codes.figures import conditioned, rounded
from fcdcc_keras.planning import Plan

# Of VGG16, ResNet50 and MobileNetV2, kinds and sizes that their plans differ by.
_PROGRAM = """
import json
from threadpoolctl import threadpool_info
from fcdcc_keras.codes import KhatriRao, certify
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import *
from fcdcc_keras.planning.devices import PROFILES
from fcdcc_keras.planning.stragglers import OnOff
from fcdcc_keras.partition.stretch import Stretch
from fcdcc_keras.planning.chains.costs import StretchCosts
from fcdcc_keras.planning.chains.search import StretchSearch, Terms
from fcdcc_keras.programs import Convolution, Program

def conv(side, channels, filters, kernel=3, stride=1, **options):
    return ConvGeometry(
        (side, side), channels, filters, (kernel, kernel), strides=(stride, stride),
        padding="same", **options,
    )

layers = {
    "vgg1": conv(224, 3, 64), "vgg3": conv(56, 128, 256), "vgg5": conv(14, 512, 512),
    "resnet1": conv(224, 3, 64, 7, 2), "resnet3": conv(28, 512, 128, 1),
    "mobile": conv(56, 96, 96, kind="depthwise", groups=96),
}

def planned(n, gamma, **options):
    made = [
        plan_layer(path, geometry, workers=n, stragglers=gamma, **options)
        for path, geometry in layers.items()
    ]
    goal, latency = options.get("objective"), None
    if goal is not None:
        latency = plan_latency(made, goal, ClientWork(9, 1000, 1000, 1e6))
    return Plan("net", n, gamma, tuple(made), latency=latency).to_json()

def choice(by):
    pads = ((1, 1), (1, 1))
    operations = tuple(
        Convolution((i,), (i,), (1, 1), (1, 1), pads) for i in range(4)
    )
    program = Program((64,), 2, operations, ((3, 3, 64, 64),) * 4)
    ends = tuple((f"layer{i}", i + 1) for i in range(4))
    costs = StretchCosts(Stretch("", "in", program, (56, 56), ends))
    terms = Terms(pi, 6, 2, OnOff(0.1, 10.0), None, by)
    found = StretchSearch(costs, terms).best()
    return [plan.to_dict() for plan in found.plans]

pi = PROFILES["pi4"]
goal = Objective(pi.prices, pi, OnOff(0.1, 10.0), "latency")
print(json.dumps({
    "kernels": [library["architecture"] for library in threadpool_info()],
    "plans": [planned(6, 0), planned(6, 1), planned(6, 2), planned(12, 3)],
    "latency": planned(6, 2, objective=goal, hedged=None),
    "chains": [choice(by) for by in ("latency", "throughput")],
    "searched": certify(KhatriRao(16, 1, 24), samples=200).to_dict(),
}))
"""
_MACHINES = {
    "two threads": {"OPENBLAS_NUM_THREADS": "2"},
    "old": {
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_SKX AVX512_ICL",
    },
    "another": {"OPENBLAS_CORETYPE": "Haswell"},
}


def _made_on(machine: dict[str, str]) -> dict[str, object]:
    program = [sys.executable, "-W", "ignore", "-c", _PROGRAM]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"} | machine
    done = subprocess.run(
        program, env=env, capture_output=True, text=True, timeout=300, check=True
    )
    made: dict[str, object] = json.loads(done.stdout)
    return made


def test_plans_do_not_depend_on_the_processor() -> None:
    here = _made_on({})
    found = {name: _made_on(machine) for name, machine in _MACHINES.items()}
    kernels = {str(made.pop("kernels")) for made in (here, *found.values())}
    if platform.machine() == "x86_64":
        assert len(kernels) > 1, "they were all computed alike"
    for name, made in found.items():
        assert made == here, name


def test_one_that_is_least_by_rounding_alone_is_not_preferred() -> None:
    """All six of six workers: every code is exact, rotations but for a last digit."""
    from fcdcc_keras.codes import CRME, Systematic
    from fcdcc_keras.codes.certify import screen

    assert screen(CRME(12, 1, 6)) == screen(Systematic(6, 1, 6)) == 1.0


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        (1.0000000000000002, 1.0),
        (0.9999999999999998, 1.0),
        (12.3456789, 12.3457),
        (123456789.0, 120000000.0),  # 1e-16 × its square: two digits are sure
        (3.3e12, 3e12),
        (float("inf"), float("inf")),
    ],
)
def test_as_many_digits_are_kept_as_any_machine_has(number: float, kept: float) -> None:
    import numpy as np

    assert conditioned(np.array([[number]]))[0, 0] == kept


def test_figures_of_a_plan_are_the_rounded_ones() -> None:
    made = json.loads(_plan().to_json())["layers"][0]
    figures = [x for x in made["certificate"].values() if isinstance(x, float)]
    assert figures == [rounded(x) for x in figures]
    assert all(rounded(x) == x for x in made["latency"].values())


def _plan() -> Plan:
    from fcdcc_keras.partition import ConvGeometry
    from fcdcc_keras.planning import Objective, plan_layer
    from fcdcc_keras.planning.devices import PROFILES

    pi = PROFILES["pi4"]
    goal = Objective(pi.prices, pi, by="latency")
    geometry = ConvGeometry((14, 14), 8, 8, (3, 3))
    made = plan_layer("conv", geometry, workers=6, stragglers=2, objective=goal)
    assert asdict(made)["latency"] is not None
    return Plan("net", 6, 2, (made,))
