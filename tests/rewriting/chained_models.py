"""Plans of models as chains, made by hand: what a planner would find does not count."""

from __future__ import annotations

from collections.abc import Sequence

import keras

import fcdcc_keras as fk
from fcdcc_keras.planning import Plan
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.rewriting.graph.stretches import StretchSite, sites

WORKERS = 3


def chains_of(
    site: StretchSite, places: Sequence[str] = ("workers",) * 2
) -> StretchPlan:
    """Returns a plan of a stretch, cut into chains of about as many layers each."""
    assert site.size is not None
    ends = [path for path, _ in site.at(site.size).ends]
    many = len(places)
    cuts = [ends[-(-len(ends) * part // many) - 1] for part in range(1, many + 1)]
    chains = tuple(map(ChainPlan, dict.fromkeys(cuts), places))
    return StretchPlan(site.graph, site.entry, site.size, chains)


def chained_plan(model: keras.Model, places: Sequence[str] = ("workers",) * 2) -> Plan:
    """Returns a plan of all stretches of a model whose sizes are known."""
    sized = [site for site in sites(model) if site.size is not None]
    stretches = tuple(chains_of(site, places) for site in sized)
    return Plan(model.name, WORKERS, 1, (), (), stretches=stretches)


def chained(
    model: keras.Model, places: Sequence[str] = ("workers",) * 2
) -> keras.Model:
    """Returns a model whose stretches are computed in process, or an error raised."""
    plan = chained_plan(model, places)
    return fk.distribute(model, fk.LocalExecutor(WORKERS), plan=plan, fallback="raise")
