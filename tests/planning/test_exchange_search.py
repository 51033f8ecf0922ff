"""Where halos are exchanged, against all cuts, places, boundaries and grids."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations, pairwise, product

import numpy as np
import pytest

from fcdcc_keras.planning.chains.costs import StretchCosts
from fcdcc_keras.planning.chains.exchange import (
    exchange_chain_time,
    exchange_time,
    grids,
)
from fcdcc_keras.planning.chains.law import done_again, law_until_late
from fcdcc_keras.planning.chains.operation_cost import OperationCosts
from fcdcc_keras.planning.chains.search import _CHAIN, StretchSearch, Terms
from fcdcc_keras.planning.chains.tile_time import (
    ChainTime,
    TileCost,
    keras_engine,
    own_engine,
)
from fcdcc_keras.planning.chains.tiles import nbytes
from fcdcc_keras.planning.stragglers import NoStraggling, OnOff, ShiftedExponential
from fcdcc_keras.planning.waiting import Waiting
from tests.planning.stretches_to_plan import (
    all_of,
    calibration,
    deep,
    network,
    sized,
)
from tests.planning.test_stretch_search import BOARDS, tile_seconds

APART = replace(BOARDS, bandwidth=1e7, latency=1e-2, message=1e-2, exchange=1e-3)
"""Boards to which the client's link is slow, and that reach each other."""


class All:
    """All ways to compute a stretch, one by one."""

    def __init__(self, stretch, terms):
        self.stretch, self.terms = stretch, terms
        costs = StretchCosts(stretch)
        self.search = StretchSearch(costs, terms)
        self.paths = [costs.path(cut) for cut in range(costs.cuts + 1)]
        able = terms.calibration
        keras = keras_engine(able)
        self.engines = {"keras": keras, "client": own_engine(able) or keras}
        self.known = {}

    def least(self):
        cuts, best = len(self.paths) - 1, math.inf
        for many in range(cuts):
            for inner in combinations(range(1, cuts), many):
                spans = list(pairwise((0, *inner, cuts)))
                for places in product(("keras", "client", "workers"), repeat=many + 1):
                    best = min(best, self.places(spans, places))
        return best

    def places(self, spans, places):
        """The least of all boundaries between some places."""
        total, before, at = 0.0, "keras", 0
        while at < len(spans):
            run = at + 1
            if places[at] == "workers":
                while run < len(spans) and places[run] == "workers":
                    run += 1
                total += self.on_workers(tuple(spans[at:run]))
            else:
                total += self.here(spans[at], places[at])
            if places[at] != "keras" and before == "keras":
                total += self.terms.crossing
            before, at = places[at], run
        return total

    def on_workers(self, spans):
        """The least of chains that follow each other: the first run, then the rest."""
        if not spans:
            return 0.0
        if spans not in self.known:
            self.known[spans] = min(
                self.run(spans[:many]) + self.on_workers(spans[many:])
                for many in range(1, len(spans) + 1)
            )
        return self.known[spans]

    def run(self, spans):
        key = "run", spans
        if key not in self.known:
            charges = (len(spans) - 1) * self.search.exchange_charge
            seconds = self.alone(*spans) if len(spans) == 1 else self.exchanging(spans)
            own = _CHAIN * len(spans)
            self.known[key] = seconds + own + charges + self.search.charge
        return self.known[key]

    def alone(self, span):
        first, last = (self.paths[cut] for cut in span)
        able, speeds = self.terms.calibration, self.terms.speeds
        return tile_seconds(self.stretch, first, last, able, speeds)

    def exchanging(self, spans):
        rates, speeds = self.terms.rates, self.terms.speeds
        best = math.inf
        for way in grids(1, 2, speeds):
            cut, total = [], 0.0
            for first, last in spans:
                one = sized(self.stretch, self.paths[first], self.paths[last])
                tiles = way.tiles(one.shapes[-1])
                if tiles is None or not one.local:
                    total = math.inf
                    break
                channels, dtype = one.shapes[0][-1], one.program.dtype
                reads = [one.needed(box)[0] for _, box in tiles]
                wait = None
                if cut:
                    before = cut[-1]
                    wait = exchange_time(before, reads, channels, dtype, rates, speeds)
                asked = tile_costs(one, tiles, rates, speeds)
                cut.append(tiles)
                keeps = len(cut) < len(spans)
                total += exchange_chain_time(asked, rates, wait, keeps=keeps).total
            best = min(best, total)
        return best

    def here(self, span, place):
        one = sized(self.stretch, *(self.paths[cut] for cut in span))
        costs, box = OperationCosts(one.program, one.shapes), all_of(one)
        spent = costs.seconds(one.needed(box), one.work(box), self.engines[place])
        return sum(spent) + (_CHAIN if place == "client" else 0.0)


def tile_costs(one, tiles, rates, speeds):
    costs, found = OperationCosts(one.program, one.shapes), []
    for worker, box in tiles:
        needed = one.needed(box)
        spent = sum(costs.seconds(needed, one.work(box), rates.engine))
        sizes = (needed[0], one.shapes[0][-1]), (box, one.shapes[-1][-1])
        sent, answer = (nbytes(*each, one.program.dtype) for each in sizes)
        found.append(TileCost(worker, sent, spent / speeds[worker], answer))
    return found


def exchanges(parts):
    return [part.chain is not None and part.chain.exchange for part in parts]


def far(seed):
    """Some cluster whose workers reach each other sooner than the client."""
    speeds = (1.0, 0.5, 2.0) if seed % 2 else ()
    rate = 10.0 ** (7 + seed % 3)
    rates = {"worker_rate": rate, "client_rate": rate, "engine_rate": rate}
    links = {"bandwidth": rate / 10, "latency": 2e-3, "message": 1e-3}
    return calibration(seed, speeds=speeds, exchange=2e-4, **rates, **links)


SEEDS = (1, 3, 6, 7, 11, 13, 14, 17, 20)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cheapest_of_all_boundaries_is_found(seed):
    stretch = network(seed, head=seed % 3 == 0)
    every = All(stretch, Terms(far(seed), 3))
    found, parts = every.search.cheapest({}, 0.0)
    assert found == pytest.approx(every.least(), rel=1e-5)
    assert [part.first for part in parts] == [0, *(part.last for part in parts[:-1])]


def test_halos_are_exchanged_in_some_of_them():
    """Otherwise the test before would be void."""
    runs = []
    for seed in SEEDS:
        stretch = network(seed, head=seed % 3 == 0)
        search = StretchSearch(StretchCosts(stretch), Terms(far(seed), 3))
        runs += exchanges(search.cheapest({}, 0.0)[1])
    assert 3 < sum(runs) < len(runs)


def test_a_run_is_planned_as_it_is_taken():
    stretch = deep()
    choice = StretchSearch(StretchCosts(stretch), Terms(APART, 4)).best()
    (plan,) = choice.plans
    *kept, last = [chain for chain in plan.chains if chain.place == "workers"]
    assert len(kept) > 1
    assert all(chain.exchange and chain.download == 0 for chain in kept)
    assert not last.exchange
    assert last.download == 32 * 32 * 64 * 4
    assert [chain.upload > 0 for chain in (*kept, last)] == [True] + [False] * len(kept)
    assert (kept[0].exchanged, kept[0].halos) == (0, 0)
    for before, chain in pairwise((*kept, last)):
        assert chain.tiles == before.tiles
        assert chain.halos > 0 < chain.exchanged < 32 * 32 * 64 * 4
    own = sum(chain.latency.expected for chain in plan.chains)
    assert own == pytest.approx(choice.seconds, rel=1e-2)


@pytest.mark.parametrize(
    "terms",
    [
        Terms(replace(APART, exchange=0.0), 4),
        Terms(replace(APART, near=True), 4),
        Terms(APART, 4, hedged=False),
        Terms(APART, 4, by="throughput"),
    ],
)
def test_nothing_is_exchanged_where_it_may_not_be(terms):
    with_, without = (
        StretchSearch(StretchCosts(deep()), replace(terms, calibration=able)).best()
        for able in (
            terms.calibration,
            replace(terms.calibration, exchange=0.0),
        )
    )
    assert not any(exchanges(with_.parts))
    assert with_.parts == without.parts


def test_the_dearer_the_later_and_the_fewer():
    costs, before, chains = StretchCosts(deep()), 0.0, []
    for seconds in (1e-5, 1e-3, 1e-2, 3e-2, 0.1, 1.0, math.inf):
        able = replace(APART, exchange=min(seconds, 1e9))
        search = StretchSearch(costs, Terms(able, 4))
        found, parts = search.cheapest({}, 0.0)
        assert found >= before * (1 - 1e-9)
        before = found
        chains.append(sum(exchanges(parts)))
    assert chains[0] > 1
    assert chains[-1] == 0
    alone = StretchSearch(costs, Terms(replace(APART, exchange=0.0), 4))
    assert found == alone.cheapest({}, 0.0)[0]


def test_what_coded_layers_compete_with_is_complete():
    """What is kept by workers is not yet there."""
    costs = StretchCosts(deep())
    with_, without = (
        StretchSearch(costs, Terms(replace(APART, exchange=seconds), 4))
        for seconds in (1e-3, 0.0)
    )
    for cut in range(costs.cuts):
        assert with_.alternative(cut, 0.0) == without.alternative(cut, 0.0)


def test_barred_layers_are_not_in_a_run():
    costs, middle = StretchCosts(deep()), 2
    search = StretchSearch(costs, Terms(APART, 4), fixed=[middle])
    for part in search.best().parts:
        assert part.by == "keras" or not part.first <= middle < part.last


@pytest.mark.parametrize("law", [OnOff(0.02, 10.0), ShiftedExponential(0.15)])
def test_a_run_that_is_given_up_is_done_again(law):
    costs = StretchCosts(deep())
    terms = Terms(APART, 4, 1, law)
    search = StretchSearch(costs, terms)
    found, parts = search.cheapest({}, 0.0)
    run = [part for part in parts if part.by == "workers"]
    assert exchanges(run) == [True] * (len(run) - 1) + [False]
    lates = [part.late for part in run]
    assert min(lates) > 0
    late = max(lates) if law.lasting else 1 - math.prod(1 - one for one in lates)
    again = late * sum(part.again for part in run)
    charges = search.charge + (len(run) - 1) * search.exchange_charge
    usual = sum(part.law.mean + _CHAIN for part in run)  # the last with what is again
    rest = sum(part.seconds for part in parts if part.by != "workers")
    assert found == pytest.approx(usual + charges + rest + terms.crossing, rel=1e-6)
    without, _ = law_until_late(
        ChainTime(run[-1].chain.latency.usual, 1.0, 0.0), 4, NoStraggling()
    )
    assert run[-1].law.mean > float(without.mean) + 0.9 * again
    assert run[-1].chain.latency.expected == pytest.approx(run[-1].law.mean, rel=1e-5)
    # It counts: without stragglers it is sooner, with many of them no run pays.
    calm = StretchSearch(costs, replace(terms, straggling=NoStraggling()))
    assert calm.cheapest({}, 0.0)[0] < found
    many = StretchSearch(costs, replace(terms, straggling=OnOff(0.5, 10.0)))
    assert not any(exchanges(many.cheapest({}, 0.0)[1]))


def test_the_law_until_a_tile_is_late():
    time, law = ChainTime(3.0, 2.0, 0.5), ShiftedExponential(0.5)
    found, chance = law_until_late(time, 3, law)
    late = 2 * 2.5 + 0.005  # of the usual seconds, as dispatch has it
    in_time = float(law.cdf((late - 0.5) / 2.0)) ** 3
    assert chance == pytest.approx(1 - in_time, rel=1e-6)
    assert found.seconds[-1] == pytest.approx(0.5 + late)
    rng = np.random.default_rng(0)
    taken = 0.5 + 2.0 * law.sample(rng, (100_000, 3)).max(axis=1)
    mean = 0.5 + np.minimum(taken, late).mean()
    assert found.mean == pytest.approx(mean, rel=5e-3)
    assert law_until_late(time, 3, NoStraggling())[1] == 0.0


def test_what_is_done_again_now_and_then():
    law = Waiting(np.array([1.0, 2.0]), np.array([0.25, 1.0]))
    found = done_again(law, 0.1, 5.0)
    assert found.mean == pytest.approx(law.mean + 0.1 * 5.0)
    assert list(found.seconds) == [1.0, 2.0, 6.0, 7.0]
    assert list(found.cdf) == pytest.approx([0.9 * 0.25, 0.9, 0.925, 1.0])
    assert done_again(law, 0.0, 5.0) is law
