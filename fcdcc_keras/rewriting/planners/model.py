"""``fk.plan``: which layers of a model are coded, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import keras

from fcdcc_keras.codes import Code
from fcdcc_keras.errors import PlanError, UnsupportedLayerError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import (
    LayerPlan,
    Plan,
    plan_latency,
    within_memory,
)
from fcdcc_keras.planning.layer_plan import held
from fcdcc_keras.planning.prediction import Calls
from fcdcc_keras.planning.search import families
from fcdcc_keras.rewriting.eligibility import (
    NO_CONVOLUTION,
    ON_REQUEST,
    Eligibility,
    examine,
)
from fcdcc_keras.rewriting.graph.stretches import sites
from fcdcc_keras.rewriting.options import (
    Options,
    PlanOptions,
    complete,
    takes,
)
from fcdcc_keras.rewriting.planners.by_time import alone, limit_of, plan_by_time
from fcdcc_keras.rewriting.planners.choice import choose, is_named
from fcdcc_keras.rewriting.planners.client_work import client_work
from fcdcc_keras.rewriting.planners.given_plan import recorded
from fcdcc_keras.rewriting.planners.layer import coding_type, goal, planned

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes(PlanOptions)
def plan(
    model: keras.Model,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[PlanOptions],
) -> Plan:
    """Returns what ``distribute`` would do with a model; needs no cluster.

    Args:
        model: A built model.
        progress: Called for each layer for which a code has been looked for, with how
            many that are, and how many there will be: with many workers it takes
            seconds each.
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
    told = progress or (lambda done, of: None)
    return plan_examined(model, examine(model), chosen, chosen["workers"], told)


def plan_examined(
    model: keras.Model,
    examined: Sequence[Eligibility],
    options: Options,
    workers: int,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Plan:
    """Returns the plan of a model whose layers have been examined.

    Args:
        model: The model.
        examined: Its layers.
        options: How to plan.
        workers: n.
        told: Of how many layers are planned, of how many.

    Raises:
        PlanError: As ``plan``.
        UnsupportedLayerError: As ``plan``.
    """
    if options["objective"] != "price":
        return plan_by_time(model, examined, options, workers, told)
    calibration = options["calibration"]
    reasons = {o.path: o.reason or "it was not chosen by `layers`" for o in examined}
    at_call: list[tuple[str, ConvGeometry]] = []
    sized: list[tuple[str, ConvGeometry, str]] = []
    chosen = choose(examined, options["layers"], dense=options["dense"])
    for number, one in enumerate(chosen):
        told(number, len(chosen))
        path, geometry, dtype = one.path, one.geometry, coding_type(one.layer)
        assert geometry is not None
        try:
            # Where the size is not known, this finds whether any code suits the layer.
            planned(path, geometry, options, workers, dtype)
        except UnsupportedLayerError as error:
            if is_named(one, options["layers"]):
                raise
            reasons[path] = str(error)
            continue
        if not one.sized:
            at_call.append((path, geometry))
        else:
            sized.append((path, geometry, dtype))
    told(len(chosen), len(chosen))

    def plan_all(holding: float) -> list[LayerPlan]:
        return [
            planned(path, geometry, options, workers, dtype, holding)
            for path, geometry, dtype in sized
        ]

    plans = within_memory(plan_all, limit_of(options), held)
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
    calls = Calls.of(calibration, len(model.variables))
    latency = plan_latency(plan.layers, goal(options), work, beside=calls.keras)
    own = alone(sites(model), examined, calibration, calls)
    return replace(plan, latency=latency, client=work, alone=own)


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
    return options["objective"] != "price" and options["calibration"] is None
