"""What layers are planned by: prices, or the time that they take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from fcdcc_keras.checks import is_number
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

By = Literal["price", "latency"]
OBJECTIVES: tuple[By, ...] = ("price", "latency")
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
    speeds: tuple[float, ...] = ()
    """Of each worker, 1 is the calibrated one; empty: there are n of those."""

    def __post_init__(self) -> None:
        if self.by not in OBJECTIVES:
            raise PlanError(
                f"`objective` must be one of {OBJECTIVES}. Received: "
                f"objective={self.by!r}. Choose one of them."
            )
        if self.by == "latency" and self.calibration is None:
            raise PlanError(
                "objective='latency' needs to know the cluster. Received: no "
                "calibration. Pass calibration=fk.calibrate(cluster), or figures of "
                "known devices from `fcdcc_keras.planning.devices`."
            )
        check_speeds(self.speeds)

    def rank(
        self, geometry: ConvGeometry, code: Code, itemsize: int, hedged: bool
    ) -> float:
        """Returns what a layer under a code is to have little of."""
        if self.by == "latency":
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
            shares_of(self.speeds, code.workers, code.stragglers),
            itemsize,
            hedged,
        )


def check_speeds(speeds: Any) -> tuple[float, ...]:
    """Returns speeds of workers as numbers.

    Raises:
        PlanError: They are not a sequence of positive numbers.
    """
    several = isinstance(speeds, Iterable) and not isinstance(speeds, str | bytes)
    numbers = tuple(speeds) if several else (speeds,)
    if not several or not all(is_number(s, least=math.ulp(0.0)) for s in numbers):
        raise PlanError(
            "The workers' speeds must be positive numbers. Received: "
            f"speeds={speeds!r}. 1 is the speed of a calibrated worker."
        )
    return tuple(map(float, numbers))


def shares_of(
    speeds: Sequence[float], shares: int, most: int
) -> tuple[tuple[float, int], ...]:
    """Returns how many of a layer's shares each worker is given, by its speed.

    Each share goes to whoever would be done with it first.

    Args:
        speeds: Of each worker; empty: there are as many as shares, of speed 1.
        shares: n, to be given away.
        most: Of one worker; of more than γ the loss could not be borne.

    Returns:
        (speed, shares) of each worker.

    Raises:
        PlanError: They cannot be given away.
    """
    if not speeds:
        return ((1.0, 1),) * shares
    given = [0] * len(speeds)
    for _ in range(shares):
        free = [w for w in range(len(speeds)) if given[w] < max(most, 1)]
        if not free:
            raise PlanError(
                "No worker may have more shares than may be missing. Received: "
                f"{shares} shares for {len(speeds)} workers, of which each may have "
                f"{max(most, 1)}. Use fewer shares (`workers`), or more workers."
            )
        given[min(free, key=lambda w: (given[w] + 1) / speeds[w])] += 1
    return tuple(zip(map(float, speeds), given, strict=True))


@lru_cache(maxsize=65536)
def _wait(
    geometry: ConvGeometry,
    code: Code,
    calibration: Calibration,
    straggling: Straggling,
    shares: tuple[tuple[float, int], ...],
    itemsize: int,
    hedged: bool,
) -> Waiting:
    time = layer_time(geometry, code, calibration, itemsize, hedged=hedged)
    fixed, work = time.around_convolution(), time.convolution / time.bands
    late = Pace(fixed + work, 0.0, 0.0).late_after
    kinds: dict[tuple[float, int], int] = {}
    for kind in shares:
        kinds[kind] = kinds.get(kind, 0) + (kind[1] > 0)
    groups, first = [], code.recovery_threshold if hedged else code.workers
    for (speed, number), workers in sorted(kinds.items(), reverse=True):
        if not workers:
            continue
        # Those that are sent to at once are the fastest.
        at_once = min(workers, -(-first // number))
        first = max(0, first - at_once * number)
        for count, after in ((at_once, 0.0), (workers - at_once, late)):
            if count:
                groups.append(Group(count, fixed, work / speed, after, number))
    law = waiting(straggling, code.recovery_threshold, groups, TIMEOUT)
    slowdowns = (law.seconds - fixed) / work
    return Waiting(time.total(slowdowns), law.cdf)
