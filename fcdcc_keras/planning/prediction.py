"""What a plan is predicted to take: one layer, and a whole pass of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fcdcc_keras.checks import record
from fcdcc_keras.codes.figures import rounded
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.cost import narrowness
from fcdcc_keras.planning.waiting import Waiting

_ITEMSIZE = 4
_DIRECTLY = 0.4
"""What a call takes of one of Keras where no graph is run, beside its variables: as
measured."""
_PASSES = 20_000
"""That the law of a whole pass is found by, where layers are independent."""


@dataclass(frozen=True)
class Latency:
    """Seconds for one image."""

    usual: float
    """When nobody straggles."""
    expected: float
    p99: float
    """99 of 100 take no longer."""

    def to_dict(self) -> dict[str, float]:
        """Returns the latency as JSON-ready plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Latency:
        """Returns the latency that ``to_dict`` described.

        Raises:
            PlanError: The data is not that of a latency.
        """
        return record(cls, data)


@dataclass(frozen=True)
class Alone:
    """Seconds for one image on one device, the client, without any worker."""

    keras: float
    """By plain Keras."""
    engine: float = 0.0
    """By its light engine, as far as that can; 0: there is none, or no figure of it."""

    @property
    def least(self) -> float:
        """The lesser of the two."""
        return min(self.keras, self.engine or self.keras)

    def to_dict(self) -> dict[str, float]:
        """Returns the seconds as JSON-ready plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Alone:
        """Returns the seconds that ``to_dict`` described.

        Raises:
            PlanError: The data is not that.
        """
        return record(cls, data)


@dataclass(frozen=True)
class Calls:
    """Seconds of the client for a call of a model, beside all that is computed."""

    keras: float = 0.0
    """Where Keras computes it, or some part of it."""
    variable: float = 0.0
    """Beside that, for each variable of what Keras does not compute: whether it has
    changed."""
    directly: float = 0.0
    """Where Keras computes none of it."""

    @classmethod
    def of(cls, calibration: Calibration, variables: int) -> Calls:
        """Returns what calls of a model of so many variables take."""
        call, each = calibration.client_call, calibration.client_variable
        return cls(call + variables * each, each, _DIRECTLY * call + variables * each)


@dataclass(frozen=True)
class ClientWork:
    """What the client computes of a model itself, for one image."""

    operations: int = 0
    """Layers that stay whole, and the rest of coded ones: bias and activation."""
    moved: int = 0
    """Bytes that these read and write, kernels excluded."""
    kernels: int = 0
    """Bytes of kernels that they read."""
    work: float = 0.0
    """Multiply-adds, those in narrow layers weighed by how much slower they are."""

    def seconds(self, calibration: Calibration) -> float:
        """Returns how long the client takes for it."""
        return (
            self.operations * calibration.client_operation
            + self.moved / calibration.client_memory_rate
            + self.kernels / calibration.client_kernel_rate
            + self.work / calibration.client_rate
        )


def convolution_work(geometry: ConvGeometry) -> ClientWork:
    """Returns what a layer's convolution takes where the client computes it itself."""
    work = geometry.multiply_adds / narrowness(geometry.group_filters)
    # A matrix product of one row takes as long as reading the matrix.
    return ClientWork(
        kernels=geometry.kernel_floats * _ITEMSIZE,
        work=0.0 if geometry.kind == "dense" else work,
    )


def layer_latency(usual: float, law: Waiting) -> Latency:
    """Returns the latency of a layer.

    Args:
        usual: Seconds when nobody straggles.
        law: Of its seconds.
    """
    return _latency(usual, law.mean, float(law.quantile(0.99)))


def model_latency(
    layers: Sequence[Latency], laws: Sequence[Waiting], rest: float, *, lasting: bool
) -> Latency:
    """Returns the latency of a pass, whose layers follow each other.

    Args:
        layers: Of each layer.
        laws: Of each layer's seconds.
        rest: Seconds that the client takes beside them.
        lasting: Whether a worker that is slow in one layer is so in all of a pass.
            Otherwise each subtask is for itself.
    """
    usual = rest + sum(layer.usual for layer in layers)
    expected = rest + sum(layer.expected for layer in layers)
    if lasting:
        # The order of the workers is the same in all layers: so their quantiles add.
        return _latency(usual, expected, rest + sum(layer.p99 for layer in layers))
    rng = np.random.default_rng(0)
    evenly = (np.arange(_PASSES) + 0.5) / _PASSES
    total = np.full(_PASSES, rest)
    for law in laws:
        total += law.quantile(rng.permutation(evenly))
    return _latency(usual, expected, float(np.quantile(total, 0.99)))


def _latency(*seconds: float) -> Latency:
    return Latency(*map(rounded, seconds))
