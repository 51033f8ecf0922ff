"""Deploying a model's layers: connecting to a cluster, planning, placing kernels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras

from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.calibration.calibrate import measure
from fcdcc_keras.execution.executors.connect import connect
from fcdcc_keras.execution.forward.session import Session
from fcdcc_keras.execution.forward.sized_at_call import SizedAtCall
from fcdcc_keras.layers import CodedLayer
from fcdcc_keras.monitoring.reporter import reporting
from fcdcc_keras.planning import Plan
from fcdcc_keras.planning.chains.tile_time import Rates
from fcdcc_keras.rewriting.chains import (
    check_stretches,
    place_stretches,
    predict_at_once,
)
from fcdcc_keras.rewriting.copying.class_swap import make_coded
from fcdcc_keras.rewriting.eligibility import Eligibility
from fcdcc_keras.rewriting.options import Options, complete, policy
from fcdcc_keras.rewriting.planners.given_plan import beside
from fcdcc_keras.rewriting.planners.layer import plan_at_call
from fcdcc_keras.rewriting.planners.model import (
    check_choices,
    needs_calibration,
    plan_examined,
)
from fcdcc_keras.rewriting.planners.stretch import barred, plan_stretch_at_call

Target = Callable[[Plan], Mapping[str, Any]]
"""Gives the plain or coded layers that a plan's are to be, by path, and the model that
has them by ""."""


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
        check_stretches(plan, model)
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
    reporter, cleanup = reporting(executor, cleanup)
    known = plan.calibration
    sparse = known is not None and Rates.of(known).sparse
    session = Session(executor, cleanup, replace(policy(options), sparse=sparse))
    session.notes.listeners.append(reporter)
    try:
        _place(session, plan, options, layers, examined)
        if not plan.pays:
            _leave(session, plan, layers)
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
    """Places all weights, then attaches all that has any: nothing is half attached."""
    session.not_coded, lost = plan.not_coded, []
    ready: list[tuple[Any, Any]] = []
    for layer_plan in plan.layers:
        if (layer := layers.get(layer_plan.path)) is None:
            lost.append(layer_plan.path)
            continue
        make_coded(layer)
        convolution = session.add(layer_plan)
        session.place(convolution, layer.kernel_array())
        ready.append((layer, convolution))
    originals = {one.path: one.layer for one in examined}
    for path, geometry in plan.at_call:
        if (layer := layers.get(path)) is None:
            lost.append(path)
            continue
        make_coded(layer)
        later = plan_at_call(originals[path], path, options)
        ready.append((layer, SizedAtCall(geometry, later, session)))
    kept = barred(examined, options)
    graphs = place_stretches(
        session,
        plan,
        layers[""],
        lambda site: plan_stretch_at_call(site, options, kept),
    )
    if lost:
        if not ready and not graphs:
            raise PlanError(
                "The copy of the model must have the layers that are to be coded. "
                f"Received: {plan.model!r}, whose copy lacks {', '.join(lost)}. Make "
                "the layers in `__init__` or `build`, always the same."
            )
        why = (
            "the copy of the layer around it, made from its configuration, has none "
            "like it"
        )
        session.not_coded = (*plan.not_coded, *((path, why) for path in lost))
    for layer, coded in ready:
        layer.attach(coded, session)
    for graph, pairs in graphs.items():
        graph.attach(pairs, session)
    if graphs:
        predict_at_once(layers[""])


def _leave(session: Session, plan: Plan, layers: Mapping[str, Any]) -> None:
    """Leaves everything to the client; the layers know why."""
    session.close()
    for layer in layers.values():
        if isinstance(layer, CodedLayer):
            layer.leave(session)
    warnings.warn(
        f"Nothing of {plan.model!r} is computed by workers, for nothing would be "
        "sooner there. `print(fk.plan(...))` says what was expected.",
        RuntimeWarning,
        stacklevel=2,
    )


def _check_parity(stragglers: int) -> None:
    if stragglers < 1:
        raise PlanError(
            "verify='parity' needs the result of one worker more than decoding does. "
            f"Received: stragglers={stragglers}. Use at least 1, or 2 to find out who "
            "is wrong, or another `verify`."
        )
