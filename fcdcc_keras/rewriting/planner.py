"""``fk.plan``: which layers of a model are coded, and how."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import keras

from fcdcc_keras.checks import check_type
from fcdcc_keras.codes import Code
from fcdcc_keras.codes.certify import check_certifiable
from fcdcc_keras.errors import PlanError, UnsupportedLayerError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import (
    AUTO,
    By,
    Calibration,
    LayerPlan,
    NoStraggling,
    Plan,
    Prices,
    Straggling,
    check_redundancy,
    plan_latency,
    within_memory,
)
from fcdcc_keras.planning.memory import limit_bytes
from fcdcc_keras.planning.objective import check_speeds, shares_of
from fcdcc_keras.planning.search import families
from fcdcc_keras.rewriting.client_work import client_work
from fcdcc_keras.rewriting.eligibility import (
    NO_CONVOLUTION,
    ON_REQUEST,
    Verdict,
    examine,
)
from fcdcc_keras.rewriting.options import Layers, check_choice
from fcdcc_keras.rewriting.wishes import (
    GAINING,
    HEDGED,
    RedundancyChoice,
    Wishes,
    coding_type,
    losing_layers,
)

_CALIBRATE = "Pass what `fk.calibrate` returned, or one of `planning.devices`."
_STRAGGLING = "Make one with `planning.stragglers.from_spec('onoff:0.1,10')`."


def plan(
    model: keras.Model,
    *,
    workers: int,
    stragglers: int = 1,
    layers: Layers = "all",
    dense: bool = False,
    code: str | Code | type[Code] = AUTO,
    tolerance: float | None = None,
    redundancy: RedundancyChoice = "eager",
    prices: Prices | None = None,
    calibration: Calibration | None = None,
    objective: By = "price",
    straggling: Straggling | None = None,
    memory_limit: float | str | None = None,
    speeds: Sequence[float] = (),
) -> Plan:
    """Returns what ``distribute`` would do with a model; needs no cluster.

    Args:
        model: A built model.
        workers: n, the number of workers to spread each layer over.
        stragglers: γ, the least number of workers that may be missing. A layer
            may tolerate more, where n − γ divides it badly.
        layers: "all" that can be coded, "gaining": those that the workers finish
            sooner than the client, names or paths of layers, or a function that is
            given a layer and says whether to code it.
        dense: Whether "all", "gaining" and functions are about ``Dense`` layers too.
        code: Name of a code, "auto", a ``Code`` with its split, or a code's class.
        tolerance: Largest relative error of a layer, at the 99th percentile of
            survivor sets; default 1e-4 where it is coded in float32, and 3e-14 in
            float64.
        redundancy: Whether layers will be sent to all workers at once ("eager"), or
            "hedged"; "auto": for each layer whichever is better by the objective.
        prices: What communication, storage and computation are worth; default: by
            the calibration, or ``Prices()``.
        calibration: What the cluster was measured to do; ``layers="gaining"`` needs
            it, and predicted latencies. ``fk.calibrate`` measures one;
            ``fcdcc_keras.planning.devices`` has some of known devices.
        objective: What each layer is to have little of: "price", or "latency": the
            expected seconds, which need a calibration.
        straggling: How workers are slowed, of ``fcdcc_keras.planning.stragglers``;
            default: they are not.
        memory_limit: Bytes of kernels that a worker can hold, as 5e6 or "5MB";
            default: what the calibration says. Layers are split so that it is kept.
        speeds: Of each worker, where they are unequal; 1 is a calibrated one. The n
            shares of a layer are given away by speed, several to a fast worker.
            Latencies are predicted for it.

    Returns:
        The plan; ``print`` shows it as a table.

    Raises:
        PlanError: The model, the numbers or the code are not usable, nothing
            is left to code, or a worker's memory is too small.
        UnsupportedLayerError: A layer that was named cannot be coded.
    """
    if calibration is not None:
        check_type("calibration", calibration, Calibration, _CALIBRATE)
    if prices is not None:
        check_type(
            "prices", prices, Prices, "Give for example fk.Prices(storage=8e-9)."
        )
    if straggling is not None:
        check_type("straggling", straggling, Straggling, _STRAGGLING)
    limit = limit_bytes(memory_limit)
    if limit is None and calibration is not None:
        limit = calibration.worker_memory
    wishes = Wishes(
        layers,
        code,
        tolerance,
        redundancy,
        calibration,
        prices,
        dense,
        straggling or NoStraggling(),
        objective,
        limit,
        check_speeds(speeds),
    )
    check_redundancy(workers, stragglers)
    check_certifiable(workers)
    check_choice("redundancy", redundancy, tuple(HEDGED))
    shares_of(wishes.goal.speeds, workers, stragglers)
    verdicts = examine(model)
    return plan_verdicts(
        model.name, verdicts, wishes, workers=workers, stragglers=stragglers
    )


def plan_verdicts(
    name: str,
    verdicts: Sequence[Verdict],
    wishes: Wishes,
    *,
    workers: int,
    stragglers: int,
) -> Plan:
    """Returns the plan of a model whose layers have been examined; see ``plan``."""
    reasons = {v.path: v.reason or "it was not chosen by `layers`" for v in verdicts}
    at_call: list[tuple[str, ConvGeometry]] = []
    sized: list[tuple[str, ConvGeometry, str]] = []
    for verdict in _choose(verdicts, wishes):
        path, geometry, dtype = (
            verdict.path,
            verdict.geometry,
            coding_type(verdict.layer),
        )
        assert geometry is not None
        try:
            # Where the size is not known, this finds whether any code suits the layer.
            made = wishes.plan_layer(path, geometry, workers, stragglers, dtype)
        except UnsupportedLayerError as error:
            if _is_named(verdict, wishes.layers):
                raise
            reasons[path] = str(error)
            continue
        if not verdict.sized:
            at_call.append((path, geometry))
            continue
        if wishes.layers == GAINING and (
            losing := losing_layers([made], wishes.calibration)
        ):
            reasons |= losing
            continue
        sized.append((path, geometry, dtype))

    def plan_all(holding: float) -> list[LayerPlan]:
        return [
            wishes.plan_layer(path, geometry, workers, stragglers, dtype, holding)
            for path, geometry, dtype in sized
        ]

    plans = within_memory(plan_all, wishes.memory_limit)
    coded = {*(layer.path for layer in plans), *(path for path, _ in at_call)}
    not_coded = tuple(
        (verdict.path, reasons[verdict.path])
        for verdict in verdicts
        if verdict.convolves and verdict.path not in coded
    )
    if not coded:
        why = "; ".join(f"{path}: {reason}" for path, reason in not_coded[:5])
        if not why:
            dense = any(verdict.on_request for verdict in verdicts)
            why = ON_REQUEST if dense else NO_CONVOLUTION
        raise PlanError(
            "The model must have a layer to code. Received: "
            f"{name!r}, layers={wishes.layers!r}; {why}. Keras's own convolutions "
            "are coded; see `fk.plan` and the documentation for which."
        )
    plan = Plan(
        name,
        workers,
        stragglers,
        tuple(plans),
        not_coded,
        wishes.calibration,
        tuple(at_call),
    )
    if wishes.calibration is None:
        return plan
    work = client_work(verdicts, coded)
    return replace(
        plan,
        latency=plan_latency(plan.layers, wishes.goal, work),
        straggling=None if wishes.straggling == NoStraggling() else wishes.straggling,
        client=work,
    )


def check_choices(verdicts: Sequence[Verdict], wishes: Wishes, stragglers: int) -> None:
    """Checks what a plan is made by, as far as it does not depend on n.

    Raises:
        PlanError: A layer's name or the code is not usable.
        UnsupportedLayerError: A layer that was named cannot be coded.
    """
    _choose(verdicts, replace(wishes, dense=True))
    if not isinstance(wishes.code, Code):
        families(wishes.code, stragglers)


def _choose(verdicts: Sequence[Verdict], wishes: Wishes) -> list[Verdict]:
    layers = wishes.layers
    eligible = [v for v in verdicts if v.geometry is not None]
    wanted = [v for v in eligible if wishes.dense or not v.on_request]
    if layers in ("all", GAINING):
        return wanted
    if callable(layers):
        return [v for v in wanted if layers(v.layer)]
    names = [layers] if isinstance(layers, str) else layers
    if not isinstance(names, Collection):
        raise PlanError(
            "`layers` must be 'all', 'gaining', names of the model's layers, or a "
            f"function. Received: layers={layers!r}. Give for example ['conv1']."
        )
    chosen: set[str] = set()
    for name in names:
        named = [v for v in verdicts if name in (v.path, v.path.rpartition("/")[2])]
        if not named:
            known = ", ".join(v.path for v in eligible)
            raise PlanError(
                "`layers` must be 'all', 'gaining', names of the model's layers, or a "
                f"function. Received: {name!r}. The layers that can be coded are: "
                f"{known}."
            )
        for verdict in named:
            if verdict.geometry is None:
                raise UnsupportedLayerError(
                    "A layer that is named must be one that can be coded. Received: "
                    f"{verdict.path!r}, but {verdict.reason}. Leave it out of "
                    "`layers`."
                )
            chosen.add(verdict.path)
    return [v for v in eligible if v.path in chosen]


def _is_named(verdict: Verdict, layers: Layers) -> bool:
    names = [layers] if isinstance(layers, str) else layers
    if callable(names):
        return False
    return verdict.path in names or verdict.path.rpartition("/")[2] in names
