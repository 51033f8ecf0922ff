"""What can be expected of a cluster for a model, and how what was found tells. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from fcdcc_keras.doctor.findings import Findings, WorkerFound
from fcdcc_keras.doctor.halos import exchange_of
from fcdcc_keras.doctor.needs import HELD
from fcdcc_keras.doctor.programs import rate_of, usual
from fcdcc_keras.execution.calibration.figures import round_trip
from fcdcc_keras.execution.calibration.workers import WorkerSpeed

_OWN_LINK = 1.5
"""Times as long as over the client's link, from which on a worker's own is slower."""


@dataclass(frozen=True)
class Expectation:
    """What is expected of a model over some workers."""

    model: str
    workers: int
    held: int = 0
    """Bytes of kernels that each worker is to hold at most."""
    alone: float = 0.0
    """Seconds for one image on this device alone; 0: too little was measured."""
    expected: float = 0.0
    """Seconds over the workers, by the best plan."""
    over_workers: bool = False
    """Whether that plan has workers compute anything."""
    trouble: str = ""
    """Why nothing can be expected."""

    @property
    def ratio(self) -> float:
        """Times as fast as one device alone."""
        return self.alone / self.expected if self.expected else 1.0

    def needed(self, engine: str) -> float:
        """Returns the bytes that a worker needs for this model."""
        return float(HELD[engine] * self.held)


def able(found: Findings) -> list[WorkerFound]:
    """Returns the workers that a model can be planned over."""
    return [worker for worker in found.workers if worker.is_able]


def workers_speed_of(
    found: Findings, own: float, kernel_byte: float, shared: float | None = None
) -> WorkerSpeed | None:
    """Returns what was found, as calibrations have it; None: too little was measured.

    Args:
        found: What was found, of workers that are able.
        own: Seconds of the client for a tile, whoever computes it.
        kernel_byte: As ``execution.calibration.figures.computing`` has it.
        shared: Bytes per second of the memory that all workers have in common with it.
    """
    workers = able(found)
    speeds = [w.speed for w in workers if w.speed is not None]
    links = [w.link for w in workers if w.link is not None]
    if not links or found.round_trips is None or found.together is None:
        # They are asked by way of the scheduler, twice as far.
        scheduler = found.scheduler.link
        if not speeds or scheduler is None or not scheduler.bandwidth:
            return None
        trip, together = 2 * scheduler.round_trip, scheduler.bandwidth / 2
        each, every = math.inf, trip
    else:
        trip = median(link.round_trip for link in links)
        together, every = found.together, max(found.round_trips, trip)
        each = _usual_rate([link.bandwidth for link in links if link.bandwidth])
        if each * _OWN_LINK >= together:
            each = math.inf
    if shared is not None:
        together, each = max(shared, together), math.inf
    latency, message = round_trip(every + own, trip + own, 0.0, len(workers))
    return WorkerSpeed(
        latency=latency,
        message=message,
        bandwidth=together,
        worker_bandwidth=each,
        call=median(speed.call for speed in speeds),
        computing=usual(speeds, kernel_byte),
        exchange=exchange_of(workers),
        seconds={n: 1 / rate_of(speed) for n, speed in enumerate(speeds)},
    )


def _usual_rate(rates: Sequence[float]) -> float:
    return median(rates) if rates else math.inf
