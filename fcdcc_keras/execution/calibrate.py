"""Measuring what a cluster and this client can do, with a few coded layers.

Every layer is small enough not to be cut into bands, and so many of its costs are
known that the figures follow from them: what is sent to all and to one alone tells the
client's link from each worker's, large maps and large kernels tell computing from
ordering the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import numpy as np

from fcdcc_keras.codes import Code, Replication
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.execution.base import Executor
from fcdcc_keras.execution.calibrate_client import client_speed, random_layer
from fcdcc_keras.execution.connect import connect
from fcdcc_keras.execution.pipeline import CodedConvolution
from fcdcc_keras.execution.records import LayerRecord, Policy
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.micro_batches import NEAR
from fcdcc_keras.planning import AUTO, LayerPlan, plan_layer
from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.cost import call_filters, narrowness

ROUNDS = 9
"""Times that each layer is run; medians are taken, the first runs are left out."""
_LEFT_OUT = 2
"""The first waits for whatever is loaded lazily; and until it is known how long workers
take, all are sent to."""
_SMALLEST = 1e-6
_MEMORY = 2e10
"""Bytes per second of memory, which no way to a worker exceeds; where they share it,
what a transfer takes is lost in what the rest takes."""
_WIDE = ConvGeometry((84, 84), 32, 32, (1, 1))
"""Much to send, hardly anything to compute."""
_DEEP = tuple(
    ConvGeometry((size, size), channels, filters, (kernel, kernel), padding="same")
    for size, channels, filters, kernel in (
        (28, 128, 128, 3),
        (14, 256, 256, 3),
        (7, 512, 512, 3),
        (28, 512, 128, 1),
        (14, 1024, 256, 1),
    )
)
"""Of which the kernels are small or large for the work."""


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
    n = executor.workers
    small = ConvGeometry((n, 4), 4, 4, (1, 1))
    alone: Code = Replication(1, 1, n)
    tiny = _Runs(executor, stragglers, small)
    tiny_alone = _Runs(executor, stragglers, small, alone)
    wide = _Runs(executor, stragglers, _WIDE)
    wide_alone = _Runs(executor, stragglers, _WIDE, alone)
    deep = [_Runs(executor, stragglers, geometry) for geometry in _DEEP]
    message = 0.0
    if n > 1:
        message = max(0.0, (tiny.collect - tiny_alone.collect) / (n - 1))
    latency = max(tiny.collect - n * message, _SMALLEST)
    each, together = nonnegative(
        [run.moved for run in (wide, wide_alone)],
        [
            run.collect - run.compute - latency - message * run.sent
            for run in (wide, wide_alone)
        ],
    )
    work, ordering = nonnegative(
        [run.computed for run in deep], [run.compute - tiny.compute for run in deep]
    )
    coded = [wide, *deep]
    coding = sum(run.coding for run in coded)
    own = client_speed(_DEEP[0])
    return Calibration(
        latency=latency,
        bandwidth=1 / max(together, 1 / _MEMORY),
        worker_rate=1 / max(work, 1e-15),
        client_rate=own.rate,
        coding_rate=sum(run.crossed for run in coded) / max(coding, _SMALLEST),
        worker_bandwidth=1 / each if each else math.inf,
        kernel_rate=1 / ordering if ordering else math.inf,
        message=message,
        client_kernel_rate=own.kernel_rate,
        client_memory_rate=own.memory_rate,
        client_operation=own.operation,
        near=executor.way is NEAR,
    )


class _Runs:
    """Runs one layer some times and keeps what was recorded."""

    def __init__(
        self,
        executor: Executor,
        stragglers: int,
        geometry: ConvGeometry,
        alone: Code | None = None,
    ) -> None:
        """Runs a layer.

        Args:
            executor: The workers.
            stragglers: γ.
            geometry: Of the layer.
            alone: A code of which one answer is enough: one worker is sent to.
        """
        self.plan: LayerPlan = plan_layer(
            "calibration",
            geometry,
            workers=executor.workers,
            stragglers=stragglers,
            code=alone or AUTO,
            hedged=alone is not None,
        )
        self.records: list[LayerRecord] = []
        policy = Policy(listeners=[self.records.append])
        coded = CodedConvolution(self.plan, executor, policy)
        inputs, kernel = random_layer(geometry)
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
        del self.records[:_LEFT_OUT]

    @property
    def sent(self) -> float:
        """Workers that were usually sent to."""
        return median(sum(t.bytes_sent > 0 for t in r.subtasks) for r in self.records)

    @property
    def collect(self) -> float:
        """Usual seconds from sending to the last answer needed."""
        return median(record.collect for record in self.records)

    @property
    def coding(self) -> float:
        """Usual seconds of encoding and decoding."""
        return median(record.encode + record.decode for record in self.records)

    @property
    def compute(self) -> float:
        """Usual seconds that a worker computed, by its own clock."""
        return median(_compute(record) for record in self.records)

    @property
    def computed(self) -> tuple[float, float]:
        """Multiply-adds of each worker, as in wide layers, and bytes of its kernel."""
        cost = self.plan.cost
        channels = call_filters(self.plan.geometry, self.plan.code)
        return cost.multiply_adds / narrowness(channels), 4 * cost.storage

    @property
    def moved(self) -> tuple[float, float]:
        """Bytes to and from each worker, and all those that are waited for."""
        cost, delta = self.plan.cost, self.plan.code.recovery_threshold
        answer = cost.download / delta
        together = self.sent * cost.upload + delta * answer
        return 4 * (cost.upload + answer), 4 * together

    @property
    def crossed(self) -> float:
        """Bytes that encoding and decoding read and write."""
        g = self.plan.geometry
        own = math.prod(g.input_size) * g.channels
        own += math.prod(g.output_size) * g.filters
        return 4 * (own + self.sent * self.plan.cost.upload + self.plan.cost.download)


def nonnegative(
    costs: Sequence[tuple[float, float]], seconds: Sequence[float]
) -> tuple[float, float]:
    """Returns the prices, not negative, that explain times best.

    Relative errors count: each time is as important as any other.

    Args:
        costs: Two costs of each run.
        seconds: Of each run.

    Returns:
        Seconds of a unit of each cost.
    """
    times = np.maximum(np.asarray(seconds, float), _SMALLEST)
    rows = np.asarray(costs, float) / times[:, None]
    wanted = np.ones(len(times))
    found = np.zeros(2)
    found[0] = _nearest(rows[:, 0], wanted)
    second = np.asarray([0.0, _nearest(rows[:, 1], wanted)])
    both = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    feasible = [p for p in (found, second, both) if (p >= 0).all()]
    best = min(feasible, key=lambda p: float(np.linalg.norm(rows @ p - wanted)))
    return float(best[0]), float(best[1])


def _nearest(row: np.ndarray, wanted: np.ndarray) -> float:
    return float(row @ wanted / (row @ row))


def _compute(record: LayerRecord) -> float:
    """Returns the usual seconds that a worker computed in one run."""
    return median(
        task.finished - task.started
        for task in record.subtasks
        if task.finished is not None and task.started is not None
    )
