"""Planning one coded layer of a model by the options that were said."""

from __future__ import annotations

from dataclasses import replace

import keras

from fcdcc_keras.codes import Code
from fcdcc_keras.execution.forward.sized_at_call import PlanAtCall
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import (
    LayerPlan,
    NoStraggling,
    Objective,
    Prices,
    plan_layer,
)
from fcdcc_keras.planning.prediction import convolution_work
from fcdcc_keras.rewriting.options import HEDGED, Options


def plan_at_call(layer: keras.layers.Layer, path: str, options: Options) -> PlanAtCall:
    """Returns what plans a layer once its height and width are known."""
    dtype = coding_type(layer)  # the layer itself is the user's, not to be kept
    workers = options["workers"]
    assert workers is not None

    def at_size(geometry: ConvGeometry, code: Code | None) -> tuple[LayerPlan, bool]:
        chosen: Options = {**options, "code": code or options["code"]}
        made = planned(path, geometry, chosen, workers, dtype)
        return made, not loses(made, chosen)

    return at_size


def coding_type(layer: keras.layers.Layer) -> str:
    """Returns the type in which a layer is coded."""
    # Types narrower than float32 are coded, and sent, in float32.
    return "float64" if layer.compute_dtype == "float64" else "float32"


def planned(
    path: str,
    geometry: ConvGeometry,
    options: Options,
    workers: int,
    dtype: str,
    holding: float = 0.0,
    sent: float = 1.0,
) -> LayerPlan:
    """Returns the plan of a layer; see ``plan_layer``, and ``Objective.sent``."""
    return plan_layer(
        path,
        geometry,
        workers=workers,
        stragglers=options["stragglers"],
        code=options["code"],
        tolerance=options["tolerance"],
        dtype=dtype,
        hedged=HEDGED[options["redundancy"]],
        objective=replace(goal(options), sent=sent),
        holding=holding,
    )


def goal(options: Options) -> Objective:
    """Returns what layers are planned by."""
    calibration = options["calibration"]
    calibrated = calibration.prices if calibration else Prices()
    return Objective(
        options["prices"] or calibrated,
        calibration,
        options["straggling"] or NoStraggling(),
        options["objective"],
    )


def loses(layer: LayerPlan, options: Options) -> str:
    """Returns why a layer is not coded where only those are that gain; "" if it is."""
    calibration = options["calibration"]
    if options["objective"] == "price" or calibration is None or layer.latency is None:
        return ""
    there = layer.latency.expected
    here = convolution_work(layer.geometry).seconds(calibration)
    if there < here:
        return ""
    return (
        f"the client takes {here * 1e3:.3g} ms, the workers would take "
        f"{there * 1e3:.3g} ms"
    )
