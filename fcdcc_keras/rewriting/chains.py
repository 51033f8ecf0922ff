"""A plan's stretches in a model: where each is, and what then runs its graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.forward.session import Session
from fcdcc_keras.execution.forward.stretch_at_call import PlanStretch, StretchAtCall
from fcdcc_keras.layers.chained import ChainedGraph, ChainedStretch, StretchCompute
from fcdcc_keras.layers.crossing import weakly
from fcdcc_keras.layers.direct import predict_directly
from fcdcc_keras.layers.graph_internals import runner
from fcdcc_keras.planning import Plan
from fcdcc_keras.planning.chains.plan import StretchPlan
from fcdcc_keras.planning.chains.tile_time import Rates
from fcdcc_keras.rewriting.graph.stretches import StretchSite, sites
from fcdcc_keras.rewriting.keras_internals import functional
from fcdcc_keras.rewriting.walk import is_graph, runs_as_kerass, walk

Attached = dict[ChainedGraph, list[tuple[ChainedStretch, StretchCompute]]]
"""What is to compute the stretches of each graph."""


def check_stretches(plan: Plan, model: keras.Model) -> None:
    """Checks that a model has what a plan has of stretches.

    Raises:
        PlanError: It has no such stretch, it is of another size, cannot be cut as
            planned, or two are to compute the same, or one what is coded.
    """
    if not plan.stretches and not plan.stretches_at_call:
        return
    found = sites(model)
    parts = [_sized(one, found) for one in plan.stretches]
    parts += _unsized(plan, found)
    taken: dict[int, StretchSite] = {}
    for part in parts:
        # A layer that is used several times may be in several.
        both = next((step for step in part.steps if id(step) in taken), None)
        if both is not None:
            other = f"as has that from {taken[id(both)].entry!r}"
            why = f"with {both.operation.name!r}, {other}"
            raise _misfit(part.graph, part.entry, part.exit, why)
        taken |= {id(step): part for step in part.steps}
        coded = next((path for path in part.layers if path in plan.paths), None)
        if coded is not None:
            why = f"with {coded!r}, which is coded"
            raise _misfit(part.graph, part.entry, part.exit, why)


def place_stretches(
    session: Session,
    plan: Plan,
    model: keras.Model,
    later: Callable[[StretchSite], PlanStretch],
) -> Attached:
    """Gives workers the weights of a plan's stretches.

    Args:
        session: Where.
        plan: The plan.
        model: The model that is to have them computed.
        later: Gives what plans a stretch of unknown size.

    Returns:
        What is to be attached.

    Raises:
        PlanError: As ``check_stretches``.
        ClusterError: A worker did not take them.
    """
    attached: Attached = {}
    if not plan.stretches and not plan.stretches_at_call:
        return attached
    found, calibration = sites(model), plan.calibration
    rates = None if calibration is None else Rates.of(calibration)
    for one in plan.stretches:
        graph, stretch = chained_stretch(_sized(one, found))
        at, arrays = weakly(stretch.source.at), weakly(stretch.source.arrays)
        placed = session.add_stretch(one, at, arrays, plan.stragglers, rates)
        session.place_stretch(placed, stretch.values())
        attached.setdefault(graph, []).append((stretch, placed))
    for site in _unsized(plan, found):
        graph, stretch = chained_stretch(site)
        at, arrays = weakly(stretch.source.at), weakly(stretch.source.arrays)
        unplanned = StretchAtCall(
            at, arrays, later(site), session, plan.stragglers, rates
        )
        attached.setdefault(graph, []).append((stretch, unplanned))
    return attached


def chained_stretch(site: StretchSite) -> tuple[ChainedGraph, ChainedStretch]:
    """Returns a stretch that workers may compute, and what then runs its graph."""
    whole = site.within
    graph = functional(whole.model)
    holder = runner(graph) or ChainedGraph(graph, whole.steps, whole.outputs)
    return holder, holder.stretch(site, site.between[0], site.steps)


def predict_at_once(model: keras.Model) -> None:
    """Has a model predict without TensorFlow's graph, while it is a single stretch."""
    ways = ("predict_step", "make_predict_function")
    keras_s = all(getattr(type(model), n) is getattr(keras.Model, n) for n in ways)
    if not keras_s or not is_graph(model) or not runs_as_kerass(model):
        return

    def chained() -> ChainedGraph | None:
        graph: ChainedGraph | None = runner(functional(model))
        return graph

    predict_directly(model, chained)


def chained_graphs(model: Any) -> list[ChainedGraph]:
    """Returns what runs the graphs of a model in place of Keras, in their order."""
    models = [model, *(one for _, one in walk(model) if isinstance(one, keras.Model))]
    graphs = (functional(one) for one in models)
    found = (runner(graph) for graph in graphs if graph is not None)
    return [one for one in found if isinstance(one, ChainedGraph)]


def _sized(plan: StretchPlan, found: Sequence[StretchSite]) -> StretchSite:
    """Returns the stretch of a model that a plan is of."""
    for site in found:
        if site.graph != plan.graph:
            continue
        try:
            part = site.part(plan.entry, plan.exit)
            stretch, after = part.at(plan.size), None
            for chain in plan.chains:
                stretch.chain(after, chain.to)
                after = chain.to
        except PlanError:
            continue
        if part.size not in (None, plan.size):
            size = f"of {plan.size}, where the model has {part.size}"
            raise _misfit(plan.graph, plan.entry, plan.exit, size)
        return part
    raise _misfit(plan.graph, plan.entry, plan.exit, "which the model does not have")


def _unsized(plan: Plan, found: Sequence[StretchSite]) -> list[StretchSite]:
    """Returns the stretches that are planned at their calls."""
    left, parts = [site for site in found if site.size is None], []
    for graph, entry in plan.stretches_at_call:
        alike = (s for s in left if (s.graph, s.entry) == (graph, entry))
        part = next(alike, None)
        if part is None:
            raise _misfit(
                graph, entry, "", "of any size, which the model does not have"
            )
        left.remove(part)  # another may begin there, too
        parts.append(part)
    return parts


def _misfit(graph: str, entry: str, exit: str, why: str) -> PlanError:
    ends = f"from {entry!r}" + (f" to {exit!r}" if exit else "")
    inside = f" of {graph!r}" if graph else ""
    return PlanError(
        "A plan must be for the model that it is used with. Received: a stretch "
        f"{ends}{inside}, {why}. Plan this model again."
    )
