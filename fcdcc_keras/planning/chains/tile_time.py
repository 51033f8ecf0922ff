"""How long a chain takes as tiles: a small schedule of the client's link and workers.

The client hands over one tile after another; its link carries them one after another up
and what comes of them down. A worker begins when its tile is there, not when all are,
and the first answers come down while others are computed. Where one chain follows
another on the workers, a tile needs parts of several before it, the last of which comes
late: that these overlap is not counted on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.chains.operation_cost import EngineRates
from fcdcc_keras.planning.chains.zeros import SPARED

_LEAVING = 6.0
"""Copies of a value that take as long as to leave its zeros out and to put them in, as
measured with a quarter of a core for each device."""


@dataclass(frozen=True)
class Rates:
    """What tiles are planned by."""

    engine: EngineRates = field(default_factory=lambda: EngineRates(1e10))
    """Of a worker of speed 1."""
    bandwidth: float = 1e8
    """Bytes per second over the client's link, either way, which all tiles share."""
    worker_bandwidth: float = math.inf
    """Bytes per second of each worker's own."""
    copying: float = math.inf
    """Bytes per second that the client cuts out and puts together."""
    message: float = 0.0
    """Seconds of the client for each tile."""
    call: float = 0.0
    """Seconds of a worker for each tile, beside what it computes."""
    round_trip: float = 0.0
    """Seconds of a chain that hardly sends or computes anything."""
    head_start: float = 0.0
    """Seconds by which a worker that had a pause is sooner."""

    near: bool = False
    """Whether the workers share the client's memory."""
    exchange: float = 0.0
    """Seconds of a worker of speed 1 for each halo that it gives to another and takes
    from one, beside its bytes; 0: workers exchange nothing."""

    @property
    def link(self) -> float:
        """Bytes per second of a worker's own link; as the client's where not known."""
        own = self.worker_bandwidth
        return self.bandwidth if math.isinf(own) else own

    @property
    def exchanging(self) -> bool:
        """Whether workers may exchange halos: not where memory is shared."""
        return self.exchange > 0 and not self.near

    @property
    def sparse(self) -> bool:
        """Whether zeros are left out of what is sent: where the link is slow.

        What it is spared must be more than the client's time to leave them out, which
        must be known.
        """
        if self.near or math.isinf(self.copying):
            return False
        return SPARED / self.bandwidth > _LEAVING / self.copying

    @classmethod
    def of(cls, able: Calibration) -> Rates:
        """Returns the rates of a calibrated cluster."""
        return cls(
            engine=worker_engine(able),
            bandwidth=able.bandwidth,
            worker_bandwidth=able.worker_bandwidth,
            copying=able.coding_rate,
            message=able.message,
            call=able.call,
            round_trip=able.latency,
            head_start=able.head_start,
            near=able.near,
            exchange=able.exchange,
        )


def worker_engine(able: Calibration) -> EngineRates:
    """Returns what a worker's engine can do."""
    return EngineRates(
        able.worker_rate,
        able.kernel_rate,
        able.worker_memory_rate,
        able.worker_operation,
    )


def keras_engine(able: Calibration) -> EngineRates:
    """Returns what plain Keras can do in the client."""
    return EngineRates(
        able.client_rate,
        able.client_kernel_rate,
        able.client_memory_rate,
        able.client_operation,
        light=False,
    )


def own_engine(able: Calibration) -> EngineRates | None:
    """Returns what the client's light engine can do; None where there is none."""
    if not able.engine_rate:
        return None
    return EngineRates(
        able.engine_rate,
        able.engine_kernel_rate,
        able.engine_memory_rate,
        able.engine_operation,
    )


@dataclass(frozen=True)
class TileCost:
    """What a tile asks for."""

    worker: int
    upload: float
    """Bytes."""
    seconds: float
    """That its worker computes."""
    answer: float
    """Bytes."""
    up: float = 1.0
    """Bytes that are sent of those of the upload, as part of them."""
    down: float = 1.0
    """Likewise, of the answer."""

    @property
    def sent(self) -> float:
        """Bytes that are sent of the upload."""
        return self.upload * self.up

    @property
    def received(self) -> float:
        """Bytes that are sent of the answer."""
        return self.answer * self.down

    def sending(self, rates: Rates) -> float:
        """Returns the seconds until the upload is sent, once it is its turn."""
        leaving = 0.0 if self.up == 1 else _LEAVING * self.upload / rates.copying
        return self.sent / rates.bandwidth + leaving

    def receiving(self, rates: Rates) -> float:
        """Returns the seconds until the answer is there, once it is its turn."""
        putting = 0.0 if self.down == 1 else _LEAVING * self.answer / rates.copying
        return self.received / rates.bandwidth + putting


@dataclass(frozen=True)
class ChainTime:
    """How long a chain takes when nobody straggles."""

    total: float
    """Seconds from when all of its input is there."""
    work: float
    """Seconds that the worker computes which has most to do."""
    around: float
    """Seconds of that worker's tiles on their way."""


def chain_time(tiles: Sequence[TileCost], rates: Rates, copies: int = 1) -> ChainTime:
    """Returns how long a chain takes.

    Args:
        tiles: In the order in which they are sent.
        rates: What they are sent and computed by.
        copies: Of each tile, to different workers; the first counts.
    """
    client, up = 0.0, -math.inf
    free: dict[int, float] = {}
    work: dict[int, float] = {}
    done: list[tuple[float, TileCost]] = []
    for tile in tiles:
        client += rates.message + tile.upload / rates.copying
        start = max(up, client)
        up = start + tile.sending(rates)
        there = max(up, start + tile.sent / rates.worker_bandwidth)
        spent = tile.seconds + rates.call
        if tile.worker not in free:
            spent = max(0.0, spent - rates.head_start)
        free[tile.worker] = max(free.get(tile.worker, there), there) + spent
        work[tile.worker] = work.get(tile.worker, 0.0) + spent
        done.append((free[tile.worker], tile))
    down = last = -math.inf
    for when, tile in sorted(done, key=lambda pair: pair[0]):
        start = max(down, when)
        down = start + tile.receiving(rates)
        there = max(down, start + tile.received / rates.worker_bandwidth)
        last = max(last, there + tile.answer / rates.copying)
    most = max(work.values())
    if copies > 1:
        # What is superseded was sent all the same; and who has begun it ends it.
        sent = sum(tile.sending(rates) for tile in tiles) * (copies - 1)
        last = max(last, up + sent, max(free.values()) + most)
    total = rates.round_trip + last
    return ChainTime(total, most, max(0.0, total - most))


def seconds_an_image(
    upload: float, seconds: float, answer: float, rates: Rates, power: float
) -> float:
    """Returns the seconds between images that follow each other, each one tile.

    Args:
        upload: Bytes of an image.
        seconds: That a worker of speed 1 computes.
        answer: Bytes of its result.
        rates: What they are sent and computed by.
        power: Of all workers, in workers of speed 1.
    """
    return max(
        upload / rates.bandwidth,
        answer / rates.bandwidth,
        (seconds + rates.call) / power,
        (upload + answer) / rates.worker_bandwidth / power,
        rates.message + (upload + answer) / rates.copying,
    )
