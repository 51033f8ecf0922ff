"""Measuring what a cluster and this client can do, with a few coded layers.

The costs of each layer are known, and the figures follow from them by least squares:
what is sent to all and to one alone tells the client's link from each worker's, large
maps and large kernels tell computing from ordering the kernel, one band and several
tell what each call costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from statistics import median

import numpy as np

from fcdcc_keras.codes import Code, Replication
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.execution.base import Executor
from fcdcc_keras.execution.calibrate_client import (
    client_speed,
    engine_speed,
    random_layer,
)
from fcdcc_keras.execution.coded_convolution import CodedConvolution
from fcdcc_keras.execution.connect import connect
from fcdcc_keras.execution.records import LayerRecord, Notes, Policy
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.micro_batches import NEAR
from fcdcc_keras.planning import AUTO, LayerPlan, plan_layer
from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.cost import call_filters, narrowness

ROUNDS = 13
"""Times that each layer is run; medians are taken, the first runs are left out."""
LEFT_OUT = 4
"""The first ones wait for whatever is loaded lazily; and until it is known how long
workers take, all are sent to."""
_SMALLEST, _FASTEST = 1e-6, 1e15
_WORK = 0.5
"""Least part of a long convolution's time that is multiply-adds."""
_PATIENCE = 10.0
"""Seconds that workers get for one layer, which takes a weak board less than one."""
_MEMORY = 2e10
"""Bytes per second of memory, which no way to a worker exceeds; where they share it,
what a transfer takes is lost in what the rest takes."""
_ALIKE = 1.3
"""Quotient of speeds up to which a few measurements tell no difference."""
_WIDE = ConvGeometry((84, 84), 32, 32, (1, 1))
"""Much to send, hardly anything to compute."""
_DEEP = tuple(
    ConvGeometry((size, size), channels, filters, (kernel, kernel), padding="same")
    for size, channels, filters, kernel in (
        (28, 128, 128, 3),
        (28, 256, 256, 3),
        (28, 256, 256, 5),
        (14, 256, 256, 3),
        (14, 512, 512, 3),
        (14, 512, 512, 5),
        (7, 512, 512, 3),
        (28, 512, 128, 1),
        (14, 1024, 512, 1),
        (60, 192, 256, 3),
        (40, 512, 256, 3),
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
    _Runs(executor, stragglers, _WIDE)  # memory and connections are new at first
    tiny = _Runs(executor, stragglers, small)
    tiny_alone = _Runs(executor, stragglers, small, alone)
    fitted = [
        _Runs(executor, stragglers, _WIDE),
        _Runs(executor, stragglers, _WIDE, alone),
        *(_Runs(executor, stragglers, geometry) for geometry in _DEEP),
    ]
    one = tiny_alone.wall
    latency = one if n == 1 else max(one / 2, (n * one - tiny.wall) / (n - 1))
    latency = max(min(latency, tiny.wall), _SMALLEST)
    message = (tiny.wall - latency) / n
    # By the workers' own clocks too, where they compute for long.
    long = max(run.costs[-2] for run in fitted) / 2
    own_clock = [run for run in fitted if run.costs[-2] >= long]
    # Noise must not make all of a long convolution the ordering of its kernel.
    least = _WORK * min(run.compute / run.costs[-2] for run in own_clock)
    head_start, call, each, together, further, ordering = nonnegative(
        [
            *(run.costs for run in fitted),
            *((0.0, 0.0, 0.0, 0.0, *run.costs[-2:]) for run in own_clock),
        ],
        [
            *(
                run.wall
                - latency
                - message * run.sent
                - run.coding / run.bands
                - least * run.costs[-2]
                for run in fitted
            ),
            *(run.compute - least * run.costs[-2] for run in own_clock),
        ],
    )
    work = least + further
    coding = sum(run.coding for run in fitted)
    own, light = client_speed(_DEEP[0]), engine_speed(_DEEP[0])
    rate = 1 / max(work, 1 / _FASTEST)
    # What else workers compute is as much slower than here as their convolutions.
    like = light or own
    slower = like.rate / rate
    return Calibration(
        latency=latency,
        bandwidth=1 / max(together, 1 / _MEMORY),
        worker_rate=rate,
        client_rate=own.rate,
        coding_rate=sum(run.crossed for run in fitted) / max(coding, _SMALLEST),
        worker_bandwidth=1 / each if each else math.inf,
        kernel_rate=1 / ordering if ordering else math.inf,
        message=message,
        call=call,
        head_start=head_start,
        client_kernel_rate=own.kernel_rate,
        client_memory_rate=own.memory_rate,
        client_operation=own.operation,
        near=executor.batching is NEAR,
        worker_memory_rate=like.memory_rate / slower,
        worker_operation=like.operation * slower,
        engine_rate=0.0 if light is None else light.rate,
        engine_kernel_rate=math.inf if light is None else light.kernel_rate,
        engine_memory_rate=math.inf if light is None else light.memory_rate,
        engine_operation=0.0 if light is None else light.operation,
        speeds=speeds([run.seconds for run in fitted]),
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
    def bands(self) -> int:
        """Micro-batches of each run."""
        return len(self.runs[-1])

    @property
    def wall(self) -> float:
        """Usual seconds of the layer."""
        return median(
            max(r.started + r.encode + r.collect + r.decode for r in run)
            - min(r.started for r in run)
            for run in self.runs
        )

    @property
    def coding(self) -> float:
        """Usual seconds of encoding and decoding."""
        return median(sum(r.encode + r.decode for r in run) for run in self.runs)

    @property
    def compute(self) -> float:
        """Usual seconds that a worker computed in a run, by its own clock."""
        return median(sum(map(_compute, run)) for run in self.runs)

    @property
    def seconds(self) -> dict[int, float]:
        """Usual seconds that each worker computed for a subtask, by its number."""
        found: dict[int, list[float]] = {}
        for record in (record for run in self.runs for record in run):
            for task in record.subtasks:
                if task.finished is not None and task.started is not None:
                    spent = task.finished - task.started
                    found.setdefault(task.worker, []).append(spent)
        return {worker: median(each) for worker, each in found.items()}

    @property
    def costs(self) -> tuple[float, ...]:
        """What the time of the layer depends on, beside the client's part.

        Less a head start; calls of a worker; bytes of the first band to and from each
        worker, and of all that are waited for; multiply-adds as in wide layers; bytes
        of kernel. Workers, not links, set the pace of the layers with bands.
        """
        cost, code, bands = self.plan.cost, self.plan.code, self.bands
        answer = cost.download / code.recovery_threshold
        each = cost.upload + answer
        together = self.sent * cost.upload + cost.download
        channels = call_filters(self.plan.geometry, code)
        work = cost.multiply_adds / narrowness(channels)
        return (
            -1.0,
            bands,
            4 * each / bands,
            4 * together / bands,
            work,
            4 * cost.storage * bands,
        )

    @property
    def crossed(self) -> float:
        """Bytes that encoding and decoding read and write."""
        g = self.plan.geometry
        own = math.prod(g.input_size) * g.channels
        own += math.prod(g.output_size) * g.filters
        return 4 * (own + self.sent * self.plan.cost.upload + self.plan.cost.download)


def nonnegative(
    costs: Sequence[Sequence[float]], seconds: Sequence[float]
) -> tuple[float, ...]:
    """Returns the prices, none negative, that explain times best.

    Relative errors count: each time is as important as any other.

    Args:
        costs: Of each run, a number of each kind.
        seconds: Of each run.

    Returns:
        Seconds for each kind of cost.
    """
    times = np.maximum(np.asarray(seconds, float), _SMALLEST)
    rows = np.asarray(costs, float) / times[:, None]
    wanted, kinds = np.ones(len(times)), rows.shape[1]
    best, least = np.zeros(kinds), math.inf
    # The best of all has some prices of zero and is an ordinary least squares
    # solution in the others.
    for some in product((False, True), repeat=kinds):
        prices = np.zeros(kinds)
        if any(some):
            prices[list(some)] = np.linalg.lstsq(rows[:, some], wanted, rcond=None)[0]
        error = float(np.linalg.norm(rows @ prices - wanted))
        if (prices >= 0).all() and error < least:
            best, least = prices, error
    return tuple(map(float, best))


def _compute(record: LayerRecord) -> float:
    """Returns the usual seconds that a worker computed for a micro-batch."""
    return median(
        task.finished - task.started
        for task in record.subtasks
        if task.finished is not None and task.started is not None
    )
