"""What a cluster and a client can do: measured, or stated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from fcdcc_keras.checks import is_number, record
from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning.cost import Prices

_MAY_BE_ZERO = (
    "message",
    "call",
    "head_start",
    "client_operation",
    "client_call",
    "client_variable",
    "worker_operation",
    "engine_rate",
    "engine_operation",
    "exchange",
)


@dataclass(frozen=True)
class Calibration:
    """Figures of n like workers and their client; ``fk.calibrate`` measures one.

    ``planning.devices`` has some by name. The figures after the first five have
    defaults that leave their effect out.
    """

    latency: float
    """Seconds of a coded layer that hardly sends or computes anything."""
    bandwidth: float
    """Bytes per second between the client and all its workers together."""
    worker_rate: float
    """Multiply-adds per second of one worker, in wide layers."""
    client_rate: float
    """Multiply-adds per second of the client, in wide layers."""
    coding_rate: float
    """Bytes per second that the client encodes and decodes."""
    worker_bandwidth: float = math.inf
    """Bytes per second of each worker's own link, either way."""
    kernel_rate: float = math.inf
    """Bytes of kernel per second that a worker's convolution puts into the order it
    computes in, anew at every call."""
    message: float = 0.0
    """Seconds of the client for each worker that it sends a subtask to."""
    call: float = 0.0
    """Seconds of a worker for each subtask, beside its convolution."""
    head_start: float = 0.0
    """Seconds by which workers are sooner after a pause: where the processor's time is
    rationed, what is over soon is not slowed, and the client is busy meanwhile."""
    client_kernel_rate: float = math.inf
    """As ``kernel_rate``, of the client."""
    client_memory_rate: float = math.inf
    """Bytes per second of what the client computes beside convolutions: activations,
    normalization, pooling."""
    client_operation: float = 0.0
    """Seconds of the client for each such layer, however small."""
    client_call: float = 0.0
    """Seconds of the client for each time that Keras computes a model, beside what it
    computes."""
    client_variable: float = 0.0
    """Likewise, for each variable that the model has."""
    worker_memory: float = math.inf
    """Bytes of shares that one worker can hold."""
    near: bool = False
    """Whether the workers share the client's machine, and its memory."""
    worker_memory_rate: float = math.inf
    """As ``client_memory_rate``, of a worker."""
    worker_operation: float = 0.0
    """As ``client_operation``, of a worker."""
    engine_rate: float = 0.0
    """Multiply-adds per second of the client's own light engine; 0: it has none, or
    nobody measured it."""
    engine_kernel_rate: float = math.inf
    """As ``kernel_rate``, of that engine."""
    engine_memory_rate: float = math.inf
    """As ``client_memory_rate``, of that engine."""
    engine_operation: float = 0.0
    """As ``client_operation``, of that engine."""
    speeds: tuple[float, ...] = ()
    """Of each worker, relative to ``worker_rate``; (): they are alike."""
    exchange: float = 0.0
    """Seconds of a worker of speed 1 for each halo that it gives to another and takes
    from one, beside its bytes; 0: not known, or workers do not reach each other, and
    nothing is exchanged."""

    def __post_init__(self) -> None:
        for speed in self.speeds:
            if not (is_number(speed, math.ulp(0.0)) and speed < math.inf):
                raise PlanError(
                    "A worker's speed must be a positive number. Received: "
                    f"speeds={self.speeds!r}. Leave out workers that stand still."
                )
        for field, value in vars(self).items():
            if field in ("near", "speeds"):
                continue
            least = 0.0 if field in _MAY_BE_ZERO else math.ulp(0.0)
            if not is_number(value, least):
                raise PlanError(
                    "A calibration must have positive numbers. Received: "
                    f"{field}={value!r}. Calibrate again on an idle cluster."
                )

    def speeds_of(self, workers: int) -> tuple[float, ...]:
        """Returns the speeds of n workers: the fastest, where more were measured."""
        if len(self.speeds) < workers:
            return (1.0,) * workers
        return tuple(sorted(self.speeds, reverse=True)[:workers])

    @property
    def prices(self) -> Prices:
        """What this cluster charges; storage as by default."""
        return Prices(
            communication=1 / self.bandwidth, computation=1 / self.worker_rate
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the calibration as JSON-ready plain data; without defaults."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Returns the calibration that ``to_dict`` described.

        Raises:
            PlanError: The data is not that of a calibration.
        """
        return record(cls, data)
