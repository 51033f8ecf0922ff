"""The time until enough workers have answered, against simulation."""

import math

import numpy as np
import pytest

from fcdcc_keras.planning.prediction import Latency, model_latency
from fcdcc_keras.planning.stragglers import (
    MeasuredTrace,
    NoStraggling,
    OnOff,
    Pareto,
    ShiftedExponential,
)
from fcdcc_keras.planning.waiting import Group, waiting

LIMIT = 60.0
MODELS = [
    ShiftedExponential(0.5),
    Pareto(2.0),
    OnOff(0.1, 10.0),
    OnOff(0.1, math.inf),
    MeasuredTrace((1.0, 1.1, 1.2, 4.0)),
]
ALL = pytest.mark.parametrize("model", MODELS, ids=str)


def simulated(model, needed, groups, passes=40_000):
    """Draws every worker's slowdown, and waits for the answers."""
    rng, times = np.random.default_rng(7), []
    for group in groups:
        slowdowns = model.sample(rng, (passes, group.workers))
        times.append(group.after + group.fixed + group.work * slowdowns)
    answers = np.sort(np.concatenate(times, axis=1), axis=1)
    return np.minimum(answers[:, needed - 1], LIMIT)


@ALL
@pytest.mark.parametrize(
    ("needed", "groups"),
    [
        (4, [Group(6, 0.01, 0.05)]),
        (16, [Group(20, 0.01, 0.05)]),
        (4, [Group(4, 0.01, 0.05), Group(2, 0.01, 0.05, after=0.125)]),  # hedged
    ],
    ids=["eager", "twenty", "hedged"],
)
def test_order_statistics_agree_with_simulation(model, needed, groups):
    law, drawn = waiting(model, needed, groups, LIMIT), simulated(model, needed, groups)
    # Of infinite delays few are drawn: their mean is the less certain.
    error = 4 * drawn.std() / math.sqrt(len(drawn))
    assert law.mean == pytest.approx(drawn.mean(), abs=error + 0.002 * drawn.mean())
    for p in (0.1, 0.5, 0.9, 0.99):
        assert np.mean(drawn <= law.quantile(p) * (1 + 1e-6)) >= p - 0.01
        assert np.mean(drawn < law.quantile(p) * (1 - 2e-3)) <= p + 0.01


def test_the_mean_of_exponential_delays_is_a_difference_of_harmonic_numbers():
    # E of the δ-th of n exponentials is H_n − H_{n−δ}.
    law = waiting(ShiftedExponential(1.0), 4, [Group(6, 0.0, 1.0)], LIMIT)
    assert law.mean == pytest.approx(1 + sum(1 / k for k in range(3, 7)), rel=1e-3)


def test_many_workers_are_counted():
    law = waiting(Pareto(2.0), 900, [Group(1000, 0.0, 1.0)], LIMIT)
    # Nearly the quantile of 0.9.
    assert law.mean == pytest.approx(0.1**-0.5, rel=0.01)


def test_nobody_is_waited_for_longer_than_the_limit():
    law = waiting(OnOff(1.0, math.inf), 1, [Group(3, 0.0, 1.0)], LIMIT)
    assert law.mean == law.quantile(0.01) == LIMIT


@pytest.mark.parametrize("model", [ShiftedExponential(0.5), OnOff(0.3, 4.0)], ids=str)
def test_a_pass_is_simulated_too(model):
    works, n, needed, rng = (0.02, 0.05, 0.03), 4, 3, np.random.default_rng(3)
    laws = [waiting(model, needed, [Group(n, 0.01, w)], LIMIT) for w in works]
    layers = [Latency(w, law.mean, 0.0) for w, law in zip(works, laws, strict=True)]
    layers = [
        Latency(each.usual, each.expected, float(law.quantile(0.99)))
        for each, law in zip(layers, laws, strict=True)
    ]
    found = model_latency(layers, laws, 0.1, lasting=model.lasting)
    shape = (20_000, 1 if model.lasting else len(works), n)
    slowdowns = np.sort(model.sample(rng, shape), axis=2)[:, :, needed - 1]
    drawn = 0.1 + (0.01 + np.asarray(works) * slowdowns).sum(axis=1)
    assert found.expected == pytest.approx(drawn.mean(), rel=0.01)
    assert found.p99 == pytest.approx(np.quantile(drawn, 0.99), rel=0.03)


def test_without_stragglers_nothing_varies():
    law = waiting(NoStraggling(), 4, [Group(6, 0.01, 0.05)], LIMIT)
    assert law.mean == pytest.approx(0.06)
    assert law.quantile(0.99) == pytest.approx(0.06)
