"""Where a stretch is cut, and who computes each chain: dynamic programming. Pure.

Between two cuts all is computed by the workers, in tiles; by the client's own engine;
by plain Keras, which then is no part of a chain; or, where it has one convolution
alone, as a coded layer. What a chain costs depends on the one before only in so far as
this was on workers: then its tiles set out while the last parts of their input come.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fcdcc_keras.codes.figures import rounded
from fcdcc_keras.partition.stretch import Stretch
from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.chain_law import chain_law, power
from fcdcc_keras.planning.objective import By
from fcdcc_keras.planning.prediction import Latency, layer_latency
from fcdcc_keras.planning.stragglers import NoStraggling, Straggling
from fcdcc_keras.planning.stretch_costs import StretchCosts, Tiled
from fcdcc_keras.planning.stretch_plan import ChainPlan, StretchPlan
from fcdcc_keras.planning.tile_time import (
    EngineRates,
    Rates,
    chain_time,
    keras_engine,
    own_engine,
    seconds_an_image,
)
from fcdcc_keras.planning.tiles import parts
from fcdcc_keras.planning.waiting import Waiting

By_ = Literal["workers", "client", "keras", "coded"]
HELD_TIMES = 3
"""What a worker's memory has of a chain's weights, in copies: as they came, in the
model that the engine was given, and in the order in which that computes."""
_CROSSING = 2e-4
"""Seconds from Keras into a chain and back again."""
_OPERATIONS_OF_CROSSING = 3
"""The same, in operations of Keras."""
_CHAIN = 1e-6
"""Seconds that a chain must save to be one of its own."""
_IMAGES_OF_EACH = 4
"""Images of a worker that the round trip of a chain is shared by: of a large batch."""


@dataclass(frozen=True)
class Terms:
    """What stretches are planned by."""

    calibration: Calibration
    workers: int
    """n."""
    stragglers: int = 0
    """γ."""
    straggling: Straggling = field(default_factory=NoStraggling)
    hedged: bool | None = True
    """None: whichever is better."""
    by: By = "latency"
    holding: float = 0.0
    """Seconds that each byte that a worker must have for weights adds."""

    @property
    def speeds(self) -> tuple[float, ...]:
        """Of the workers."""
        return self.calibration.speeds_of(self.workers)

    @property
    def rates(self) -> Rates:
        """What tiles are planned by."""
        return Rates.of(self.calibration)

    @property
    def crossing(self) -> float:
        """Seconds from Keras into a stretch and back again."""
        own = self.calibration.client_operation
        return _CROSSING + _OPERATIONS_OF_CROSSING * own


@dataclass(frozen=True)
class Part:
    """A part of a stretch between two cuts, and who computes it."""

    first: int
    last: int
    by: By_
    seconds: float
    """Of one image; of "throughput", between images."""
    chain: ChainPlan | None = None
    law: Waiting | None = None
    """Of the seconds of one image, where workers compute it."""


@dataclass(frozen=True)
class StretchChoice:
    """Who computes what of a stretch."""

    costs: StretchCosts
    parts: tuple[Part, ...]
    """One after another, all of the stretch."""
    crossing: float
    """Seconds of each plan of a stretch beside its chains."""

    @property
    def seconds(self) -> float:
        """Of one image; of "throughput", between images."""
        between = self.crossing * len(self.plans)
        return between + math.fsum(part.seconds for part in self.parts)

    @property
    def plans(self) -> tuple[StretchPlan, ...]:
        """Chains that follow each other; none where all stays with Keras."""
        stretch, found, run = self.costs.stretch, [], list[Part]()
        for part in (*self.parts, None):
            if part is not None and part.chain is not None:
                run.append(part)
                continue
            if run:
                entry = self.costs.path(run[0].first) or stretch.entry
                shape = self.costs.shapes[self.costs.values[run[0].first]]
                chains = tuple(one.chain for one in run if one.chain is not None)
                found.append(StretchPlan(stretch.graph, entry, shape[1:-1], chains))
            run = []
        return tuple(found)


def choose_places(
    costs: StretchCosts,
    terms: Terms,
    coded: Mapping[int, float] | None = None,
    fixed: Sequence[int] = (),
) -> StretchChoice:
    """Returns the cheapest cuts and places.

    Args:
        costs: Of the stretch, for one image.
        terms: What to plan by.
        coded: Seconds of what lies between a cut and the next, by the former's number,
            where its convolution can be a coded layer.
        fixed: Numbers of cuts up to whose next all must stay with Keras.
    """
    search = _Search(costs, terms, coded or {}, fixed)
    return StretchChoice(costs, search.best(), terms.crossing)


def engine_alone(costs: StretchCosts, able: Calibration) -> float:
    """Returns the seconds of a whole stretch by the client's own engine, or Keras."""
    return sum(costs.seconds(own_engine(able) or keras_engine(able)))


class _Search:
    def __init__(
        self,
        costs: StretchCosts,
        terms: Terms,
        coded: Mapping[int, float],
        fixed: Sequence[int],
    ) -> None:
        self.costs, self.terms, self.coded = costs, terms, coded
        able = terms.calibration
        self.keras = costs.seconds(keras_engine(able))
        self.engine = costs.seconds(own_engine(able) or keras_engine(able))
        self.rates, self.speeds = terms.rates, terms.speeds
        self.power = power(self.speeds, terms.straggling)
        self.fixed = set(fixed)

    def best(self) -> tuple[Part, ...]:
        """Returns the parts of the cheapest way through the cuts."""
        # By the cut reached and whether workers, the client's engine or Keras
        # were there last: seconds, and the parts.
        ways: list[dict[By_, tuple[float, tuple[Part, ...]]]] = [{"keras": (0.0, ())}]
        for last in range(1, self.costs.cuts + 1):
            here: dict[By_, tuple[float, tuple[Part, ...]]] = {}
            for part, before in self._candidates(last):
                if before not in ways[part.first]:
                    continue
                seconds, parts_ = ways[part.first][before]
                seconds += part.seconds + self._held(part)
                if part.chain is not None and before == "keras":
                    seconds += self.terms.crossing
                place: By_ = "keras" if part.by == "coded" else part.by
                known = here.get(place)
                if known is None or rounded(seconds) < rounded(known[0]):
                    here[place] = seconds, (*parts_, part)
            ways.append(here)
        places: tuple[By_, ...] = ("keras", "client", "workers")
        found = [ways[-1][place] for place in places if place in ways[-1]]
        return min(found, key=lambda way: rounded(way[0]))[1]

    def _candidates(self, last: int) -> list[tuple[Part, By_]]:
        """Returns parts that end at a cut, each with who computes what is before it."""
        first = last - 1
        others: tuple[By_, ...] = ("keras", "client")
        every: tuple[By_, ...] = (*others, "workers")
        plain = Part(first, last, "keras", self.keras[first])
        found = [(plain, before) for before in every]
        if first in self.fixed:
            return found
        if first in self.coded:
            layer = Part(first, last, "coded", self.coded[first])
            found += [(layer, before) for before in every]
        seconds = _CHAIN
        for first in reversed(range(last)):
            if first in self.fixed:
                break
            seconds += self.engine[first]
            latency = Latency(*[rounded(seconds)] * 3)
            to = str(self.costs.path(last))
            chain = ChainPlan(to, "client", latency=latency)
            part = Part(first, last, "client", seconds, chain)
            found += [(part, before) for before in ("keras", "workers")]
        return found + self._on_workers(last)

    def _on_workers(self, last: int) -> list[tuple[Part, By_]]:
        found: list[tuple[Part, By_]] = []
        barred = max((one for one in self.fixed if one < last), default=-1)
        tiled = self.costs.tiled(last, self.speeds, self.rates.engine)
        for first, ways in sorted(tiled.items()):
            if first <= barred:
                continue
            for before in ("keras", "workers"):
                coming = self.costs.nbytes(first) if before == "workers" else 0
                part = self._tiles(first, last, ways, coming)
                found.append((part, before))
                if before == "keras":
                    found.append((part, "client"))
        return found

    def _tiles(
        self, first: int, last: int, ways: Sequence[Tiled], coming: int
    ) -> Part:
        terms = self.terms
        timed = [
            (chain_time(way.costs, self.rates, coming), way) for way in ways
        ]
        time, way = min(timed, key=lambda pair: rounded(pair[0].total))
        options = []
        for hedged in (True, False) if terms.hedged is None else (terms.hedged,):
            copies = 1 if hedged else terms.stragglers + 1
            one = chain_time(way.costs, self.rates, coming, copies)
            law = chain_law(
                one,
                len(way.tiles),
                terms.straggling,
                hedged=hedged,
                stragglers=terms.stragglers,
                workers=terms.workers,
            )
            options.append((rounded(law.mean), one, law, hedged))
        _, time, law, hedged = min(options, key=lambda option: option[0])
        mean, tiles, largest = law.mean, parts(way.tiles), way.largest
        upload = sum(int(tile.upload) for tile in way.costs)
        answer = sum(int(tile.answer) for tile in way.costs)
        seconds = mean
        if terms.by == "throughput":
            alone = ways[-1]
            upload = sum(int(tile.upload) for tile in alone.costs)
            spent = sum(
                tile.seconds * self.speeds[tile.worker] for tile in alone.costs
            )
            copies = 1 if hedged else terms.stragglers + 1
            seconds = seconds_an_image(
                upload * copies, spent * copies, answer, self.rates, self.power
            )
            seconds += self.rates.round_trip / (_IMAGES_OF_EACH * terms.workers)
            tiles, largest = parts(alone.tiles), 1.0
        latency = layer_latency(time.total, law)
        chain = ChainPlan(
            str(self.costs.path(last)),
            "workers",
            hedged=hedged,
            tiles=tiles,
            upload=upload,
            download=answer,
            work=rounded(largest),
            held=self.costs.held(first, last),
            latency=latency,
        )
        return Part(first, last, "workers", seconds + _CHAIN, chain, law)

    def _held(self, part: Part) -> float:
        if part.by != "workers" or part.chain is None:
            return 0.0
        return self.terms.holding * HELD_TIMES * part.chain.held
