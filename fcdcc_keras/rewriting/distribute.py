"""``fk.distribute`` and its opposite, ``fk.close``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from fcdcc_keras.codes import Code
from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.base import VERIFY, Verify
from fcdcc_keras.execution.calibrate import measure
from fcdcc_keras.execution.connect import TRANSPORTS, TransportChoice, connect
from fcdcc_keras.execution.records import (
    FALLBACKS,
    REDUNDANCIES,
    Fallback,
    Policy,
    Redundancy,
)
from fcdcc_keras.execution.session import Session
from fcdcc_keras.layers import CodedLayer
from fcdcc_keras.planning import AUTO, Plan, check_redundancy, check_tolerance
from fcdcc_keras.rewriting.clone import clone_with_coded_layers
from fcdcc_keras.rewriting.eligibility import examine
from fcdcc_keras.rewriting.own_errors import raise_own_errors
from fcdcc_keras.rewriting.planner import GAINING, Layers, check_choices
from fcdcc_keras.rewriting.planner import plan as make_plan
from fcdcc_keras.rewriting.walk import walk


def distribute(
    model: keras.Model,
    cluster: object = None,
    *,
    workers: int | None = None,
    stragglers: int = 1,
    layers: Layers = "all",
    dense: bool = False,
    code: str | Code | type[Code] = AUTO,
    tolerance: float | None = None,
    plan: Plan | str | Path | None = None,
    transport: TransportChoice = "auto",
    redundancy: Redundancy = "eager",
    verify: Verify = "finite",
    fallback: Fallback = "local",
    timeout: float = 60.0,
) -> keras.Model:
    """Returns a model of the same outputs whose convolutions run on a cluster.

    Each convolution is cut into one coded subtask for each worker, and any
    n − γ of the n answers give the whole result: up to γ workers may hang or die
    at any time. The original model is not changed.

    Args:
        model: A built Functional or Sequential model.
        cluster: A ``distributed.Client``, a scheduler's address, a Dask cluster,
            an executor, or None to start worker processes on this machine, which
            end with the returned model.
        workers: n, the number of workers to use; None: all that the cluster has.
        stragglers: γ, the least number of workers that may be missing.
        layers: "all" that can be coded, "gaining": those that the workers finish
            sooner than this process, by a short measurement of both, names or paths
            of layers, or a function that is given a layer and says whether to code it.
        dense: Whether "all", "gaining" and functions are about ``Dense`` layers too.
            Those are coded for memory, on the side of the kernel: each worker holds
            1/δ of it, and is sent the whole input.
        code: Name of a code, "auto", a ``Code`` with its split, or a code's class.
        tolerance: Largest relative error of a layer. A code must keep it for 99% of
            survivor sets, or it is refused; for any of the others more answers are
            waited for. Default: 1e-4 in float32, 3e-14 in float64.
        plan: A plan made before, or the path to its JSON; it decides in place of
            ``layers`` and ``code``, and gives n and γ where they are left out.
        transport: "direct" asks the workers themselves, "tasks" goes through the
            scheduler; "auto" takes "direct" where the workers can be reached.
        redundancy: "eager" sends every layer to all workers at once; "hedged" sends
            it to as many as needed, and to the others when one is late.
        verify: "finite" takes a result that holds NaN or infinity for none, unless
            input or kernel do; "parity" also waits for one result more than needed,
            and checks that they agree: where they do not, for another, to find out
            who is wrong and leave that worker out from then on; "off" does neither.
        fallback: With too few workers left, "local" computes the layer in this
            process, with a warning the first time; "raise" raises.
        timeout: Seconds that a layer may take before the fallback.

    Returns:
        The coded model. ``fk.close`` frees what it holds, as does its garbage
        collection.

    Raises:
        PlanError: The model or the numbers are not usable.
        UnsupportedLayerError: A layer that was named cannot be coded.
        ClusterError: The cluster is unreachable, too small, or does not fit.
    """
    _check_options(workers, stragglers, timeout)
    _check_choice("transport", transport, TRANSPORTS)
    _check_choice("redundancy", redundancy, REDUNDANCIES)
    _check_choice("verify", verify, VERIFY)
    _check_choice("fallback", fallback, FALLBACKS)
    check_tolerance(tolerance, "float32")
    options: dict[str, Any] = {
        "layers": layers,
        "dense": dense,
        "code": code,
        "tolerance": tolerance,
        "redundancy": redundancy,
    }
    if plan is not None:
        plan = plan if isinstance(plan, Plan) else Plan.from_json(plan)
        workers = plan.workers if workers is None else workers
        stragglers = plan.stragglers if stragglers == 1 else stragglers
    if verify == "parity":
        _check_parity(stragglers)
    # All that can be wrong without a cluster, before one is started.
    check_choices(model, layers, code, stragglers)
    if workers is not None and layers != GAINING:
        plan = _plan_for(model, plan, workers, stragglers, options)
    executor, cleanup = connect(cluster, workers, stragglers, transport)
    try:
        if plan is None and layers == GAINING:
            options["calibration"] = measure(executor, stragglers)
        plan = _plan_for(model, plan, executor.workers, stragglers, options)
        coded_model, coded_layers = clone_with_coded_layers(model, plan)
    except BaseException:
        cleanup()
        raise
    session = Session(
        executor, cleanup, Policy(fallback, timeout, tolerance, redundancy, verify)
    )
    session.not_coded = plan.not_coded
    try:
        for layer_plan in plan.layers:
            layer = coded_layers[layer_plan.path]
            coded = session.add(layer_plan)
            layer.attach(coded, session)
            session.place(coded, layer.kernel_array())
    except BaseException:
        session.close()
        raise
    raise_own_errors(coded_model, session.policy)
    return coded_model


def close(model: keras.Model) -> None:
    """Frees what a coded model holds, and ends a cluster that it started.

    Afterwards the model computes locally. Closing again does nothing.

    Args:
        model: What ``distribute`` returned, or a model that has its layers.

    Raises:
        PlanError: The model has no coded layer.
    """
    for session in sessions(model):
        session.close()


@contextmanager
def closing(model: keras.Model) -> Iterator[keras.Model]:
    """Closes a coded model when the block ends."""
    try:
        yield model
    finally:
        close(model)


def sessions(model: keras.Model) -> list[Session]:
    """Returns what the coded layers of a model hold, each session once.

    Raises:
        PlanError: The model has no coded layer.
    """
    coded = [layer for _, layer in walk(model) if isinstance(layer, CodedLayer)]
    if not coded:
        raise PlanError(
            "The model must be one that `fk.distribute` returned. Received: "
            f"{getattr(model, 'name', model)!r}, without a coded layer. Pass the "
            "returned model, not the original."
        )
    found = {id(layer.session): layer.session for layer in coded if layer.session}
    return list(found.values())


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise PlanError(
            f"`{name}` must be one of {allowed}. Received: {name}={value!r}. Choose "
            "one of them."
        )


def _check_parity(stragglers: int) -> None:
    if stragglers < 1:
        raise PlanError(
            "verify='parity' needs the result of one worker more than decoding does. "
            f"Received: stragglers={stragglers}. Use at least 1, or 2 to find out who "
            "is wrong, or another `verify`."
        )


def _check_options(workers: Any, stragglers: Any, timeout: object) -> None:
    if not isinstance(timeout, int | float) or not timeout > 0:
        raise PlanError(
            "`timeout` must be a positive number of seconds. Received: "
            f"timeout={timeout!r}. Give for example 60."
        )
    at_least = stragglers + 1 if isinstance(stragglers, int) else 1
    check_redundancy(max(1, at_least) if workers is None else workers, stragglers)


def _plan_for(
    model: keras.Model,
    plan: Plan | None,
    workers: int,
    stragglers: int,
    options: Mapping[str, Any],
) -> Plan:
    if plan is None:
        return make_plan(model, workers=workers, stragglers=stragglers, **options)
    if plan.workers != workers or plan.stragglers < stragglers:
        raise PlanError(
            "A plan must be for the number of workers and stragglers that it is used "
            f"with. Received: a plan for {plan.workers} workers, {plan.stragglers} of "
            f"them missing, with workers={workers}, stragglers={stragglers}. Plan "
            "again, or pass `workers` and `stragglers` as planned."
        )
    sizes = {verdict.path: verdict.geometry for verdict in examine(model)}
    for layer in plan.layers:
        if sizes.get(layer.path) != layer.geometry:
            raise PlanError(
                "A plan must be for the model that it is used with. Received: layer "
                f"{layer.path!r} with {layer.geometry}, where the model has "
                f"{sizes.get(layer.path)}. Plan this model again."
            )
    return plan
