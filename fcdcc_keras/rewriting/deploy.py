"""Deploying a model's layers: connecting to a cluster, planning, placing kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.calibrate import measure
from fcdcc_keras.execution.coded_convolution import CodedConvolution
from fcdcc_keras.execution.connect import connect
from fcdcc_keras.execution.session import Session
from fcdcc_keras.execution.sized_at_call import SizedAtCall
from fcdcc_keras.planning import Plan
from fcdcc_keras.rewriting.class_swap import make_coded
from fcdcc_keras.rewriting.eligibility import Eligibility
from fcdcc_keras.rewriting.given_plan import beside
from fcdcc_keras.rewriting.layer_planner import plan_at_call
from fcdcc_keras.rewriting.options import Options, complete, policy
from fcdcc_keras.rewriting.planner import (
    check_choices,
    needs_calibration,
    plan_examined,
)

Target = Callable[[Plan], Mapping[str, Any]]
"""Gives the plain or coded layers that a plan's are to be, by path."""


def deploy(
    model: keras.Model,
    examined: Sequence[Eligibility],
    cluster: object,
    said: Options,
    target: Target,
) -> Session:
    """Makes layers coded ones, and has a cluster compute their convolutions.

    Args:
        model: The model.
        examined: Its layers.
        cluster: As ``fk.distribute`` takes it.
        said: The options that the user gave.
        target: Is asked for the layers once the plan is made.

    Returns:
        What the cluster holds; every layer that was deployed keeps it.

    Raises:
        PlanError: The model or the numbers are not usable.
        UnsupportedLayerError: A layer that was named cannot be coded.
        ClusterError: The cluster is unreachable, too small, or does not fit.
    """
    options, plan = complete(said), None
    if (given := options["plan"]) is not None:
        plan = given if isinstance(given, Plan) else Plan.from_json(given)
        said = {**said, **beside(plan, said, examined)}
        options = complete(said)
    workers, stragglers = options["workers"], options["stragglers"]
    if options["verify"] == "parity":
        _check_parity(stragglers)
    # All that can be wrong without a cluster, before one is started.
    if plan is None or plan.at_call:
        check_choices(examined, options)
    if plan is None and workers is not None and not needs_calibration(options):
        plan = plan_examined(model, examined, options, workers)
    executor, cleanup = connect(cluster, workers, stragglers, options["transport"])
    try:
        options = {**options, "workers": executor.workers}
        if plan is None:
            if needs_calibration(options):
                options["calibration"] = measure(executor, stragglers)
            plan = plan_examined(model, examined, options, executor.workers)
        layers = target(plan)
    except BaseException:
        cleanup()
        raise
    session = Session(executor, cleanup, policy(options))
    try:
        _place(session, plan, options, layers, examined)
    except BaseException:
        session.close()
        raise
    return session


def _place(
    session: Session,
    plan: Plan,
    options: Options,
    layers: Mapping[str, Any],
    examined: Sequence[Eligibility],
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
    originals = {one.path: one.layer for one in examined}
    for path, geometry in plan.at_call:
        if path in layers:
            make_coded(layers[path])
            later = plan_at_call(originals[path], path, options)
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
