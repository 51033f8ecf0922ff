"""A chain's time as tiles, by hand; with stragglers, by drawing lots."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fcdcc_keras.dispatch.health import Pace
from fcdcc_keras.planning import NoStraggling
from fcdcc_keras.planning.chains.law import chain_law, power
from fcdcc_keras.planning.chains.tile_time import ChainTime, Rates, TileCost, chain_time
from fcdcc_keras.planning.stragglers import OnOff, Pareto, ShiftedExponential

RATES = Rates(bandwidth=10.0, round_trip=0.5)
TWO = [TileCost(0, 20.0, 5.0, 10.0), TileCost(1, 30.0, 5.0, 10.0)]


def test_sending_computing_and_receiving_overlap():
    # Up: until 2 and 5 s. Computed: until 7 and 10. Down: until 8 and 11.
    time = chain_time(TWO, RATES)
    assert (time.total, time.work) == (11.5, 5.0)
    # One worker computes both: until 7 and 12.
    one = [replace(tile, worker=0) for tile in TWO]
    assert chain_time(one, RATES) == ChainTime(13.5, 10.0, 3.5)


@pytest.mark.parametrize(
    ("figures", "total"),
    [
        # Up: until 4 and 8 s, for the workers' own links are slower.
        ({"worker_bandwidth": 5.0}, 0.5 + 8 + 5 + 2),
        ({"call": 1.0}, 12.5),
        ({"head_start": 4.0}, 7.5),
        ({"message": 0.25}, 11.75),  # before the first; the second waits for the link
        ({"copying": 10.0}, 0.5 + 5 + 3 + 5 + 1 + 1),
    ],
)
def test_each_figure_counts(figures, total):
    assert chain_time(TWO, replace(RATES, **figures)).total == pytest.approx(total)


def test_copies_take_the_link_and_the_workers():
    time = chain_time(TWO, RATES, copies=2)
    # Both are computed until 10; then each worker ends what it began: until 15.
    assert time.total == 15.5
    slow = replace(RATES, bandwidth=2.0)
    assert chain_time(TWO, slow, copies=3).total == 0.5 + 25 + 2 * 25


TIME = ChainTime(total=1.3, work=1.0, around=0.2)
LAWS = [ShiftedExponential(0.5), Pareto(2.5), OnOff(0.2, 8.0)]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("hedged", [True, False])
def test_the_law_is_that_of_lots(law, hedged):
    found = chain_law(TIME, 5, law, hedged=hedged, stragglers=2, workers=6)
    rng, draws = np.random.default_rng(0), 40_000
    late = Pace(1.2, 0.0, 0.0).late_after
    copies = 6 if hedged else 3
    drawn = law.sample(rng, (draws, 5, copies))
    number = np.arange(copies)
    ends = 0.2 + (number * late + drawn if hedged else (number + 1) * drawn)
    seconds = 0.1 + ends.min(axis=2).max(axis=1)
    assert found.mean == pytest.approx(seconds.mean(), rel=0.02)
    for part in (0.5, 0.9):
        assert found.quantile(part) == pytest.approx(
            np.quantile(seconds, part), rel=0.03
        )


def test_nobody_straggles():
    law = chain_law(TIME, 5, NoStraggling(), hedged=True, stragglers=2, workers=6)
    assert (law.mean, law.quantile(0.99)) == (1.3, 1.3)


def test_a_worker_that_hangs_is_not_waited_for():
    hung = chain_law(
        TIME, 5, OnOff(0.1, math.inf), hedged=True, stragglers=1, workers=6
    )
    assert 1.3 < hung.mean < 3.0
    assert hung.quantile(0.99) < 7.0


def test_power_is_what_workers_get_done():
    assert power((1.0, 0.5), NoStraggling()) == 1.5
    assert power((1.0, 1.0), OnOff(0.25, math.inf)) == pytest.approx(1.5)
    assert power((1.0, 1.0), OnOff(0.5, 2.0)) == pytest.approx(1.5)
