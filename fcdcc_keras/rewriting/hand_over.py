"""Handing a model's layers to a cluster: connecting, planning, placing kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.calibrate import measure
from fcdcc_keras.execution.coded_convolution import CodedConvolution
from fcdcc_keras.execution.connect import connect
from fcdcc_keras.execution.session import Session
from fcdcc_keras.execution.sized_at_call import SizedAtCall
from fcdcc_keras.planning import Plan
from fcdcc_keras.rewriting.eligibility import Verdict
from fcdcc_keras.rewriting.exchange import make_coded
from fcdcc_keras.rewriting.options import Options
from fcdcc_keras.rewriting.planner import check_choices, plan_verdicts
from fcdcc_keras.rewriting.wishes import GAINING, Wishes

Target = Callable[[Plan], Mapping[str, Any]]
"""Gives the plain or coded layers that a plan's are to be, by path."""


def hand_over(
    name: str,
    verdicts: Sequence[Verdict],
    cluster: object,
    options: Options,
    target: Target,
) -> Session:
    """Makes layers coded ones, and has a cluster compute their convolutions.

    Args:
        name: Name of the model.
        verdicts: On its layers.
        cluster: As ``fk.distribute`` takes it.
        options: How.
        target: Is asked for the layers once the plan is made.

    Returns:
        What the cluster holds; every layer that was handed over keeps it.

    Raises:
        PlanError: The model or the numbers are not usable.
        UnsupportedLayerError: A layer that was named cannot be coded.
        ClusterError: The cluster is unreachable, too small, or does not fit.
    """
    wishes = Wishes(
        options.layers,
        options.code,
        options.tolerance,
        options.redundancy,
        dense=options.dense,
    )
    workers, stragglers, plan = options.workers, options.stragglers, options.plan
    if plan is not None:
        plan = plan if isinstance(plan, Plan) else Plan.from_json(plan)
        workers = plan.workers if workers is None else workers
        stragglers = plan.stragglers if stragglers == 1 else stragglers
    if options.verify == "parity":
        _check_parity(stragglers)
    # All that can be wrong without a cluster, before one is started.
    check_choices(verdicts, wishes, stragglers)
    planned = partial(_plan_for, name, verdicts, stragglers=stragglers)
    if workers is not None and options.layers != GAINING:
        plan = planned(plan, wishes, workers=workers)
    executor, cleanup = connect(cluster, workers, stragglers, options.transport)
    try:
        if plan is None and options.layers == GAINING:
            wishes = replace(wishes, calibration=measure(executor, stragglers))
        plan = planned(plan, wishes, workers=executor.workers)
        layers = target(plan)
    except BaseException:
        cleanup()
        raise
    session = Session(executor, cleanup, options.policy)
    try:
        _place(session, plan, wishes, layers, verdicts)
    except BaseException:
        session.close()
        raise
    return session


def _place(
    session: Session,
    plan: Plan,
    wishes: Wishes,
    layers: Mapping[str, Any],
    verdicts: Sequence[Verdict],
) -> None:
    """Places all kernels, then attaches all layers: nothing is half attached."""
    lost = [p for p in plan.paths if p not in layers]
    why = (
        "the copy of the layer around it, made from its configuration, has none like it"
    )
    session.not_coded = (*plan.not_coded, *((path, why) for path in lost))
    ready: list[tuple[Any, CodedConvolution | SizedAtCall]] = []
    for layer_plan in plan.layers:
        if layer_plan.path in layers:
            layer = layers[layer_plan.path]
            make_coded(layer)
            convolution = session.add(layer_plan)
            session.place(convolution, layer.kernel_array())
            ready.append((layer, convolution))
    originals = {verdict.path: verdict.layer for verdict in verdicts}
    for path, geometry in plan.at_call:
        if path in layers:
            make_coded(layers[path])
            later = wishes.at_call(path, originals[path], plan)
            ready.append((layers[path], SizedAtCall(geometry, later, session)))
    if not ready:
        raise PlanError(
            "The copy of the model must have the layers that are to be coded. "
            f"Received: {plan.model!r}, whose copy lacks {', '.join(lost)}. Make the "
            "layers in `__init__` or `build`, always the same."
        )
    for layer, coded in ready:
        layer.attach(coded, session)


def _check_parity(stragglers: int) -> None:
    if stragglers < 1:
        raise PlanError(
            "verify='parity' needs the result of one worker more than decoding does. "
            f"Received: stragglers={stragglers}. Use at least 1, or 2 to find out who "
            "is wrong, or another `verify`."
        )


def _plan_for(
    name: str,
    verdicts: Sequence[Verdict],
    plan: Plan | None,
    wishes: Wishes,
    *,
    workers: int,
    stragglers: int,
) -> Plan:
    if plan is None:
        return plan_verdicts(
            name, verdicts, wishes, workers=workers, stragglers=stragglers
        )
    if plan.workers != workers or plan.stragglers < stragglers:
        raise PlanError(
            "A plan must be for the number of workers and stragglers that it is used "
            f"with. Received: a plan for {plan.workers} workers, {plan.stragglers} of "
            f"them missing, with workers={workers}, stragglers={stragglers}. Plan "
            "again, or pass `workers` and `stragglers` as planned."
        )
    sizes = {verdict.path: verdict.geometry for verdict in verdicts}
    planned = [(layer.path, layer.geometry) for layer in plan.layers]
    for path, geometry in (*planned, *plan.at_call):
        if sizes.get(path) != geometry:
            raise PlanError(
                "A plan must be for the model that it is used with. Received: layer "
                f"{path!r} with {geometry}, where the model has {sizes.get(path)}. "
                "Plan this model again."
            )
    return plan
