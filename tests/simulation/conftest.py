"""Layers, devices and plans that the simulation's tests share."""

import pytest

from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Calibration
from fcdcc_keras.simulation import sketch


@pytest.fixture(scope="session")
def device():
    """Every term of a layer's time counts."""
    return Calibration(
        latency=2e-3,
        bandwidth=20e6,
        worker_rate=1e9,
        client_rate=10e9,
        coding_rate=1e9,
        worker_bandwidth=10e6,
        kernel_rate=1e9,
        message=1e-4,
        call=1e-3,
        head_start=5e-4,
    )


@pytest.fixture(scope="session")
def computing():
    """Nothing takes time but the workers' convolutions."""
    return Calibration(
        latency=1e-12,
        bandwidth=1e30,
        worker_rate=1e9,
        client_rate=1e30,
        coding_rate=1e30,
    )


@pytest.fixture(scope="session")
def layers():
    """(Path, geometry) of two, each of one micro-batch."""
    return (
        ("first", ConvGeometry((32, 32), 16, 32, (3, 3), padding="same")),
        ("second", ConvGeometry((16, 16), 32, 64, (3, 3), padding="same")),
    )


@pytest.fixture(scope="session")
def plan_for(device, layers):
    """Returns a plan for n workers of which γ may be missing."""

    def plan(workers, stragglers=0, code="quaternion", layers=layers):
        return sketch(layers, device, workers=workers, stragglers=stragglers, code=code)

    return plan
