"""``fk.plan``: which layers of a model are coded, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import keras

from fcdcc_keras.codes import Code
from fcdcc_keras.errors import PlanError, UnsupportedLayerError
from fcdcc_keras.execution.sized_at_call import PlanAtCall
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import (
    Calibration,
    LayerPlan,
    NoStraggling,
    Objective,
    Plan,
    Prices,
    plan_latency,
    plan_layer,
    within_memory,
)
from fcdcc_keras.planning.prediction import convolution_work
from fcdcc_keras.planning.search import families
from fcdcc_keras.rewriting.choice import choose, is_named
from fcdcc_keras.rewriting.client_work import client_work
from fcdcc_keras.rewriting.eligibility import (
    NO_CONVOLUTION,
    ON_REQUEST,
    Eligibility,
    examine,
)
from fcdcc_keras.rewriting.given_plan import recorded
from fcdcc_keras.rewriting.options import (
    GAINING,
    HEDGED,
    Options,
    PlanOptions,
    complete,
    takes,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes(PlanOptions)
def plan(model: keras.Model, **options: Unpack[PlanOptions]) -> Plan:
    """Returns what ``distribute`` would do with a model; needs no cluster.

    Args:
        model: A built model.
        **options: As ``fk.distribute`` has them.

    Returns:
        The plan; ``print`` shows it as a table.

    Raises:
        PlanError: The model, the numbers or the code are not usable, nothing
            is left to code, or a worker's memory is too small.
        UnsupportedLayerError: A layer that was named cannot be coded.
    """
    chosen = complete(options, PlanOptions)
    if chosen["workers"] is None:
        raise PlanError(
            "A plan without a cluster must be told its size. Received: workers=None. "
            "Give the number of workers to spread the layers over."
        )
    return plan_examined(model, examine(model), chosen, chosen["workers"])


def plan_examined(
    model: keras.Model,
    examined: Sequence[Eligibility],
    options: Options,
    workers: int,
) -> Plan:
    """Returns the plan of a model whose layers have been examined.

    Args:
        model: The model.
        examined: Its layers.
        options: How to plan.
        workers: n.

    Raises:
        PlanError: As ``plan``.
        UnsupportedLayerError: As ``plan``.
    """
    calibration = _calibration(options)
    reasons = {o.path: o.reason or "it was not chosen by `layers`" for o in examined}
    at_call: list[tuple[str, ConvGeometry]] = []
    sized: list[tuple[str, ConvGeometry, str]] = []
    chosen = choose(examined, options["layers"], dense=options["dense"])
    for one in chosen:
        path, geometry, dtype = one.path, one.geometry, coding_type(one.layer)
        assert geometry is not None
        try:
            # Where the size is not known, this finds whether any code suits the layer.
            made = _plan_layer(path, geometry, options, workers, dtype)
        except UnsupportedLayerError as error:
            if is_named(one, options["layers"]):
                raise
            reasons[path] = str(error)
            continue
        if not one.sized:
            at_call.append((path, geometry))
        elif why := _loses(made, options):
            reasons[path] = why
        else:
            sized.append((path, geometry, dtype))

    def plan_all(holding: float) -> list[LayerPlan]:
        return [
            _plan_layer(path, geometry, options, workers, dtype, holding)
            for path, geometry, dtype in sized
        ]

    limit = options["memory_limit"]
    assert not isinstance(limit, str)
    if limit is None and calibration is not None:
        limit = calibration.worker_memory
    plans = within_memory(plan_all, limit)
    coded = {*(layer.path for layer in plans), *(path for path, _ in at_call)}
    not_coded = tuple(
        (one.path, reasons[one.path])
        for one in examined
        if one.convolves and one.path not in coded
    )
    if not coded:
        why = "; ".join(f"{path}: {reason}" for path, reason in not_coded[:5])
        if not why:
            dense = any(one.on_request for one in examined)
            why = ON_REQUEST if dense else NO_CONVOLUTION
        raise PlanError(
            "The model must have a layer to code. Received: "
            f"{model.name!r}, layers={options['layers']!r}; {why}. Keras's own "
            "convolutions are coded; see `fk.plan` and the documentation for which."
        )
    plan = Plan(
        model.name,
        workers,
        options["stragglers"],
        tuple(plans),
        not_coded,
        calibration,
        tuple(at_call),
        straggling=options["straggling"],
        made_by=recorded(options, chosen),
    )
    if calibration is None:
        return plan
    work = client_work(examined, coded)
    latency = plan_latency(plan.layers, _goal(options), work)
    return replace(plan, latency=latency, client=work)


def check_choices(examined: Sequence[Eligibility], options: Options) -> None:
    """Checks what a plan is made by, as far as it does not depend on n.

    Raises:
        PlanError: A layer's name or the code is not usable.
        UnsupportedLayerError: A layer that was named cannot be coded.
    """
    choose(examined, options["layers"], dense=True)
    if not isinstance(options["code"], Code):
        families(options["code"], options["stragglers"])


def needs_calibration(options: Options) -> bool:
    """Returns whether layers cannot be planned before the cluster has been measured."""
    wanted = options["layers"] == GAINING or options["objective"] == "latency"
    return wanted and options["calibration"] is None


def plan_at_call(layer: keras.layers.Layer, path: str, options: Options) -> PlanAtCall:
    """Returns what plans a layer once its height and width are known."""
    dtype = coding_type(layer)  # the layer itself is the user's, not to be kept
    workers = options["workers"]
    assert workers is not None

    def at_size(geometry: ConvGeometry, code: Code | None) -> tuple[LayerPlan, bool]:
        chosen: Options = {**options, "code": code or options["code"]}
        made = _plan_layer(path, geometry, chosen, workers, dtype)
        return made, not _loses(made, chosen)

    return at_size


def coding_type(layer: keras.layers.Layer) -> str:
    """Returns the type in which a layer is coded."""
    # Types narrower than float32 are coded, and sent, in float32.
    return "float64" if layer.compute_dtype == "float64" else "float32"


def _plan_layer(
    path: str,
    geometry: ConvGeometry,
    options: Options,
    workers: int,
    dtype: str,
    holding: float = 0.0,
) -> LayerPlan:
    return plan_layer(
        path,
        geometry,
        workers=workers,
        stragglers=options["stragglers"],
        code=options["code"],
        tolerance=options["tolerance"],
        dtype=dtype,
        hedged=HEDGED[options["redundancy"]],
        objective=_goal(options),
        holding=holding,
    )


def _goal(options: Options) -> Objective:
    """Returns what layers are planned by."""
    calibration = options["calibration"]
    calibrated = calibration.prices if calibration else Prices()
    return Objective(
        options["prices"] or calibrated,
        calibration,
        options["straggling"] or NoStraggling(),
        options["objective"],
    )


def _calibration(options: Options) -> Calibration | None:
    if options["layers"] == GAINING and options["calibration"] is None:
        raise PlanError(
            "layers='gaining' needs to know the cluster. Received: no calibration. "
            "Pass calibration=fk.calibrate(cluster), or use `fk.distribute`, which "
            "measures one."
        )
    return options["calibration"]


def _loses(layer: LayerPlan, options: Options) -> str:
    """Returns why a layer is not coded where those are that gain; "" if it is."""
    calibration = options["calibration"]
    if options["layers"] != GAINING or calibration is None or layer.latency is None:
        return ""
    there = layer.latency.expected
    here = convolution_work(layer.geometry).seconds(calibration)
    if there < here:
        return ""
    return (
        f"the client takes {here * 1e3:.3g} ms, the workers would take "
        f"{there * 1e3:.3g} ms"
    )
