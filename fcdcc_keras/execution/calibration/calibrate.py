"""Measuring what a cluster and this client can do.

Workers and links with small programs, this client by itself, and what it encodes and
decodes with a few coded layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.execution.calibration.client import (
    ClientSpeed,
    client_speed,
    engine_speed,
    random_layer,
)
from fcdcc_keras.execution.calibration.workers import WorkerSpeed, workers_speed
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.execution.executors.connect import connect
from fcdcc_keras.execution.forward.coded_convolution import CodedConvolution
from fcdcc_keras.execution.records import LayerRecord, Notes, Policy
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.micro_batches import NEAR
from fcdcc_keras.planning import AUTO, LayerPlan, plan_layer
from fcdcc_keras.planning.calibration import Calibration

ROUNDS = 9
"""Times that each layer is run; medians are taken, the first runs are left out."""
LEFT_OUT = 3
"""The first ones wait for whatever is loaded lazily; and until it is known how long
workers take, all are sent to."""
_SMALLEST = 1e-6
_PATIENCE = 10.0
"""Seconds that workers get for one layer, which takes a weak board less than one."""
_ALIKE = 1.3
"""Quotient of speeds up to which a few measurements tell no difference."""
_WIDE = ConvGeometry((84, 84), 32, 32, (1, 1))
"""Much to send, hardly anything to compute."""
_LAYERS = (
    _WIDE,
    *(
        ConvGeometry((size, size), channels, channels, (3, 3), padding="same")
        for size, channels in ((56, 64), (28, 128), (28, 256))
    ),
)
"""Much to encode and to decode."""
GEOMETRY = ConvGeometry((56, 56), 128, 128, (3, 3), padding="same")
"""What this process convolves."""


def calibrate(
    cluster: object = None, *, workers: int | None = None, stragglers: int = 1
) -> Calibration:
    """Returns what a cluster and this process can do, for ``fk.plan``.

    Args:
        cluster: As for ``fk.distribute``.
        workers: n, the number of workers to use; None: all that the cluster has.
        stragglers: γ, the workers that may be missing meanwhile.

    Raises:
        ClusterError: The cluster is unreachable, or too few workers answered.
    """
    executor, cleanup = connect(cluster, workers, stragglers)
    try:
        return measure(executor, stragglers)
    finally:
        cleanup()


def measure(executor: Executor, stragglers: int) -> Calibration:
    """Measures latency, bandwidth and speeds; takes a few seconds.

    Args:
        executor: The workers; they should be idle, as should the client.
        stragglers: γ, the workers that may be missing meanwhile.

    Raises:
        ClusterError: Too few workers answered.
    """
    coding = coding_rate(executor, stragglers)
    own, light = client_speed(GEOMETRY), engine_speed(GEOMETRY)
    there = workers_speed(executor, kernel_byte(own, light))
    return calibration_of(there, own, light, coding, near=executor.batching is NEAR)


def coding_rate(executor: Executor, stragglers: int) -> float:
    """Measures how many bytes this process encodes and decodes in a second.

    Args:
        executor: Whatever computes meanwhile.
        stragglers: γ.

    Raises:
        ClusterError: Too few workers answered.
    """
    coded = [_Runs(executor, stragglers, geometry) for geometry in _LAYERS]
    coding = sum(run.coding for run in coded)
    return sum(run.crossed for run in coded) / max(coding, _SMALLEST)


def kernel_byte(own: ClientSpeed, light: ClientSpeed | None) -> float:
    """Returns how many multiply-adds take as long as reading a byte of a kernel.

    How much dearer reading is than computing is much the same from board to board.

    Args:
        own: Of Keras in this process.
        light: Of its light engine, if it has one.
    """
    like = light or own
    return like.rate / like.kernel_rate


def calibration_of(
    there: WorkerSpeed,
    own: ClientSpeed,
    light: ClientSpeed | None,
    coding: float,
    *,
    near: bool,
) -> Calibration:
    """Returns the calibration that measured figures are.

    Args:
        there: Of the workers.
        own: Of Keras in this process.
        light: Of its light engine, if it has one.
        coding: Bytes per second that it encodes and decodes.
        near: Whether the workers are on this machine.
    """
    return Calibration(
        latency=there.latency,
        bandwidth=there.bandwidth,
        worker_rate=there.computing.rate,
        client_rate=own.rate,
        coding_rate=coding,
        worker_bandwidth=there.worker_bandwidth,
        kernel_rate=there.computing.kernel_rate,
        message=there.message,
        call=there.call,
        head_start=there.computing.head_start,
        client_kernel_rate=own.kernel_rate,
        client_memory_rate=own.memory_rate,
        client_operation=own.operation,
        client_call=own.call,
        client_variable=own.variable,
        near=near,
        worker_memory_rate=there.computing.memory_rate,
        worker_operation=there.computing.operation,
        engine_rate=0.0 if light is None else light.rate,
        engine_kernel_rate=math.inf if light is None else light.kernel_rate,
        engine_memory_rate=math.inf if light is None else light.memory_rate,
        engine_operation=0.0 if light is None else light.operation,
        speeds=speeds([there.seconds]),
        exchange=there.exchange,
    )


def speeds(runs: Sequence[Mapping[int, float]]) -> tuple[float, ...]:
    """Returns how fast each worker is, relative to the usual one; (): as good as alike.

    Args:
        runs: Of each layer, the seconds that each worker computed, by its number.
    """
    ratios: dict[int, list[float]] = {}
    for run in runs:
        usual = median(run.values())
        for worker, seconds in run.items():
            ratios.setdefault(worker, []).append(usual / max(seconds, _SMALLEST))
    if not ratios:
        return ()
    found = tuple(round(median(ratios[worker]), 2) for worker in sorted(ratios))
    alike = max(found) <= _ALIKE * min(found)
    return () if alike else tuple(max(speed, 0.01) for speed in found)


class _Runs:
    """Runs one layer some times and keeps what was recorded."""

    def __init__(
        self,
        executor: Executor,
        stragglers: int,
        geometry: ConvGeometry,
    ) -> None:
        """Runs a layer.

        Args:
            executor: The workers.
            stragglers: γ.
            geometry: Of the layer.
        """
        self.plan: LayerPlan = plan_layer(
            "calibration",
            geometry,
            workers=executor.workers,
            stragglers=stragglers,
            code=AUTO,
        )
        records: list[LayerRecord] = []
        policy, notes = Policy(timeout=_PATIENCE), Notes([records.append])
        coded = CodedConvolution(self.plan, executor, policy, notes)
        inputs, kernel = random_layer(geometry)
        try:
            coded.place(kernel, wait=True)
            for _ in range(ROUNDS):
                coded(inputs, kernel)
                if any(record.local for record in records):
                    raise ClusterError(
                        "Calibration needs workers that answer. Received: too few "
                        f"answers from {executor.workers} workers of which "
                        f"{stragglers} may be missing, within {_PATIENCE:g} s. Look "
                        "after the workers, or leave `objective` at 'price'."
                    )
        finally:
            coded.detach()
        by_call: dict[int, list[LayerRecord]] = {}
        for record in records:
            by_call.setdefault(record.call, []).append(record)
        self.runs = list(by_call.values())[LEFT_OUT:]
        """The records of each run, one for each of its micro-batches."""

    @property
    def sent(self) -> float:
        """Workers that were usually sent to."""
        return median(
            sum(task.bytes_sent > 0 for task in run[0].subtasks) for run in self.runs
        )

    @property
    def coding(self) -> float:
        """Usual seconds of encoding and decoding."""
        return median(sum(r.encode + r.decode for r in run) for run in self.runs)

    @property
    def crossed(self) -> float:
        """Bytes that encoding and decoding read and write."""
        g = self.plan.geometry
        own = math.prod(g.input_size) * g.channels
        own += math.prod(g.output_size) * g.filters
        return 4 * (own + self.sent * self.plan.cost.upload + self.plan.cost.download)
