"""Runs of chains whose workers exchange halos, and their tiles."""

import math
from itertools import pairwise

import numpy as np
import pytest

from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.forward.cuts import exchangeable
from fcdcc_keras.execution.forward.cutting import Cutting
from fcdcc_keras.partition.boxes import slices
from fcdcc_keras.partition.halos import halos
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.planning.chains.tile_time import Rates
from tests.execution.test_stretch import SIZE, stretch_of

NEAR_EACH_OTHER = Rates(bandwidth=1e9, exchange=1e-6)
LARGE = (256, 192)
"""Worth all the workers."""


def cutting(*chains, rates=NEAR_EACH_OTHER):
    """Each chain as where it ends, and whether halos of that are exchanged."""
    planned = [
        ChainPlan(to.rstrip("+"), place, exchange="+" in to) for to, place in chains
    ]
    return Cutting(StretchPlan("", "input", SIZE, tuple(planned)), stretch_of(), rates)


def cut(made, size, images, team):
    """Returns the chains of the first run, as they are cut for a team."""
    run, shape = made.runs[0], (images, *size, 3)
    return made.cuts(run, size, shape).look(team)[0].chains


def on_workers(*ends):
    return cutting(*((to, "workers") for to in ends))


def test_runs_of_exchanging_chains_are_by_themselves():
    made = cutting(
        ("first+", "workers"),
        ("pool", "workers"),
        ("sum", "workers"),
        ("scores", "client"),
    )
    found = [
        (run.name, run.numbers, run.exchange, run.distributed) for run in made.runs
    ]
    assert found == [
        ("first … pool", range(2), True, True),
        ("sum", range(2, 3), False, True),
        ("mean … scores", range(3, 4), False, False),
    ]
    whole = on_workers("first+", "pool+", "sum")
    assert [(run.numbers, run.exchange) for run in whole.runs] == [(range(3), True)]


@pytest.mark.parametrize("speeds", [(1.0,) * 5, (1.0, 0.5, 0.8, 1.1)])
@pytest.mark.parametrize("images", [1, 3])
def test_every_worker_has_one_tile_of_each_chain(speeds, images):
    made = on_workers("first+", "pool+", "sum")
    team = dict(zip("abcde", speeds, strict=False))
    chains = cut(made, LARGE, images, team)
    assert exchangeable(chains)
    for chain in chains:
        assert [tile.home for tile in chain.tiles] == list(team)
        times = np.zeros(chain.shape[:-1], int)
        for tile in chain.tiles:
            times[slices(tile.tile.output)] += 1
        assert (times == 1).all()
        first, second, *_ = (math.prod(map(len, t.tile.output)) for t in chain.tiles)
        assert second / first == pytest.approx(speeds[1], rel=0.1)


def test_whole_images_are_cut_where_there_are_enough_and_kept_all_the_way():
    made = on_workers("first+", "pool+", "sum")
    team = dict.fromkeys("abcde", 1.0)
    chains = cut(made, SIZE, 12, team)
    assert exchangeable(chains)
    for chain in chains:
        images = [tile.tile.output[0] for tile in chain.tiles]
        assert [image for each in images for image in each] == list(range(12))
        assert max(map(len, images)) == 3
        assert {tile.tile.output[1:] for tile in chain.tiles} == {
            tuple(map(range, chain.shape[1:-1]))
        }
    assert not [
        halo
        for before, after in pairwise(chains)
        for halo in halos(
            [one.tile.output for one in before.tiles],
            [one.tile.inputs[0] for one in after.tiles],
        )
        if halo.giver != halo.taker
    ]


def test_tiles_that_are_not_for_the_same_workers_cannot_be_exchanged():
    def cut_for(team):
        made = on_workers("first+", "pool")
        return cut(made, LARGE, 1, dict.fromkeys(team, 1.0))

    first, then = cut_for("ab")
    assert exchangeable([first, then])
    assert exchangeable([first])
    for team in ("cd", "ba", "a"):
        assert not exchangeable([first, cut_for(team)[1]])


def test_one_worker_keeps_it_all():
    made = on_workers("first+", "pool+", "sum")
    chains = cut(made, SIZE, 1, {"a": 1.0})
    assert [[tile.home for tile in chain.tiles] for chain in chains] == [["a"]] * 3
    assert exchangeable(chains)


@pytest.mark.parametrize(
    "ends",
    [("sum+", "scores"), ("first+", "pool+", "sum+", "scores"), ("mean+", "scores")],
)
def test_what_needs_all_that_there_is_cannot_be_exchanged(ends):
    with pytest.raises(PlanError, match="needs all that it reads"):
        on_workers(*ends)
    on_workers(*(to.rstrip("+") for to in ends))
