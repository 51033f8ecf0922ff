"""What workers exchange before a chain, how long it takes, and the tiles that suit."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from fcdcc_keras.partition.boxes import SizedProgram, slices, whole
from fcdcc_keras.planning.chains.exchange import (
    MOST_EXCHANGING,
    Halos,
    TileGrid,
    best_exchange,
    exchange_chain_time,
    exchange_time,
    grids,
)
from fcdcc_keras.planning.chains.operation_cost import OperationCosts
from fcdcc_keras.planning.chains.tile_time import Rates, TileCost, chain_time
from fcdcc_keras.programs import Convolution, GlobalAveragePool, Program
from tests.planning.stretches_to_plan import deep, network, stretch_of

RATES = Rates(bandwidth=1e3, worker_bandwidth=100.0, exchange=0.5)


def rows(*ends):
    """Boxes of rows of an image of four columns."""
    return [(range(1), range(*one), range(4)) for one in ends]


BANDS = tuple(enumerate(rows((0, 3), (3, 6), (6, 9))))


def chains(stretch, images=1):
    """A chain for each cut of a stretch."""
    shape, before, found = stretch.shape(images), None, []
    for path, _ in stretch.ends:
        found.append(SizedProgram(stretch.chain(before, path).program, [shape]))
        before, shape = path, found[-1].shapes[-1]
    return found


def pixels(box):
    return set(product(*box))


def test_halos_are_what_others_have_of_what_is_read():
    halos = Halos.of(BANDS, rows((0, 4), (2, 7), (5, 9)), 2, "float32")
    # The one in the middle gives a row to each, and takes one of each.
    assert (list(halos.given), list(halos.taken)) == ([1, 2, 1], [1, 2, 1])
    row = 4 * 2 * 4  # bytes
    assert list(halos.moved) == [2 * row, 4 * row, 2 * row]
    assert (halos.most, halos.nbytes) == (2, 4 * row)
    nothing = Halos.of(BANDS, [box for _, box in BANDS], 2, "float32")
    assert (nothing.most, nothing.nbytes) == (0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_halos_against_sets_of_pixels(seed):
    rng = np.random.default_rng(seed)
    for way in grids(1, 2, (1.0,) * 6):
        before = way.tiles((1, 12, 10, 3))
        ends = np.sort(rng.integers(0, 11, (len(before), 2, 2)), axis=2)
        reads = [(range(1), *(range(a, b + 1) for a, b in one)) for one in ends]
        halos = Halos.of(before, reads, 3, "float64")
        for place, (_, mine) in enumerate(before):
            taken = [
                len(pixels(reads[place]) & pixels(box))
                for other, (_, box) in enumerate(before)
                if other != place
            ]
            given = [
                len(pixels(read) & pixels(mine))
                for other, read in enumerate(reads)
                if other != place
            ]
            assert halos.given[place] == sum(map(bool, given))
            assert halos.taken[place] == sum(map(bool, taken))
            assert halos.moved[place] == (sum(given) + sum(taken)) * 3 * 8


def test_the_worker_with_most_to_exchange_counts():
    reads = rows((0, 4), (2, 7), (5, 9))

    def seconds(rates=RATES, speeds=(1.0, 1.0, 1.0)):
        return exchange_time(BANDS, reads, 2, "float32", rates, speeds)

    assert seconds() == pytest.approx(2 * 0.5 + 4 * 32 / 100)
    # Of unknown links each is as fast as the client's.
    unknown = replace(RATES, worker_bandwidth=math.inf)
    assert seconds(unknown) == pytest.approx(2 * 0.5 + 4 * 32 / 1e3)
    # The first is so slow that its one halo takes longest.
    assert seconds(speeds=(0.1, 1.0, 1.0)) == pytest.approx(0.5 / 0.1 + 2 * 32 / 100)
    one = (range(1), range(9), range(4))
    assert exchange_time(((2, one),), [one], 2, "float32", RATES, (1.0,) * 3) == 0


TILES = [TileCost(0, 100.0, 2.0, 200.0), TileCost(1, 100.0, 3.0, 200.0)]


def test_a_chain_of_a_run_sends_the_client_nothing_of_what_is_kept():
    rates = Rates(bandwidth=1e2, message=0.25, call=0.5, round_trip=7.0, exchange=1.0)
    own = exchange_chain_time(TILES, rates, 4.0, keeps=True)
    assert (own.total, own.work, own.around) == (4.0 + 3.5, 3.5, 4.0)
    first = exchange_chain_time(TILES, rates, keeps=True)
    unanswered = [replace(tile, answer=0.0) for tile in TILES]
    assert first == chain_time(unanswered, rates)
    last = exchange_chain_time(TILES, rates, 4.0, keeps=False)
    # Two answers of two seconds each follow the sooner worker, and no round trip.
    assert last.total == 4.0 + 2.5 + 2 * 2.0
    assert last.work == 3.5
    whole_ = chain_time(TILES, rates)
    assert exchange_chain_time(TILES, rates, keeps=False) == whole_


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("speeds", [(1.0,) * 6, (1.0, 0.5, 2.0), (1.0,) * 13])
def test_each_worker_has_one_tile_of_every_chain(images, speeds):
    for seed in range(3):
        sized = chains(network(seed), images)
        cut = best_exchange(sized, speeds, replace(RATES, bandwidth=1e9))
        teams = [[worker for worker, _ in tiles] for tiles in cut]
        assert all(team == teams[0] for team in teams)
        assert len({*teams[0]}) == len(teams[0]) > 1
        for one, tiles in zip(sized, cut, strict=True):
            times = np.zeros(one.shapes[-1][:-1], int)
            for _, box in tiles:
                times[slices(box)] += 1
            assert (times == 1).all()


def test_tiles_are_in_proportion_to_speeds():
    fast = Rates(bandwidth=1e12, exchange=1e-9)
    cut = best_exchange(chains(deep(3)), (3.0, 1.0), fast)
    for tiles in cut:
        sizes = [math.prod(map(len, box)) for _, box in tiles]
        assert sizes == [3 * 32 * 32 // 4, 32 * 32 // 4]


def test_few_halos_where_each_takes_long_and_few_bytes_where_these_do():
    sized, found = chains(deep(3)), []
    quick = Rates(bandwidth=1e12, exchange=1e-9)
    for figures in ({"exchange": 1.0}, {"worker_bandwidth": 1e6}):
        rates = replace(quick, **figures)
        first, then, _ = best_exchange(sized, (1.0,) * 6, rates)
        reads = [sized[1].needed(box)[0] for _, box in then]
        found.append(Halos.of(first, reads, 64, "float32"))
    dear, slow = found
    assert dear.most == 2 < slow.most
    assert slow.moved.max() < dear.moved.max()


def test_the_grid_is_the_soonest_of_all():
    """Each run timed anew, every tile walked back at once."""
    stretch, speeds = network(1), (1.0, 2.0, 1.0, 0.5)
    sized = chains(stretch)
    rates = replace(RATES, bandwidth=1e6, worker_bandwidth=1e5, exchange=1e-3)

    def seconds(cut):
        total = 0.0
        for number, (one, tiles) in enumerate(zip(sized, cut, strict=True)):
            reads = [one.needed(box)[0] for _, box in tiles]
            channels = one.shapes[0][-1], one.shapes[-1][-1]
            asked = []
            for (worker, box), read in zip(tiles, reads, strict=True):
                spent = _seconds(one, box, rates) / speeds[worker]
                sizes = math.prod(map(len, read)), math.prod(map(len, box))
                sent, answer = (4 * n * c for n, c in zip(sizes, channels, strict=True))
                asked.append(TileCost(worker, sent, spent, answer))
            wait = None
            if number:
                before = cut[number - 1]
                wait = exchange_time(
                    before, reads, channels[0], "float32", rates, speeds
                )
            keeps = number + 1 < len(sized)
            total += exchange_chain_time(asked, rates, wait, keeps=keeps).total
        return total

    every = []
    for way in grids(1, 2, speeds):
        cut = [way.tiles(one.shapes[-1]) for one in sized]
        if None not in cut:
            every.append(seconds(cut))
    assert len(every) > 3
    best = best_exchange(sized, speeds, rates)
    assert seconds(best) == pytest.approx(min(every), rel=1e-5)


def _seconds(sized, box, rates):
    costs = OperationCosts(sized.program, sized.shapes)
    return sum(costs.seconds(sized.needed(box), sized.work(box), rates.engine))


def test_one_worker_has_all_where_nothing_can_be_cut():
    mean = Program((4,), 2, (GlobalAveragePool((0,), (), False),), ())
    sized = [SizedProgram(mean, [(1, 9, 9, 4)])]
    assert best_exchange(sized, (1.0, 2.0)) == (((1, whole(sized[0].shapes[-1])),),)
    pads = ((1, 1), (1, 1))
    operations = [Convolution((n,), (n,), (1, 1), (1, 1), pads) for n in range(2)]
    program = Program((4,), 2, tuple(operations), ((3, 3, 4, 4),) * 2)
    pixel = chains(stretch_of(program, (1, 1)))
    everything = ((0, whole((1, 1, 1, 4))),)
    assert best_exchange(pixel, (1.0,) * 5) == (everything, everything)


def test_teams_are_smaller_where_rows_do_not_suffice():
    stretch = deep(2)
    small = [SizedProgram(one.program, [(1, 2, 2, 64)]) for one in chains(stretch)]
    for tiles in best_exchange(small, (1.0,) * 9, Rates(bandwidth=1e12)):
        assert 2 <= len(tiles) <= 4


@pytest.mark.parametrize("size", [(60,), (9, 8, 7)])
def test_signals_and_volumes_too(size):
    axes = len(size)
    same = (1,) * axes, (1,) * axes, ((1, 1),) * axes
    operations = [Convolution((n,), (n,), *same) for n in range(3)]
    weights = ((*(3,) * axes, 8, 8),) * 3
    sized = chains(stretch_of(Program((8,), axes, tuple(operations), weights), size))
    for one, tiles in zip(
        sized, best_exchange(sized, (1.0,) * 6, Rates(bandwidth=1e12)), strict=True
    ):
        times = np.zeros(one.shapes[-1][:-1], int)
        for _, box in tiles:
            times[slices(box)] += 1
        assert (times == 1).all()
        assert [worker for worker, _ in tiles] == list(range(6))


def test_no_more_workers_than_may_exchange():
    found = grids(1, 2, (1.0,) * 1000)
    assert max(len(way.team) for way in found) <= MOST_EXCHANGING
    assert TileGrid((0, 1), (1.0, 1.0), 1).tiles((1, 1, 9, 4)) is None
    assert TileGrid((0, 1), (1.0, 1.0), 1).tiles((1, 9)) is None
    assert TileGrid((0, 1), (1.0, 1.0), (1, 2, 1)).tiles((1, 9)) is None
