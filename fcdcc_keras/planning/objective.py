"""What layers are planned by: prices, or the time that they take."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from fcdcc_keras.codes import Code
from fcdcc_keras.dispatch.health import Pace
from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.cost import Prices, layer_cost
from fcdcc_keras.planning.layer_time import layer_time
from fcdcc_keras.planning.prediction import Latency, layer_latency
from fcdcc_keras.planning.stragglers import NoStraggling, Straggling
from fcdcc_keras.planning.waiting import Group, Waiting, waiting

By = Literal["price", "latency", "throughput"]
OBJECTIVES: tuple[By, ...] = ("price", "latency", "throughput")
TIMEOUT = 60.0
"""Seconds after which the client computes a layer itself."""


@dataclass(frozen=True)
class Objective:
    """What the choice of a layer's code, split and policy is made by."""

    prices: Prices = field(default_factory=Prices)
    calibration: Calibration | None = None
    """What predictions are made by; None: there are none."""
    straggling: Straggling = field(default_factory=NoStraggling)
    by: By = "price"
    sent: float = 1.0
    """Bytes that are sent of those of a layer's input, where it is not encoded, as part
    of them; see ``chains.zeros``."""

    def __post_init__(self) -> None:
        if self.by != "price" and self.calibration is None:
            raise PlanError(
                f"objective={self.by!r} needs to know the cluster. Received: no "
                "calibration. Pass calibration=fk.calibrate(cluster), or figures of "
                "known devices from `fcdcc_keras.planning.devices`."
            )

    def rank(
        self, geometry: ConvGeometry, code: Code, itemsize: int, hedged: bool
    ) -> float:
        """Returns what a layer under a code is to have little of."""
        if self.by != "price":
            return self.wait(geometry, code, itemsize, hedged).mean
        return layer_cost(geometry, code, self.prices, itemsize, hedged=hedged).price

    def latency(
        self, geometry: ConvGeometry, code: Code, itemsize: int, hedged: bool
    ) -> Latency | None:
        """Returns how long a layer takes; None without a calibration."""
        if self.calibration is None:
            return None
        usual = replace(self, straggling=NoStraggling())
        return layer_latency(
            usual.wait(geometry, code, itemsize, hedged).mean,
            self.wait(geometry, code, itemsize, hedged),
        )

    def wait(
        self,
        geometry: ConvGeometry,
        code: Code,
        itemsize: int,
        hedged: bool,
    ) -> Waiting:
        """Returns the law of a layer's seconds; needs a calibration."""
        assert self.calibration is not None
        return _wait(
            geometry,
            code,
            self.calibration,
            self.straggling,
            itemsize,
            hedged,
            self.sent,
        )


@lru_cache(maxsize=65536)
def _wait(
    geometry: ConvGeometry,
    code: Code,
    calibration: Calibration,
    straggling: Straggling,
    itemsize: int,
    hedged: bool,
    sent: float,
) -> Waiting:
    time = layer_time(geometry, code, calibration, itemsize, hedged=hedged, part=sent)
    fixed, work = time.around_convolution(), time.convolution / time.bands
    late = Pace(fixed + work, 0.0, 0.0).late_after
    at_once = code.recovery_threshold if hedged else code.workers
    groups = [Group(at_once, fixed, work)]
    if at_once < code.workers:
        groups.append(Group(code.workers - at_once, fixed, work, late))
    law = waiting(straggling, code.recovery_threshold, groups, TIMEOUT)
    slowdowns = (law.seconds - fixed) / work
    return Waiting(time.total(slowdowns), law.cdf)
