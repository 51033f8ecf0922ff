"""Planning the stretches of a model by time: as chains, with coded layers between."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from fcdcc_keras.errors import UnsupportedLayerError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.stretch import Stretch
from fcdcc_keras.planning import LayerPlan, NoStraggling
from fcdcc_keras.planning.chains.costs import StretchCosts
from fcdcc_keras.planning.chains.plan import StretchPlan
from fcdcc_keras.planning.chains.search import (
    Coded,
    StretchChoice,
    StretchSearch,
    Terms,
)
from fcdcc_keras.planning.prediction import Calls, Latency, convolution_work
from fcdcc_keras.planning.waiting import Waiting
from fcdcc_keras.rewriting.eligibility import Eligibility
from fcdcc_keras.rewriting.graph.stretches import StretchSite
from fcdcc_keras.rewriting.options import HEDGED, Options
from fcdcc_keras.rewriting.planners.choice import choose
from fcdcc_keras.rewriting.planners.layer import coding_type, planned

_ITEMSIZE = 4
_MOST_WORKERS = 16
"""For whom coded layers between chains are considered; the search for a code takes
minutes where there are many more."""


def plan_stretch_at_call(
    site: StretchSite, options: Options, barred: Collection[str] = ()
) -> Callable[[Stretch], StretchPlan]:
    """Returns what plans a stretch once the height and width of its input are known.

    All of it is planned as chains: what workers do not gain by, the client's engine
    computes.

    Args:
        site: Where it stands.
        options: How to plan; there is a calibration.
        barred: Paths of layers that may not go to workers.
    """
    layers, workers = site.layers, options["workers"]
    assert workers is not None
    terms = terms_of(options, workers)

    def at_size(stretch: Stretch) -> StretchPlan:
        costs = StretchCosts(stretch)
        steps = layers_of_steps(costs, layers)
        fixed = [cut for cut, paths in enumerate(steps) if set(barred) & set(paths)]
        (plan,) = StretchSearch(costs, terms, fixed, whole=True).best().plans
        return plan

    return at_size


def terms_of(options: Options, workers: int) -> Terms:
    """Returns what stretches are planned by.

    Args:
        options: How to plan; there is a calibration.
        workers: n.
    """
    calibration = options["calibration"]
    assert calibration is not None
    return Terms(
        calibration,
        workers,
        options["stragglers"],
        options["straggling"] or NoStraggling(),
        HEDGED[options["redundancy"]],
        options["objective"],
    )


def barred(examined: Sequence[Eligibility], options: Options) -> set[str]:
    """Returns the paths of layers that may not go to workers.

    Args:
        examined: The model's layers.
        options: Of which ``layers`` counts.
    """
    chosen = choose(examined, options["layers"], dense=True)
    able = {one.path for one in examined if one.geometry is not None}
    return able - {one.path for one in chosen}


def layers_of_steps(costs: StretchCosts, layers: Sequence[str]) -> list[list[str]]:
    """Returns the paths of the layers between each cut of a stretch and the next.

    Args:
        costs: Of the stretch.
        layers: Paths of all its layers, in order.
    """
    ends = [layers.index(str(costs.path(cut + 1))) + 1 for cut in range(costs.cuts)]
    return [list(layers[a:b]) for a, b in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True)
class _CodedLayer:
    """A layer of a stretch that can be coded, under some price of what is held."""

    plan: LayerPlan
    beside: float
    """Seconds of Keras for what is between the same cuts."""


class StretchPlanner:
    """Plans one stretch, however much each byte costs that a worker holds."""

    def __init__(
        self,
        site: StretchSite,
        stretch: Stretch,
        examined: Mapping[str, Eligibility],
        options: Options,
        terms: Terms,
        barred: Collection[str],
        calls: Calls,
    ) -> None:
        """Takes a stretch.

        Args:
            site: Where it stands.
            stretch: The stretch, for the size of its input.
            examined: The model's layers, by their paths.
            options: How to plan.
            terms: The same, as stretches are planned by it.
            barred: Paths of layers that may not go to workers.
            calls: What calls of the model take.
        """
        self.costs = StretchCosts(stretch)
        self._site, self._calls = site, calls
        self._examined, self._options, self._terms = examined, options, terms
        self._steps = layers_of_steps(self.costs, site.layers)
        self._barred = set(barred)
        fixed = [
            cut for cut, paths in enumerate(self._steps) if self._barred & set(paths)
        ]
        self._search = StretchSearch(self.costs, terms, fixed)

    def best(self, holding: float) -> StretchFound:
        """Returns the best plan of the stretch.

        Args:
            holding: Seconds that each byte that a worker holds adds.
        """
        able = {}
        for cut in range(self.costs.cuts):
            layer = self._coded(cut, holding)
            if layer is not None:
                able[cut] = layer
        coded = {
            cut: Coded(_expected(layer.plan) + layer.beside, layer.plan.held)
            for cut, layer in able.items()
        }
        choice, call = self._cheapest(coded, holding)
        there = [part.first for part in choice.parts if part.by == "coded"]
        beside = sum(able[cut].beside for cut in there)
        for part in choice.parts:
            beside += part.seconds if part.by in ("keras", "client") else 0.0
        beside += self._terms.crossing * len(choice.plans) + call
        layers = tuple(able[cut].plan for cut in there)
        return StretchFound(choice, layers, beside, self._reasons(choice))

    def _cheapest(
        self, coded: Mapping[int, Coded], holding: float
    ) -> tuple[StretchChoice, float]:
        """Returns the best way, and what it adds to what Keras takes for a call."""
        mixed, calls = self._search.best(coded, holding), self._calls
        if self._terms.by == "throughput":
            return mixed, 0.0  # a call is one of many images
        looked_at = calls.variable * len(self._site.variables())
        ways = [
            (mixed, looked_at if mixed.plans else 0.0),
            (self._search.by_keras(), 0.0),
        ]
        if self._site.whole and not self._barred.intersection(self._site.layers):
            alone = self._search.without_keras(holding)
            # Nothing crosses a graph of Keras.
            instead = calls.keras + alone.crossing
            ways.append((alone, calls.directly - instead))
        return min(ways, key=lambda way: way[0].price(holding) + way[1])

    def _coded(self, cut: int, holding: float) -> _CodedLayer | None:
        """Returns the layer between a cut and the next, if that is all there is."""
        many = self._terms.workers > _MOST_WORKERS
        if many or self.costs.convolutions(cut) != 1:
            return None
        calibration = self._terms.calibration
        for path in self._steps[cut]:
            one = self._examined.get(path)
            if one is None or one.geometry is None:
                continue
            if path in self._barred or not one.sized:
                return None
            dtype, workers = coding_type(one.layer), self._terms.workers
            part = self.costs.part_sent(cut, self._terms.rates)
            alone = _least(one.geometry, self._terms, holding, part)
            if alone >= self._search.alternative(cut, holding):
                return None
            try:
                plan = planned(
                    path, one.geometry, self._options, workers, dtype, holding, part
                )
            except UnsupportedLayerError:
                return None
            own = convolution_work(one.geometry).seconds(calibration)
            return _CodedLayer(plan, max(0.0, self._search.keras(cut) - own))
        return None

    def _reasons(self, choice: StretchChoice) -> dict[str, str]:
        """Returns why each layer that stays with Keras does so."""
        found = {}
        for part in choice.parts:
            if part.by != "keras":
                continue
            for path in self._steps[part.first]:
                if path in self._barred:
                    found[path] = "it was not chosen by `layers`"
                    continue
                seconds = self._search.keras(part.first)
                found[path] = (
                    f"the client takes {seconds * 1e3:.3g} ms for this part of the "
                    "model; workers would not be sooner"
                )
        return found


@dataclass(frozen=True)
class StretchFound:
    """How a stretch is best computed."""

    choice: StretchChoice
    layers: tuple[LayerPlan, ...]
    """Coded, between its chains."""
    beside: float
    """Seconds of an image that neither workers nor coded layers take."""
    reasons: Mapping[str, str]
    """Why each layer that stays with Keras does so, by path."""

    @property
    def held(self) -> int:
        """Bytes of a worker's memory that it takes."""
        chains = sum(part.held for part in self.choice.parts if part.chain is not None)
        return chains + sum(layer.held for layer in self.layers)

    @property
    def chains(self) -> list[tuple[Latency, Waiting]]:
        """Of each chain that workers compute, its latency and the law of it."""
        return [
            (part.chain.latency, part.law)
            for part in self.choice.parts
            if part.chain is not None
            and part.chain.latency is not None
            and part.law is not None
        ]


def _least(geometry: ConvGeometry, terms: Terms, holding: float, part: float) -> float:
    """Returns the seconds of a coded layer without redundancy and without coding.

    To search for codes takes long where there are many workers.

    Args:
        geometry: Sizes of the layer.
        terms: What to plan by.
        holding: As for ``StretchPlanner.best``.
        part: Bytes that are sent of those of its input.
    """
    able, work = terms.calibration, geometry.multiply_adds / terms.workers
    sent = math.prod(geometry.input_size) * geometry.channels
    answered = math.prod(geometry.output_size) * geometry.filters
    seconds = able.latency + work / able.worker_rate
    seconds += _ITEMSIZE * (sent * part + answered) / able.bandwidth
    return seconds + holding * _ITEMSIZE * geometry.kernel_floats / terms.workers


def _expected(plan: LayerPlan) -> float:
    assert plan.latency is not None
    return plan.latency.expected
