"""Simulated chains: what the planner predicts, by the same rules as when they run."""

import math
from dataclasses import replace

import pytest

from fcdcc_keras.errors import NotEnoughWorkersError
from fcdcc_keras.planning import Plan
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.planning.stragglers import OnOff, ShiftedExponential
from fcdcc_keras.simulation import Death, simulate

pytest.importorskip("simpy")


def planned(device, workers=6, stragglers=2, hedged=True, chains=2, parts=None):
    found = tuple(
        ChainPlan(
            f"layer_{number}",
            "workers",
            hedged,
            upload=600_000,
            download=300_000,
            seconds=0.1,
            parts=parts or workers,
        )
        for number in range(chains)
    )
    stretch = StretchPlan("", "input", (224, 224), found)
    return Plan(
        "model", workers, stragglers, (), calibration=device, stretches=(stretch,)
    )


def test_one_chain_takes_what_its_stages_take(computing, device):
    # Nothing takes time but the workers.
    found = simulate(planned(computing, chains=1), passes=3)
    assert found.latencies == pytest.approx([0.1] * 3)
    assert (found.subtasks, found.used, found.late) == (18, 18, 0)
    found = simulate(planned(device, chains=1), passes=3)
    sent, received = 600_000 / 20e6, 300_000 / 20e6
    most = sent + received + 0.1 + device.call + 6 * device.message + device.latency
    assert 0.1 < found.median < 1.3 * most
    assert found.bytes_sent == 3 * 600_000
    assert found.bytes_received == 3 * 300_000


def test_chains_that_follow_each_other_overlap(device):
    law = ShiftedExponential(5.0)
    options = {"straggling": law, "passes": 40}
    together = simulate(planned(device, chains=2), **options)
    alone = simulate(planned(device, chains=1), **options)
    assert together.median < 2 * alone.median
    assert together.used == 2 * alone.used


def test_halos_cross_no_link_of_the_client(computing):
    # Nothing takes time but the workers, and what they exchange.
    able = replace(computing, exchange=0.01, worker_bandwidth=1e6)
    plan = planned(able, chains=3)
    (stretch,) = plan.stretches
    first, second, last = stretch.chains
    kept = {"exchange": True, "download": 0}
    read = {"upload": 0, "exchanged": 60_000, "halos": 2}
    chains = (
        replace(first, **kept, upload=0),
        replace(second, **kept, **read),
        replace(last, **read, download=0),
    )
    plan = replace(plan, stretches=(replace(stretch, chains=chains),))
    found = simulate(plan, passes=3)
    exchange = 2 * 0.01 + 2 * 10_000 / 1e6  # of each 10 kB go, and come
    assert found.latencies == pytest.approx([3 * 0.1 + 2 * exchange] * 3)
    assert (found.subtasks, found.bytes_sent, found.bytes_received) == (18, 0, 0)
    stopped = simulate(plan, passes=12, slowed={0: math.inf})
    assert stopped.latencies[-1] < 2 * found.median


@pytest.mark.parametrize("hedged", [True, False])
def test_who_is_stopped_costs_no_more_than_a_copy(device, hedged):
    well = simulate(planned(device, hedged=hedged), passes=12)
    stopped = simulate(planned(device, hedged=hedged), passes=12, slowed={0: math.inf})
    assert stopped.used == well.used
    assert stopped.latencies[-1] < 3 * well.median
    # Until it is known how long they take, or that it does not answer, one waits.
    assert max(stopped.latencies[2:]) < 3 * well.median
    if not hedged:
        assert well.subtasks == 3 * well.used  # two more copies of each


def test_the_slow_get_less(device):
    slow = simulate(planned(device), passes=12, slowed={3: 10.0})
    well = simulate(planned(device), passes=12)
    assert slow.latencies[-1] < 3 * well.median


def test_copies_pay_where_workers_straggle(device):
    law = OnOff(0.1, 10.0, 2.0)
    hedged = simulate(planned(device), straggling=law, passes=60)
    # Who waits for all ten times slower ones takes ten times as long.
    assert hedged.percentile(90) < 6 * 0.2


def test_the_dead_are_done_without_and_all_of_them_cannot_be(device):
    deaths = [Death(worker, at=0.05, noticed=0.1) for worker in range(5)]
    found = simulate(planned(device), passes=4, deaths=deaths)
    assert found.lost >= 1
    assert found.subtasks == found.used + found.late + found.lost
    everybody = [*deaths, Death(5, at=0.05, noticed=0.1)]
    with pytest.raises(NotEnoughWorkersError, match="all its tiles"):
        simulate(planned(device), passes=4, deaths=everybody)


def test_thousands_of_workers(device):
    plan = planned(device, workers=3000, stragglers=300, parts=240)
    found = simulate(plan, straggling=OnOff(0.01, 10.0, 1.0), passes=2)
    assert found.used == 2 * 2 * 240
    assert found.events < 24_000
