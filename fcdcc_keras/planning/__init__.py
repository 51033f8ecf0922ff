"""Planning: the cost model, the search, and plans. Pure."""

from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.cost import LayerCost, Prices, layer_cost
from fcdcc_keras.planning.plan import LayerPlan, Plan
from fcdcc_keras.planning.redundancy import check_redundancy
from fcdcc_keras.planning.search import (
    AUTO,
    TOLERANCE,
    candidates,
    check_tolerance,
    plan_layer,
)

__all__ = [
    "AUTO",
    "TOLERANCE",
    "Calibration",
    "LayerCost",
    "LayerPlan",
    "Plan",
    "Prices",
    "candidates",
    "check_redundancy",
    "check_tolerance",
    "layer_cost",
    "plan_layer",
]
