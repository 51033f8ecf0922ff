"""The cheapest cuts and places of a stretch, against all that there are."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations, product

import pytest

from fcdcc_keras.planning import Calibration
from fcdcc_keras.planning.chains.costs import StretchCosts
from fcdcc_keras.planning.chains.operation_cost import OperationCosts
from fcdcc_keras.planning.chains.search import (
    _CHAIN,
    Coded,
    StretchSearch,
    Terms,
)
from fcdcc_keras.planning.chains.tile_time import (
    Rates,
    TileCost,
    chain_time,
    keras_engine,
    own_engine,
)
from fcdcc_keras.planning.chains.tiles import nbytes, tilings
from fcdcc_keras.planning.chains.zeros import part_sent
from fcdcc_keras.planning.stragglers import OnOff, ShiftedExponential
from tests.planning.stretches_to_plan import (
    all_of,
    calibration,
    deep,
    network,
    sized,
    stretch_of,
)

BOARDS = Calibration(
    latency=1e-3,
    bandwidth=1e8,
    worker_rate=1e8,
    client_rate=1e8,
    coding_rate=1e9,
)
"""Of the deep network they take half a second for each layer."""


def tile_seconds(stretch, after, to, able, speeds):
    """Of the best tiles, each walked back through the whole chain at once."""
    program, rates = sized(stretch, after, to), Rates.of(able)
    costs = OperationCosts(program.program, program.shapes)
    shape, output = program.shapes[0], program.shapes[-1]
    values = 0 if after is None else dict(stretch.ends)[after], dict(stretch.ends)[to]
    sent = [part_sent(stretch.program, one) if rates.sparse else 1 for one in values]
    ways = [((0, all_of(program)),)]
    if program.local:
        ways += tilings(output, speeds, local=True)
    found = []
    for tiles in ways:
        asked = []
        for worker, box in tiles:
            needed = program.needed(box)
            spent = sum(costs.seconds(needed, program.work(box), rates.engine))
            asked.append(
                TileCost(
                    worker,
                    nbytes(needed[0], shape[-1], "float32"),
                    spent / speeds[worker],
                    nbytes(box, output[-1], "float32"),
                    *sent,
                )
            )
        found.append(chain_time(asked, rates).total)
    return min(found)


def least_of_all(stretch, terms, charge):
    """Seconds of the best of all cuts and places, one by one."""
    able, speeds = terms.calibration, terms.speeds
    paths = StretchCosts(stretch)._paths
    keras = keras_engine(able)
    engines = {"keras": keras, "client": own_engine(able) or keras}
    cuts, best = len(paths) - 1, math.inf
    known: dict[object, float] = {}

    def cost(first, last, place):
        after, to = paths[first], paths[last]
        if place == "workers":
            return _CHAIN + tile_seconds(stretch, after, to, able, speeds)
        program = sized(stretch, after, to)
        box = all_of(program)
        costs = OperationCosts(program.program, program.shapes)
        spent = costs.seconds(program.needed(box), program.work(box), engines[place])
        return sum(spent) + (_CHAIN if place == "client" else 0.0)

    for many in range(cuts):
        for inner in combinations(range(1, cuts), many):
            ends = (0, *inner, cuts)
            for places in product(("keras", "client", "workers"), repeat=many + 1):
                total, before = 0.0, "keras"
                for number, place in enumerate(places):
                    key = ends[number], ends[number + 1], place
                    if key not in known:
                        known[key] = cost(*key)
                    total += known[key]
                    total += charge if place == "workers" else 0.0
                    if place != "keras" and before == "keras":
                        total += terms.crossing
                    before = place
                best = min(best, total)
    return best


@pytest.mark.parametrize("seed", range(12))
def test_the_cheapest_of_all_cuts_and_places_is_found(seed):
    stretch = network(seed, head=seed % 3 == 0)
    able = calibration(seed, speeds=(1.0, 0.5, 2.0) if seed % 2 else ())
    terms = Terms(able, 3)
    search = StretchSearch(StretchCosts(stretch), terms)
    found, parts = search.cheapest({}, 0.0)
    least = least_of_all(stretch, terms, search.charge)
    assert found == pytest.approx(least, rel=1e-5)
    assert [part.first for part in parts] == [0, *(part.last for part in parts[:-1])]


def test_chains_that_follow_each_other_on_workers_are_found():
    able = replace(BOARDS, bandwidth=1e7, latency=1e-4)
    stretch, terms = deep(4), Terms(able, 6)
    search = StretchSearch(StretchCosts(stretch), terms)
    found, parts = search.cheapest({}, 0.0)
    assert [part.by for part in parts] == ["workers", "workers"]
    assert found == pytest.approx(least_of_all(stretch, terms, search.charge), rel=1e-5)


def test_the_networks_are_computed_in_all_places():
    """Otherwise the test before would be void."""
    places = set()
    for seed in range(12):
        terms = Terms(calibration(seed), 3)
        search = StretchSearch(StretchCosts(network(seed)), terms)
        places |= {part.by for part in search.cheapest({}, 0.0)[1]}
    assert places == {"workers", "client", "keras"}


@pytest.mark.parametrize("by", ["latency", "throughput"])
@pytest.mark.parametrize("law", [None, OnOff(0.1, math.inf), ShiftedExponential(0.5)])
def test_more_bandwidth_never_makes_it_slower(by, law):
    costs, before = StretchCosts(deep(head=True)), math.inf
    for bandwidth in (1e4, 1e5, 1e6, 1e7, 1e8, 1e10):
        able = replace(BOARDS, bandwidth=bandwidth)
        terms = Terms(able, 4, 1, hedged=None, by=by)
        if law is not None:
            terms = replace(terms, straggling=law)
        found = StretchSearch(costs, terms).best()
        assert 0 < found.seconds < math.inf
        assert found.seconds <= before * (1 + 1e-9)
        before = found.seconds
    assert any(part.by == "workers" for part in found.parts)


def test_plans_are_the_chains_between_what_keras_computes():
    stretch = deep()
    costs, middle = StretchCosts(stretch), 2
    search = StretchSearch(costs, Terms(BOARDS, 4), fixed=[middle])
    choice = search.best()
    assert [part.by for part in choice.parts if part.first <= middle < part.last] == [
        "keras"
    ]
    first, last = choice.plans
    assert (first.entry, first.size) == ("input", (32, 32))
    assert first.exit == costs.path(middle)
    assert last.entry == costs.path(middle + 1)
    assert last.size == costs.size(middle + 1)
    assert last.exit == stretch.ends[-1][0]


def test_all_of_a_stretch_is_chains_where_that_is_asked_for():
    far = replace(BOARDS, latency=10.0)
    stretch = deep()
    search = StretchSearch(StretchCosts(stretch), Terms(far, 4), whole=True)
    (plan,) = search.best().plans
    assert [(chain.to, chain.place) for chain in plan.chains] == [
        (stretch.ends[-1][0], "client")
    ]
    assert StretchSearch(StretchCosts(stretch), Terms(far, 4)).best().plans == ()


def test_a_coded_layer_splits_the_stretch():
    costs, middle = StretchCosts(deep()), 2
    search = StretchSearch(costs, Terms(BOARDS, 4))
    choice = search.best({middle: Coded(1e-9, 10)})
    assert (middle, "coded") in [(part.first, part.by) for part in choice.parts]
    assert len(choice.plans) == 2
    held = search.best({middle: Coded(1e-9, 10)}, holding=1.0)
    assert held.plans == ()  # a second for each byte is too much for anything


def test_workers_of_unequal_speed_have_tiles_in_proportion():
    able = replace(BOARDS, speeds=(3.0, 1.0))
    choice = StretchSearch(StretchCosts(deep()), Terms(able, 2)).best()
    (part, *_) = [part for part in choice.parts if part.by == "workers"]
    assert part.chain.work == pytest.approx(0.75, abs=0.1)


def test_small_images_have_no_more_tiles_than_rows():
    """More workers than rows, and tiles that are smaller than a kernel."""
    program = network(0).program
    stretch = stretch_of(program, (3, 2))
    able = replace(BOARDS, latency=1e-9, bandwidth=1e15, worker_rate=1e3, client_rate=1)
    for workers in (5, 40):
        choice = StretchSearch(StretchCosts(stretch), Terms(able, workers)).best()
        for part in choice.parts:
            assert part.chain is None or math.prod(part.chain.tiles) <= 6


def test_images_are_shared_out_whole_for_throughput():
    able = replace(BOARDS, client_operation=1e-3)
    terms = Terms(able, 4, by="throughput")
    costs = StretchCosts(deep(head=True))
    (part,) = StretchSearch(costs, terms).best().parts
    assert (part.by, part.chain.tiles, part.chain.work) == ("workers", (1,), 1.0)
    alone = sum(costs.seconds(Rates.of(BOARDS).engine))
    assert part.seconds == pytest.approx(alone / 4, rel=0.1)
    # Weights that are held at a price are not held.
    search = StretchSearch(costs, terms)
    assert search.best(holding=1.0).plans == ()
