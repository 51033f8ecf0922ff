"""Planning models for a cluster by what was found of it. Loads Keras and TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fcdcc_keras.doctor.expectation import Expectation, able, workers_speed_of
from fcdcc_keras.doctor.findings import Findings
from fcdcc_keras.errors import FcdccError
from fcdcc_keras.execution.calibration.calibrate import (
    GEOMETRY,
    calibration_of,
    coding_rate,
    kernel_byte,
)
from fcdcc_keras.execution.calibration.client import client_speed, engine_speed
from fcdcc_keras.execution.calibration.workers import dispatching
from fcdcc_keras.execution.executors.local import LocalExecutor
from fcdcc_keras.planning import Calibration, Plan
from fcdcc_keras.rewriting.planners.model import plan
from fcdcc_keras.wire.transport import on_this_machine

if TYPE_CHECKING:
    import keras

_COPIES = 2
"""That memory in common is read and written for each byte that goes by it."""


def expect(
    found: Findings,
    models: Sequence[tuple[str, Callable[[], keras.Model]]],
    stragglers: int,
    tell: Callable[[str], object] = lambda text: None,
) -> list[Expectation]:
    """Returns what can be expected for models.

    Args:
        found: What was found of the cluster.
        models: Their names, and what makes them; their weights do not matter.
        stragglers: γ.
        tell: Is told what is being done.
    """
    n = len(able(found))
    if not 0 <= stragglers < n:
        why = f"{n} workers are well, of which {stragglers} may be missing"
        return [Expectation(name, n, trouble=why) for name, _ in models]
    tell("measuring this device")
    calibration = _calibration(found, stragglers)
    expectations = []
    for name, make in models:
        tell(f"planning {name}")
        try:
            expectations.append(_expected(name, make(), n, stragglers, calibration))
        except FcdccError as error:
            expectations.append(Expectation(name, n, trouble=str(error)))
    return expectations


def _calibration(found: Findings, stragglers: int) -> Calibration | None:
    workers = able(found)
    local = LocalExecutor(len(workers))
    try:
        coding, own = coding_rate(local, stragglers), dispatching(local)
    finally:
        local.close()
    client, light = client_speed(GEOMETRY), engine_speed(GEOMETRY)
    near = all(on_this_machine(worker.address) for worker in workers)
    shared = client.memory_rate / _COPIES if near else None
    there = workers_speed_of(found, own, kernel_byte(client, light), shared)
    if there is None:
        return None
    return calibration_of(there, client, light, coding, near=near)


def _expected(
    name: str,
    model: keras.Model,
    workers: int,
    stragglers: int,
    calibration: Calibration | None,
) -> Expectation:
    # What is done where nothing is said of an objective: every convolution is coded.
    usual = plan(model, workers=workers, stragglers=stragglers)
    if calibration is None:
        return Expectation(name, workers, _held(usual))
    best = plan(
        model,
        workers=workers,
        stragglers=stragglers,
        calibration=calibration,
        objective="latency",
    )
    assert best.alone is not None
    assert best.latency is not None
    return Expectation(
        name,
        workers,
        max(_held(usual), _held(best)),
        best.alone.least,
        best.latency.expected if best.pays else best.alone.least,
        best.uses_workers,
    )


def _held(made: Plan) -> int:
    """Returns the bytes of kernels that each worker holds under a plan."""
    chains = [chain.held for stretch in made.stretches for chain in stretch.chains]
    return sum(layer.held for layer in made.layers) + sum(chains)
