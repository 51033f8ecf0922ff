"""Measuring what a cluster and this client can do, with a few coded layers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.execution.base import Executor
from fcdcc_keras.execution.connect import connect
from fcdcc_keras.execution.operation import Convolution
from fcdcc_keras.execution.pipeline import CodedConvolution
from fcdcc_keras.execution.records import LayerRecord, Policy
from fcdcc_keras.execution.subtask import convolve
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import LayerPlan, plan_layer
from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.cost import narrowness

ROUNDS = 7
"""Times that each layer is run; medians are taken, the first run is left out."""
_SMALLEST = 1e-6
_MEMORY = 2e10
"""Bytes per second of memory, which no way to a worker exceeds; where they share it,
what a transfer takes is lost in what the rest takes."""


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
    """Measures latency, bandwidth and speeds; takes a second or a few.

    Args:
        executor: The workers; they should be idle, as should the client.
        stragglers: γ, the workers that may be missing meanwhile.

    Raises:
        ClusterError: Too few workers answered.
    """
    n = executor.workers
    tiny = _Runs(executor, stragglers, ConvGeometry((n, 4), 4, 4, (1, 1)))
    wide = _Runs(executor, stragglers, ConvGeometry((8 * n, 512), 32, 4, (1, 1)))
    deep = _Runs(
        executor, stragglers, ConvGeometry((28, 28), 128, 128, (3, 3), padding="same")
    )
    latency = median(record.collect for record in tiny.records)
    transfer = median(r.collect - _compute(r) for r in wide.records) - latency
    coding = median(r.encode + r.decode for r in wide.records)
    deep_code, deep_cost = deep.plan.code, deep.plan.cost
    channels = deep.plan.geometry.filters * deep_code.ell_b / deep_code.k_b
    work = deep_cost.multiply_adds / narrowness(channels)
    return Calibration(
        latency=max(latency, _SMALLEST),
        bandwidth=wide.moved / max(transfer, wide.moved / _MEMORY),
        worker_rate=work / max(median(map(_compute, deep.records)), _SMALLEST),
        client_rate=_client_rate(deep.plan.geometry),
        coding_rate=(wide.moved + wide.crossed) / max(coding, _SMALLEST),
    )


class _Runs:
    """Runs one layer some times and keeps what was recorded."""

    def __init__(
        self, executor: Executor, stragglers: int, geometry: ConvGeometry
    ) -> None:
        self.plan: LayerPlan = plan_layer(
            "calibration", geometry, workers=executor.workers, stragglers=stragglers
        )
        self.records: list[LayerRecord] = []
        policy = Policy(listeners=[self.records.append])
        coded = CodedConvolution(self.plan, executor, policy)
        inputs, kernel = _inputs(geometry)
        try:
            coded.place(kernel, wait=True)
            for _ in range(ROUNDS):
                coded(inputs, kernel)
        finally:
            coded.detach()
        if any(record.local for record in self.records):
            raise ClusterError(
                "Calibration needs workers that answer. Received: too few answers "
                f"from {executor.workers} workers of which {stragglers} may be "
                "missing. Look after the workers, or choose layers='all'."
            )
        del self.records[0]  # the first run waits for whatever is loaded lazily

    @property
    def moved(self) -> int:
        """Bytes sent and received in one run."""
        sent = sum(task.bytes_sent for task in self.records[-1].subtasks)
        return sent + 4 * self.plan.cost.download

    @property
    def crossed(self) -> int:
        """Bytes of the layer's own input and output."""
        g = self.plan.geometry
        inputs = math.prod(g.input_size) * g.channels
        return 4 * (inputs + math.prod(g.output_size) * g.filters)


def _compute(record: LayerRecord) -> float:
    """Returns the usual seconds that a worker computed, by its own clock."""
    spans = [
        task.finished - task.started
        for task in record.subtasks
        if task.finished is not None and task.started is not None
    ]
    return median(spans)


def _client_rate(geometry: ConvGeometry) -> float:
    inputs, kernel = _inputs(geometry)
    conv = Convolution.of(geometry)
    seconds = _median_of(lambda: convolve(inputs, kernel, conv))
    work = geometry.multiply_adds / narrowness(geometry.filters)
    return work / max(seconds, _SMALLEST)


def _median_of(run: Callable[[], object]) -> float:
    spans = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        spans.append(time.perf_counter() - start)
    return median(spans[1:])


def _inputs(geometry: ConvGeometry) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, *geometry.input_size, geometry.channels))
    k = rng.normal(size=(*geometry.kernel_size, geometry.channels, geometry.filters))
    return x.astype(np.float32), k.astype(np.float32)
