"""Planning a model under "latency" or "throughput".

Each stretch of it is planned for itself; what they share is the memory of a worker.
Convolutions outside of stretches are coded where that gains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from fcdcc_keras.codes.figures import rounded
from fcdcc_keras.errors import UnsupportedLayerError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Calibration, LayerPlan, Plan, within_memory
from fcdcc_keras.planning.chains.costs import StretchCosts
from fcdcc_keras.planning.chains.search import engine_alone
from fcdcc_keras.planning.chains.tile_time import keras_engine
from fcdcc_keras.planning.plan import plan_latency
from fcdcc_keras.planning.prediction import Alone, Calls
from fcdcc_keras.rewriting.eligibility import Eligibility
from fcdcc_keras.rewriting.graph.stretches import StretchSite, sites
from fcdcc_keras.rewriting.options import Options
from fcdcc_keras.rewriting.planners.choice import choose, is_named
from fcdcc_keras.rewriting.planners.client_work import client_work
from fcdcc_keras.rewriting.planners.given_plan import recorded
from fcdcc_keras.rewriting.planners.layer import coding_type, goal, loses, planned
from fcdcc_keras.rewriting.planners.stretch import (
    StretchFound,
    StretchPlanner,
    barred,
    terms_of,
)


def plan_by_time(
    model: keras.Model,
    examined: Sequence[Eligibility],
    options: Options,
    workers: int,
    told: Callable[[int, int], None],
) -> Plan:
    """Returns the plan of a model.

    Args:
        model: The model.
        examined: Its layers.
        options: How to plan.
        workers: n.
        told: Of how many layers outside of stretches are planned, of how many.

    Raises:
        PlanError: There is no calibration, or a code is not usable.
        UnsupportedLayerError: A layer that was named cannot be coded.
    """
    objective = goal(options)
    calibration = objective.calibration
    assert calibration is not None
    chosen = choose(examined, options["layers"], dense=options["dense"])
    every = sites(model)
    by_path = {one.path: one for one in examined}
    calls = Calls.of(calibration, len(model.variables))
    kept, terms = barred(examined, options), terms_of(options, workers)
    planners = [
        StretchPlanner(site, site.at(site.size), by_path, options, terms, kept, calls)
        for site in every
        if site.size is not None
    ]
    inside = {path for site in every for path in site.layers}
    others = [one for one in chosen if one.path not in inside]
    outside = _Outside(others, options, workers, told)

    def plan_all(holding: float) -> tuple[list[StretchFound], list[LayerPlan]]:
        return [one.best(holding) for one in planners], outside.plans(holding)

    found, coded_ones = within_memory(plan_all, limit_of(options), _held)
    order = {one.path: number for number, one in enumerate(examined)}
    layers = [*coded_ones, *(layer for one in found for layer in one.layers)]
    layers.sort(key=lambda layer: order[layer.path])
    at_call = tuple((site.graph, site.entry) for site in every if site.size is None)
    reasons = {one.path: one.reason for one in examined} | outside.reasons
    for one in found:
        reasons |= one.reasons
    coded = {layer.path for layer in layers} | {path for path, _ in outside.at_call}
    here = {path for one in found for path in one.reasons}
    chained = inside - here - coded
    not_coded = tuple(
        (o.path, reasons[o.path] or "it was not chosen by `layers`")
        for o in examined
        if o.convolves and o.path not in coded and o.path not in chained
    )
    own = client_work([o for o in examined if o.path not in inside], coded)
    beside = calls.keras + sum(one.beside for one in found)
    chains = [pair for one in found for pair in one.chains]
    latency = plan_latency(layers, objective, own, chains, beside)
    rate = None
    if options["objective"] == "throughput":
        seconds = own.seconds(calibration)
        seconds += sum(one.choice.seconds for one in found)
        seconds += sum(layer.latency.expected for layer in coded_ones if layer.latency)
        rate = rounded(1 / seconds)
    return Plan(
        model.name,
        workers,
        options["stragglers"],
        tuple(layers),
        not_coded,
        calibration,
        tuple(outside.at_call),
        latency,
        options["straggling"],
        client_work([o for o in examined if o.path not in chained], coded),
        tuple(plan for one in found for plan in one.choice.plans),
        at_call,
        alone(every, examined, calibration, calls),
        rate,
        made_by=recorded(options, chosen),
    )


def alone(
    every: Sequence[StretchSite],
    examined: Sequence[Eligibility],
    calibration: Calibration,
    calls: Calls,
) -> Alone:
    """Returns what the client takes for an image without any worker.

    Args:
        every: The model's stretches.
        examined: The model's layers.
        calibration: What the client can do.
        calls: What calls of the model take.
    """
    sized = [(site, site.size) for site in every if site.size is not None]
    inside = {path for site, _ in sized for path in site.layers}
    rest = client_work([one for one in examined if one.path not in inside], ())
    by_keras = by_engine = rest.seconds(calibration)
    for site, size in sized:
        costs = StretchCosts(site.at(size))
        by_keras += sum(costs.seconds(keras_engine(calibration)))
        by_engine += engine_alone(costs, calibration)
    return Alone(
        rounded(calls.keras + by_keras),
        rounded(by_engine) if calibration.engine_rate else 0.0,
    )


def limit_of(options: Options) -> float | None:
    """Returns the bytes that a worker can hold; None: any number."""
    limit, calibration = options["memory_limit"], options["calibration"]
    assert not isinstance(limit, str)
    if limit is None and calibration is not None:
        return calibration.worker_memory
    return limit


class _Outside:
    """Convolutions that stand in no stretch."""

    def __init__(
        self,
        chosen: Sequence[Eligibility],
        options: Options,
        workers: int,
        told: Callable[[int, int], None],
    ) -> None:
        self._options, self._workers = options, workers
        self._sooner: list[tuple[str, ConvGeometry, str]] = []
        self.at_call: list[tuple[str, ConvGeometry]] = []
        """Those whose sizes are not known."""
        self.reasons: dict[str, str] = {}
        """Why others are not coded."""
        for number, one in enumerate(chosen):
            told(number, len(chosen))
            path, geometry, dtype = one.path, one.geometry, coding_type(one.layer)
            assert geometry is not None
            try:
                made = planned(path, geometry, options, workers, dtype)
            except UnsupportedLayerError as error:
                if is_named(one, options["layers"]):
                    raise
                self.reasons[path] = str(error)
                continue
            if not one.sized:
                self.at_call.append((path, geometry))
            elif why := loses(made, options):
                self.reasons[path] = why
            else:
                self._sooner.append((path, geometry, dtype))
        told(len(chosen), len(chosen))

    def plans(self, holding: float) -> list[LayerPlan]:
        """Returns the plans of those that gain.

        Args:
            holding: Seconds that each byte that a worker holds adds.
        """
        return [
            planned(path, geometry, self._options, self._workers, dtype, holding)
            for path, geometry, dtype in self._sooner
        ]


def _held(found: tuple[list[StretchFound], list[LayerPlan]]) -> float:
    stretches, layers = found
    return sum(one.held for one in stretches) + sum(layer.held for layer in layers)
