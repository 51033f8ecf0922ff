"""A plan's stretches in a model: where each is, and what runs its graph then."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from fcdcc_keras.errors import PlanError
from fcdcc_keras.layers.chained import ChainedGraph, ChainedStretch
from fcdcc_keras.layers.graph_internals import runner
from fcdcc_keras.planning.stretch_plan import StretchPlan
from fcdcc_keras.rewriting.keras_internals import functional
from fcdcc_keras.rewriting.stretches import Site
from fcdcc_keras.rewriting.walk import walk


def placed(plans: Sequence[StretchPlan], found: Sequence[Site]) -> list[Site]:
    """Returns the part of a model that each of a plan's stretches is.

    Args:
        plans: Of stretches.
        found: The model's largest stretches.

    Raises:
        PlanError: The model has no such stretch, it is of another size, cannot be cut
            as planned, or two have a layer in common.
    """
    parts = [_place(plan, found) for plan in plans]
    taken: dict[str, StretchPlan] = {}
    for plan, part in zip(plans, parts, strict=True):
        for path in {*part.layers}:
            if path in taken:
                raise _misfit(plan, f"which has {path!r} in common with another")
            taken[path] = plan
    return parts


def chained_stretch(site: Site) -> tuple[ChainedGraph, ChainedStretch]:
    """Returns a stretch that workers may compute, and what then runs its graph."""
    whole = site.within
    graph = functional(whole.model)
    holder = runner(graph) or ChainedGraph(graph, whole.steps, whole.outputs)
    return holder, holder.stretch(site, site.between[0], site.steps)


def chained_graphs(model: keras.Model) -> list[ChainedGraph]:
    """Returns what runs the graphs of a model in place of Keras, in their order."""
    models = [model, *(one for _, one in walk(model) if isinstance(one, keras.Model))]
    graphs = (functional(one) for one in models)
    found = (runner(graph) for graph in graphs if graph is not None)
    return [one for one in found if isinstance(one, ChainedGraph)]


def _place(plan: StretchPlan, found: Sequence[Site]) -> Site:
    for site in found:
        if site.graph != plan.graph:
            continue
        try:
            part = site.part(plan.entry, plan.exit)
            stretch = part.at(plan.size)
            after: str | None = None
            for chain in plan.chains:
                stretch.chain(after, chain.to)
                after = chain.to
        except PlanError:
            continue
        if part.size not in (None, plan.size):
            raise _misfit(plan, f"of {plan.size}, where the model has {part.size}")
        return part
    raise _misfit(plan, f"of which the model {plan.graph!r} has none")


def _misfit(plan: StretchPlan, why: str) -> PlanError:
    return PlanError(
        "A plan must be for the model that it is used with. Received: a stretch from "
        f"{plan.entry!r} to {plan.exit!r}, {why}. Plan this model again."
    )
