"""Where a stretch is cut, and who computes each chain: dynamic programming. Pure.

Between two cuts all is computed by the workers, in tiles; by the client's own engine;
by plain Keras, which then is no part of a chain; or, where it has one convolution
alone, as a coded layer. At a cut between chains of workers the client has what is
there, or they keep it, in the tiles of some grid, and exchange halos.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fcdcc_keras.codes.figures import rounded
from fcdcc_keras.planning.calibration import Calibration
from fcdcc_keras.planning.chains.costs import StretchCosts
from fcdcc_keras.planning.chains.law import done_again
from fcdcc_keras.planning.chains.parts import (
    EVERY,
    Candidate,
    State,
    StretchPart,
    WorkerParts,
)
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.planning.chains.terms import Terms
from fcdcc_keras.planning.chains.tile_time import keras_engine, own_engine
from fcdcc_keras.planning.prediction import Latency, layer_latency

__all__ = [
    "Coded",
    "StretchChoice",
    "StretchPart",
    "StretchSearch",
    "Terms",
    "engine_alone",
]
_CHAIN = 1e-6
"""Seconds that a chain must save to be one of its own."""
_GAIN_OF_CHAIN = 0.01
"""What a chain over workers must save of the time without them, to be one of its own:
no prediction is better than that, and fewer chains send less."""
_GAIN_OF_EXCHANGE = 0.002
"""Likewise, of a chain before which workers exchange halos: the exchange alone is
predicted for itself; what they compute is about the same wherever it is cut."""
_LEAST_GAIN = 0.05
"""What workers must save of the time without them, or nothing goes there: no prediction
is better than that."""


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

    def price(self, holding: float) -> float:
        """Returns the same, with what it costs to hold what it takes.

        Args:
            holding: Seconds that each byte that a worker must have for weights adds.
        """
        return self.seconds + holding * sum(part.held for part in self.parts)

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


class _Way(NamedTuple):
    """The cheapest way to have what is at a cut in some place."""

    seconds: float
    parts: tuple[StretchPart, ...]
    late: float = 0.0
    """Chance that the run that it ends with has to be done again."""
    again: float = 0.0
    """Seconds of that."""

    def given_up(self, part: StretchPart, *, lasting: bool) -> tuple[float, float]:
        """Returns both with another part of the same run.

        Args:
            part: The part.
            lasting: Whether who is late in one part is so in all.
        """
        either = max(self.late, part.late)
        if not lasting:
            either = 1 - (1 - self.late) * (1 - part.late)
        return either, self.again + part.again


_Ways = dict[State, _Way]
_Found = tuple[float, tuple[StretchPart, ...]]


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
        self._on_workers = WorkerParts(costs, terms, _CHAIN)
        self._whole = whole
        self.charge = _GAIN_OF_CHAIN * sum(self._engine)
        """Seconds that a chain over workers, or a coded layer, must save."""
        self.exchange_charge = _GAIN_OF_EXCHANGE * sum(self._engine)
        """Seconds that a chain must save by that halos are exchanged before it."""
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
            for part, before, after in self._candidates[cut]
            if part.first == cut and before == "keras" and after in EVERY
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
        here = self.cheapest({}, holding, without=("workers",))
        return self._if_it_gains(there, here)

    def without_keras(self, holding: float = 0.0) -> StretchChoice:
        """Returns the cheapest way in chains alone; none may be barred from workers.

        Args:
            holding: As for ``best``.
        """
        there = self.cheapest({}, holding, without=("keras",))
        here = self.cheapest({}, holding, without=("keras", "workers"))
        return self._if_it_gains(there, here)

    def by_keras(self) -> StretchChoice:
        """Returns the way by plain Keras alone."""
        _, parts = self.cheapest({}, 0.0, without=("client", "workers"))
        return StretchChoice(self._costs, parts, self._terms.crossing)

    def _if_it_gains(self, there: _Found, here: _Found) -> StretchChoice:
        gains = there[0] <= (1 - _LEAST_GAIN) * here[0]
        _, parts = there if gains else here
        return StretchChoice(self._costs, parts, self._terms.crossing)

    def cheapest(
        self,
        coded: Mapping[int, Coded],
        holding: float,
        *,
        without: Collection[str] = (),
    ) -> _Found:
        """Returns the seconds of the cheapest way, and the way.

        Args:
            coded: As for ``best``.
            holding: As for ``best``.
            without: Who computes nothing, as ``StretchPart.by`` has it.
        """
        # A run that has to be done again is so with all its chains: where workers
        # straggle the cheapest way to a cut within it need not stay the cheapest.
        lasting = self._terms.straggling.lasting
        ways: list[_Ways] = [{"keras": _Way(0.0, ())}]
        for last, candidates in enumerate(self._candidates, 1):
            here: _Ways = {}
            for part, before, after in (*candidates, *_coded(last, coded)):
                if before not in ways[part.first]:
                    continue
                if part.by in without:
                    continue
                way, within = ways[part.first][before], before not in EVERY
                late, again = part.late, part.again
                if within:
                    late, again = way.given_up(part, lasting=lasting)
                seconds = way.seconds + (part.seconds + holding * part.held)
                if within:
                    seconds += self.exchange_charge - way.late * way.again
                elif part.by in ("workers", "coded"):
                    seconds += self.charge
                if part.chain is not None and before == "keras":
                    seconds += self._terms.crossing
                seconds += late * again
                if after not in here or rounded(seconds) < rounded(here[after].seconds):
                    here[after] = _Way(seconds, (*way.parts, part), late, again)
            ways.append(here)
        found = [ways[-1][place] for place in EVERY if place in ways[-1]]
        best = min(found, key=lambda way: rounded(way.seconds))
        return best.seconds, _with_what_is_done_again(best.parts, lasting=lasting)

    def _ending(self, last: int) -> list[Candidate]:
        """Returns parts that end at a cut, each with who has what before and behind."""
        found: list[Candidate] = []
        if not self._whole:
            plain = StretchPart(last - 1, last, "keras", self._keras[last - 1])
            found += [(plain, before, "keras") for before in EVERY]
        seconds, to = _CHAIN, str(self._costs.path(last))
        for first in reversed(range(last)):
            if first in self._fixed and not self._whole:
                break
            seconds += self._engine[first]
            latency = Latency(*[rounded(seconds)] * 3)
            chain = ChainPlan(to, "client", latency=latency)
            part = StretchPart(first, last, "client", seconds, chain)
            found += [(part, "keras", "client"), (part, "workers", "client")]
        barred = max((one for one in self._fixed if one < last), default=-1)
        return [*found, *self._on_workers.ending(last, barred)]


def _coded(last: int, coded: Mapping[int, Coded]) -> list[Candidate]:
    if last - 1 not in coded:
        return []
    one = coded[last - 1]
    part = StretchPart(last - 1, last, "coded", one.seconds, held=one.held)
    return [(part, before, "keras") for before in EVERY]


def _with_what_is_done_again(
    parts: Sequence[StretchPart], *, lasting: bool
) -> tuple[StretchPart, ...]:
    """Returns parts, the last of each run with what it takes when it is given up."""
    found, run = list[StretchPart](), _Way(0.0, ())
    for part in parts:
        run = _Way(0.0, (), *run.given_up(part, lasting=lasting))
        if part.chain is None or not part.chain.exchange:
            part, run = _done_again(part, run.late, run.again), _Way(0.0, ())
        found.append(part)
    return tuple(found)


def _done_again(part: StretchPart, late: float, again: float) -> StretchPart:
    if late == 0 or part.chain is None or part.chain.latency is None or not part.law:
        return part
    law = done_again(part.law, late, again)
    chain = replace(part.chain, latency=layer_latency(part.chain.latency.usual, law))
    return replace(part, seconds=part.seconds + late * again, chain=chain, law=law)
