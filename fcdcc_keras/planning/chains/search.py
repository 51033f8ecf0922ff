"""Where a stretch is cut, and who computes each chain: dynamic programming. Pure.

Between two cuts all is computed by the workers, in tiles; by the client's own engine;
by plain Keras, which then is no part of a chain; or, where it has one convolution
alone, as a coded layer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fcdcc_keras.codes.figures import rounded
from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.chains.costs import StretchCosts, Tiled
from fcdcc_keras.planning.chains.law import chain_law, power
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.planning.chains.tile_time import (
    Rates,
    chain_time,
    keras_engine,
    own_engine,
    seconds_an_image,
)
from fcdcc_keras.planning.chains.tiles import parts
from fcdcc_keras.planning.objective import By
from fcdcc_keras.planning.prediction import Latency, layer_latency
from fcdcc_keras.planning.stragglers import NoStraggling, Straggling
from fcdcc_keras.planning.waiting import Waiting

_Place = Literal["workers", "client", "keras", "coded"]
_EVERY: tuple[_Place, ...] = ("keras", "client", "workers")
"""Who may be before a part: Keras also stands for coded layers."""
HELD_TIMES = 3
"""What a worker's memory has of a chain's weights, in copies: as they came, in the
model that the engine was given, and in the order in which that computes."""
_CROSSING = 2e-4
"""Seconds from Keras into a chain and back again."""
_OPERATIONS_OF_CROSSING = 3
"""The same, in operations of Keras."""
_CHAIN = 1e-6
"""Seconds that a chain must save to be one of its own."""
_GAIN_OF_CHAIN = 0.01
"""What a chain over workers must save of the time without them, to be one of its own:
no prediction is better than that, and fewer chains send less."""
_LEAST_GAIN = 0.05
"""What workers must save of the time without them, or nothing goes there: no prediction
is better than that."""
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
class StretchPart:
    """A part of a stretch between two cuts, and who computes it."""

    first: int
    last: int
    by: _Place
    seconds: float
    """Of one image; of "throughput", between images."""
    chain: ChainPlan | None = None
    law: Waiting | None = None
    """Of the seconds of one image, where workers compute it."""
    held: int = 0
    """Bytes of a worker's memory that its weights take."""


@dataclass(frozen=True)
class StretchChoice:
    """Who computes what of a stretch."""

    costs: StretchCosts
    parts: tuple[StretchPart, ...]
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
        stretch, found, run = self.costs.stretch, [], list[StretchPart]()
        for part in (*self.parts, None):
            if part is not None and part.chain is not None:
                run.append(part)
                continue
            if run:
                entry = self.costs.path(run[0].first) or stretch.entry
                size = self.costs.size(run[0].first)
                chains = tuple(one.chain for one in run if one.chain is not None)
                found.append(StretchPlan(stretch.graph, entry, size, chains))
            run = []
        return tuple(found)


def engine_alone(costs: StretchCosts, able: Calibration) -> float:
    """Returns the seconds of a whole stretch by the client's own engine, or Keras."""
    return sum(costs.seconds(own_engine(able) or keras_engine(able)))


@dataclass(frozen=True)
class Coded:
    """What lies between a cut and the next, with its one convolution coded."""

    seconds: float
    held: int
    """Bytes that each worker holds."""


_Ways = dict[_Place, tuple[float, tuple[StretchPart, ...]]]


class StretchSearch:
    """Looks for the cheapest cuts and places."""

    def __init__(
        self,
        costs: StretchCosts,
        terms: Terms,
        fixed: Collection[int] = (),
        *,
        whole: bool = False,
    ) -> None:
        """Takes what is to be planned.

        Args:
            costs: Of the stretch, for one image.
            terms: What to plan by.
            fixed: Cuts from which on to the next nothing may go to workers.
            whole: Whether all of it is to be chains; then those are the client's,
                and otherwise Keras's.
        """
        self._costs, self._terms, self._fixed = costs, terms, set(fixed)
        able = terms.calibration
        self._keras = costs.seconds(keras_engine(able))
        self._engine = costs.seconds(own_engine(able) or keras_engine(able))
        self._rates, self._speeds = terms.rates, terms.speeds
        self._power = power(self._speeds, terms.straggling)
        self._whole = whole
        self.charge = _GAIN_OF_CHAIN * sum(self._engine)
        """Seconds that a chain over workers, or a coded layer, must save."""
        self._candidates = [self._ending(cut + 1) for cut in range(costs.cuts)]

    def keras(self, cut: int) -> float:
        """Returns the seconds of plain Keras from a cut to the next."""
        return self._keras[cut]

    def alternative(self, cut: int, holding: float) -> float:
        """Returns the least seconds from a cut to the next without a coded layer.

        Args:
            cut: The cut.
            holding: As for ``best``.
        """
        return min(
            part.seconds + holding * part.held
            for part, before in self._candidates[cut]
            if part.first == cut and before == "keras"
        )

    def best(
        self, coded: Mapping[int, Coded] | None = None, holding: float = 0.0
    ) -> StretchChoice:
        """Returns the cheapest way; without workers, unless they save some part of it.

        Args:
            coded: What can be coded, by the number of the cut before.
            holding: Seconds that each byte that a worker must have for weights adds.
        """
        there = self.cheapest(coded or {}, holding)
        here = self.cheapest({}, holding, workers=False)
        gains = there[0] <= (1 - _LEAST_GAIN) * here[0]
        _, parts_ = there if gains else here
        return StretchChoice(self._costs, parts_, self._terms.crossing)

    def cheapest(
        self, coded: Mapping[int, Coded], holding: float, *, workers: bool = True
    ) -> tuple[float, tuple[StretchPart, ...]]:
        """Returns the seconds of the cheapest way, and the way.

        Args:
            coded: As for ``best``.
            holding: As for ``best``.
            workers: Whether chains may go to them.
        """
        # By who was there last: seconds, and the parts.
        ways: list[_Ways] = [{"keras": (0.0, ())}]
        for last, candidates in enumerate(self._candidates, 1):
            here: _Ways = {}
            for part, before in (*candidates, *_coded(last, coded)):
                if before not in ways[part.first]:
                    continue
                if part.by == "workers" and not workers:
                    continue
                seconds, parts_ = ways[part.first][before]
                seconds += part.seconds + holding * part.held
                if part.by in ("workers", "coded"):
                    seconds += self.charge
                if part.chain is not None and before == "keras":
                    seconds += self._terms.crossing
                place: _Place = "keras" if part.by == "coded" else part.by
                if place not in here or rounded(seconds) < rounded(here[place][0]):
                    here[place] = seconds, (*parts_, part)
            ways.append(here)
        found = [ways[-1][place] for place in _EVERY if place in ways[-1]]
        return min(found, key=lambda way: rounded(way[0]))

    def _ending(self, last: int) -> list[tuple[StretchPart, _Place]]:
        """Returns parts that end at a cut, each with who may compute what is before."""
        found: list[tuple[StretchPart, _Place]] = []
        if not self._whole:
            plain = StretchPart(last - 1, last, "keras", self._keras[last - 1])
            found += [(plain, before) for before in _EVERY]
        seconds, to = _CHAIN, str(self._costs.path(last))
        for first in reversed(range(last)):
            if first in self._fixed and not self._whole:
                break
            seconds += self._engine[first]
            latency = Latency(*[rounded(seconds)] * 3)
            chain = ChainPlan(to, "client", latency=latency)
            part = StretchPart(first, last, "client", seconds, chain)
            found += [(part, "keras"), (part, "workers")]
        return found + self._on_workers(last)

    def _on_workers(self, last: int) -> list[tuple[StretchPart, _Place]]:
        found: list[tuple[StretchPart, _Place]] = []
        barred = max((one for one in self._fixed if one < last), default=-1)
        tiled = self._costs.tiled(last, self._speeds, self._rates)
        for first, ways in sorted(tiled.items()):
            if first > barred:
                part = self._tiles(first, last, ways)
                found += [(part, before) for before in _EVERY]
        return found

    def _tiles(self, first: int, last: int, ways: Sequence[Tiled]) -> StretchPart:
        terms = self._terms
        timed = [(chain_time(way.costs, self._rates), way) for way in ways]
        time, way = min(timed, key=lambda pair: rounded(pair[0].total))
        options = []
        for hedged in (True, False) if terms.hedged is None else (terms.hedged,):
            copies = 1 if hedged else terms.stragglers + 1
            one = chain_time(way.costs, self._rates, copies)
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
        upload = sum(int(tile.sent) for tile in way.costs)
        answer = sum(int(tile.received) for tile in way.costs)
        seconds, costs = mean, way.costs
        if terms.by == "throughput":
            alone = ways[-1]
            upload = sum(int(tile.sent) for tile in alone.costs)
            spent = sum(
                tile.seconds * self._speeds[tile.worker] for tile in alone.costs
            )
            copies = 1 if hedged else terms.stragglers + 1
            seconds = seconds_an_image(
                upload * copies, spent * copies, answer, self._rates, self._power
            )
            seconds += self._rates.round_trip / (_IMAGES_OF_EACH * terms.workers)
            tiles, largest, costs = parts(alone.tiles), 1.0, alone.costs
        latency = layer_latency(time.total, law)
        chain = ChainPlan(
            str(self._costs.path(last)),
            "workers",
            hedged=hedged,
            tiles=tiles,
            upload=upload,
            download=answer,
            work=rounded(largest),
            seconds=rounded(max(t.seconds * self._speeds[t.worker] for t in costs)),
            parts=len(costs),
            held=self._costs.held(first, last),
            latency=latency,
        )
        held = HELD_TIMES * chain.held
        return StretchPart(first, last, "workers", seconds + _CHAIN, chain, law, held)


def _coded(last: int, coded: Mapping[int, Coded]) -> list[tuple[StretchPart, _Place]]:
    if last - 1 not in coded:
        return []
    one = coded[last - 1]
    part = StretchPart(last - 1, last, "coded", one.seconds, held=one.held)
    return [(part, before) for before in _EVERY]
