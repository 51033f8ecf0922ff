"""Planning: the cost model, the search, and plans. Pure."""

from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.cost import LayerCost, Prices, layer_cost
from fcdcc_keras.planning.layer_plan import LayerPlan
from fcdcc_keras.planning.memory import within_memory
from fcdcc_keras.planning.objective import OBJECTIVES, By, Objective
from fcdcc_keras.planning.plan import Plan, plan_latency
from fcdcc_keras.planning.prediction import ClientWork, Latency
from fcdcc_keras.planning.redundancy import check_redundancy
from fcdcc_keras.planning.search import (
    AUTO,
    TOLERANCE,
    candidates,
    check_tolerance,
    plan_layer,
)
from fcdcc_keras.planning.stragglers import NoStraggling, Straggling

__all__ = [
    "AUTO",
    "OBJECTIVES",
    "TOLERANCE",
    "By",
    "Calibration",
    "ClientWork",
    "Latency",
    "LayerCost",
    "LayerPlan",
    "NoStraggling",
    "Objective",
    "Plan",
    "Prices",
    "Straggling",
    "candidates",
    "check_redundancy",
    "check_tolerance",
    "layer_cost",
    "plan_latency",
    "plan_layer",
    "within_memory",
]
