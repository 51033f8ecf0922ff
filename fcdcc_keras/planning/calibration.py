"""What a cluster and a client were measured to do, and what follows for a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fcdcc_keras.codes import Code
from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning.cost import LayerCost, Prices, narrowness


@dataclass(frozen=True)
class Calibration:
    """Measured once, in seconds; made by ``execution.calibrate``."""

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

    def __post_init__(self) -> None:
        for field, value in vars(self).items():
            if not value > 0:
                raise PlanError(
                    "A calibration must have positive numbers. Received: "
                    f"{field}={value!r}. Calibrate again on an idle cluster."
                )

    @property
    def prices(self) -> Prices:
        """What this cluster charges; storage as by default."""
        return Prices(
            communication=1 / self.bandwidth, computation=1 / self.worker_rate
        )

    def local_seconds(self, geometry: ConvGeometry) -> float:
        """Returns how long the client itself takes for a layer and one image."""
        work = geometry.multiply_adds / narrowness(geometry.group_filters)
        return work / self.client_rate

    def distributed_seconds(
        self, cost: LayerCost, code: Code, geometry: ConvGeometry, itemsize: int = 4
    ) -> float:
        """Returns how long the workers take for a layer and one image.

        Args:
            cost: What the layer costs under the code.
            code: The code.
            geometry: Sizes of the layer.
            itemsize: Bytes of one float.
        """
        sent = code.workers * cost.upload
        coded = sent + math.prod(geometry.input_size) * geometry.channels
        coded += cost.download + math.prod(geometry.output_size) * geometry.filters
        channels = geometry.group_filters * code.ell_b / code.k_b
        return (
            self.latency
            + (sent + cost.download) * itemsize / self.bandwidth
            + coded * itemsize / self.coding_rate
            + cost.multiply_adds / narrowness(channels) / self.worker_rate
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the calibration as JSON-ready plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Returns the calibration that ``to_dict`` described."""
        return cls(**data)
