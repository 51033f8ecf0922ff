"""What decides which layers are coded, and how each of them is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import keras

from fcdcc_keras.codes import Code
from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.records import Redundancy
from fcdcc_keras.execution.sized_at_call import PlanAtCall
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import (
    AUTO,
    By,
    Calibration,
    LayerPlan,
    NoStraggling,
    Objective,
    Plan,
    Prices,
    Straggling,
    plan_layer,
)
from fcdcc_keras.rewriting.options import Layers

NO_STRAGGLING = NoStraggling()
RedundancyChoice = Redundancy | Literal["auto"]
HEDGED: dict[str, bool | None] = {"eager": False, "hedged": True, "auto": None}
GAINING = "gaining"
"""Only the layers that the workers finish sooner than the client."""


@dataclass(frozen=True)
class Wishes:
    """What decides which layers are coded and how; ``plan`` documents it."""

    layers: Layers = "all"
    code: str | Code | type[Code] = AUTO
    tolerance: float | None = None
    redundancy: RedundancyChoice = "eager"
    calibration: Calibration | None = None
    prices: Prices | None = None
    dense: bool = False
    straggling: Straggling = NO_STRAGGLING
    objective: By = "price"
    memory_limit: float | None = None
    """Bytes of shares that a worker can hold."""
    speeds: tuple[float, ...] = ()

    @property
    def goal(self) -> Objective:
        """What layers are planned by."""
        calibrated = self.calibration.prices if self.calibration else Prices()
        return Objective(
            self.prices or calibrated,
            self.calibration,
            self.straggling,
            self.objective,
            self.speeds,
        )

    def plan_layer(
        self,
        path: str,
        geometry: ConvGeometry,
        workers: int,
        stragglers: int,
        dtype: str,
        holding: float = 0.0,
    ) -> LayerPlan:
        """Returns the plan of one layer; ``holding`` is as ``planning`` has it."""
        return plan_layer(
            path,
            geometry,
            workers=workers,
            stragglers=stragglers,
            code=self.code,
            tolerance=self.tolerance,
            dtype=dtype,
            hedged=HEDGED[self.redundancy],
            objective=self.goal,
            holding=holding,
        )

    def at_call(self, path: str, layer: keras.layers.Layer, plan: Plan) -> PlanAtCall:
        """Returns what plans a layer once its height and width are known."""
        dtype = coding_type(layer)  # the layer itself is the user's, not to be kept
        workers, stragglers = plan.workers, plan.stragglers
        calibration = plan.calibration

        def at_size(
            geometry: ConvGeometry, code: Code | None
        ) -> tuple[LayerPlan, bool]:
            wishes = replace(self, code=code or self.code, calibration=calibration)
            made = wishes.plan_layer(path, geometry, workers, stragglers, dtype)
            return made, self.layers != GAINING or not losing_layers(
                [made], calibration
            )

        return at_size


def losing_layers(
    plans: list[LayerPlan], calibration: Calibration | None
) -> dict[str, str]:
    """Returns the layers that the client finishes sooner than the workers, and why."""
    if calibration is None:
        raise PlanError(
            "layers='gaining' needs to know the cluster. Received: no calibration. "
            "Pass calibration=fk.calibrate(cluster), or use `fk.distribute`, which "
            "measures one."
        )
    losing = {}
    for layer in plans:
        there = calibration.distributed_seconds(layer.cost, layer.code, layer.geometry)
        here = calibration.local_seconds(layer.geometry)
        if there >= here:
            losing[layer.path] = (
                f"the client takes {here * 1e3:.3g} ms, the workers would take "
                f"{there * 1e3:.3g} ms"
            )
    return losing


def coding_type(layer: keras.layers.Layer) -> str:
    """Returns the type in which a layer is coded."""
    # Types narrower than float32 are coded, and sent, in float32.
    return "float64" if layer.compute_dtype == "float64" else "float32"
