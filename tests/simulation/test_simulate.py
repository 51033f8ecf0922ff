"""What must hold of every simulation, whatever the devices and the chances."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from fcdcc_keras.dispatch.crew import LOOK_EVERY, PING_TIMEOUT
from fcdcc_keras.errors import FcdccError, NotEnoughWorkersError, PlanError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Calibration, Plan, Prices, layer_cost, plan_layer
from fcdcc_keras.planning.layer_time import layer_time
from fcdcc_keras.planning.objective import Objective
from fcdcc_keras.planning.stragglers import (
    NoStraggling,
    OnOff,
    Pareto,
    ShiftedExponential,
)
from fcdcc_keras.simulation import Death, run, simulate, sketch

pytest.importorskip("simpy")

LAWS = {
    "none": NoStraggling(),
    "exponential": ShiftedExponential(2.0),
    "pareto": Pareto(1.5),
    "onoff": OnOff(0.2, 20.0, 0.05),
}


def test_the_same_seed_gives_the_same_and_another_does_not(plan_for, device):
    def once(seed):
        law = ShiftedExponential(1.0)
        return simulate(plan_for(8, 2), device, law, passes=5, seed=seed)

    assert once(3) == once(3)
    assert once(3).latencies != once(4).latencies


@pytest.mark.parametrize("redundancy", ["eager", "hedged", "speculative"])
@pytest.mark.parametrize("law", LAWS)
def test_every_part_ends_as_used_late_or_lost(law, redundancy, plan_for, device):
    speculative = redundancy == "speculative"
    plan = plan_for(9, 0, "uncoded") if speculative else plan_for(9, 2)
    deaths = [Death(4, at=0.02, noticed=0.05)]
    found = simulate(
        plan, device, LAWS[law], passes=6, redundancy=redundancy, deaths=deaths
    )
    needed = [layer.code.recovery_threshold for layer in plan.layers]
    assert found.subtasks == found.used + found.late + found.lost
    assert found.used == 6 * sum(needed)
    assert found.lost >= 1
    assert len(found.latencies) == 6
    for layer in found.layers:  # of one micro-batch each
        split = asdict(layer)
        total = split.pop("total")
        del split["path"]
        assert sum(split.values()) == pytest.approx(total)
        assert min(split.values()) >= 0


def costs(plan):
    return [layer_cost(la.geometry, la.code, Prices()) for la in plan.layers]


@pytest.mark.parametrize("stragglers", [0, 2])
def test_what_is_sent_is_that_of_the_cost_model(stragglers, plan_for, device, layers):
    plan = plan_for(8, stragglers, layers=layers[:1])
    # Whoever's answer is still on its way is sent nothing: the pause is for that.
    found = simulate(plan, device, passes=3, pause=1.0)
    answers = sum(
        cost.download / layer.code.recovery_threshold
        for cost, layer in zip(costs(plan), plan.layers, strict=True)
    )
    assert found.bytes_sent == 3 * 8 * 4 * sum(cost.upload for cost in costs(plan))
    assert found.bytes_received == pytest.approx(3 * 8 * 4 * answers)
    assert found.bytes_placed == 0


@pytest.mark.parametrize("stragglers", [0, 3])
def test_without_stragglers_it_takes_what_the_model_says(
    stragglers, plan_for, device, layers
):
    plan = plan_for(8, stragglers, layers=layers[: 1 if stragglers else 2])
    found = simulate(plan, device, passes=2, between=0.5, pause=1.0)
    times = [layer_time(la.geometry, la.code, device) for la in plan.layers]
    assert {time.bands for time in times} == {1}
    expected = 0.5 + sum(float(time.total()) for time in times)
    assert found.median == pytest.approx(expected, rel=1e-9)
    for layer, time in zip(found.layers, times, strict=True):
        assert layer.encode == pytest.approx(time.encode)
        sooner = time.convolution - time.head_start
        assert layer.convolution == pytest.approx(sooner)
        assert layer.decode == pytest.approx(time.decode)


def test_micro_batches_overlap_as_the_model_says(device):
    geometry = ConvGeometry((64, 64), 64, 64, (3, 3), padding="same")
    plan = sketch([("large", geometry)], device, workers=4, stragglers=1)
    time = layer_time(geometry, plan.layers[0].code, device)
    assert time.bands > 1
    found = simulate(plan, passes=1).median
    one_after_another = (
        time.total() + (time.bands - 1) * (time.total() - time.fixed) / time.bands
    )
    # The model has them keep pace with the slowest stage exactly.
    assert found == pytest.approx(float(time.total()), rel=0.1)
    assert found < one_after_another


@pytest.mark.parametrize("law", [ShiftedExponential(0.7), Pareto(2.5)], ids=str)
@pytest.mark.parametrize("stragglers", [0, 3])
def test_the_latencies_are_order_statistics(law, stragglers, plan_for, computing):
    plan = plan_for(12, stragglers)
    plan = replace(plan, layers=plan.layers[:1])
    layer, passes = plan.layers[0], 400
    # What is late ends in the pause: so that all answer to each pass.
    found = simulate(plan, computing, law, passes=passes, seed=1, pause=1e3)
    objective = Objective(calibration=computing, straggling=law)
    predicted = objective.wait(layer.geometry, layer.code, 4, False)
    below = np.interp(found.latencies, predicted.seconds, predicted.cdf)
    # Uniform, then: Kolmogorov's bound, exceeded once in 1000 times.
    ranks = np.arange(1, passes + 1) / passes
    assert np.abs(np.sort(below) - ranks).max() < 1.95 / math.sqrt(passes)
    # The median in particular, within 3.3 standard deviations of its rank.
    ranks = passes / 2 + np.array([-1.65, 1.65]) * math.sqrt(passes)
    low, high = np.sort(found.latencies)[ranks.astype(int)]
    assert low < predicted.quantile(0.5) < high


def test_a_plan_with_certificates_is_simulated_as_well(device):
    geometry = ConvGeometry((16, 16), 8, 32, (3, 3), padding="same")
    plan = Plan("m", 6, 2, (plan_layer("a", geometry, workers=6, stragglers=2),))
    found = simulate(plan, device, ShiftedExponential(1.0), passes=4)
    assert found.used == 4 * plan.layers[0].code.recovery_threshold
    read = json.loads(found.to_json())
    assert read["latencies"] == list(found.latencies)
    assert read["percentiles"]["p50"] == found.median
    assert "4 passes over 6 workers" in str(found)


def test_a_thousand_workers_take_few_events_each(plan_for, device):
    plan = plan_for(1000, 100)
    found = simulate(plan, device, ShiftedExponential(0.5), passes=2)
    assert found.subtasks >= 2 * 2 * 900
    # Per part: its start and end, each way through the links, the convolution.
    assert found.events <= 8 * found.subtasks + 100


def test_slowed_workers_within_the_redundancy_cost_nothing(plan_for, computing):
    plan = plan_for(8, 2)
    alone = simulate(plan, computing, passes=5)
    slowed = simulate(plan, computing, passes=5, slowed={0: 10.0, 5: math.inf})
    assert slowed.latencies == pytest.approx(alone.latencies)
    # The stopped one is sent nothing more, the slow one only what it has time for.
    assert slowed.subtasks < alone.subtasks
    assert slowed.subtasks == slowed.used + slowed.late


def test_parts_of_too_many_stopped_workers_go_to_those_that_answer(plan_for, computing):
    plan = plan_for(8, 2)
    slowed = dict.fromkeys(range(1, 8), math.inf)
    found = simulate(plan, computing, slowed=slowed, passes=2)
    # The first layer waits until they are asked, and have not answered.
    assert found.layers[0].waiting > 0
    assert found.bytes_placed > 0
    assert found.latencies[0] >= LOOK_EVERY + PING_TIMEOUT > found.latencies[1]


def test_only_stopped_workers_are_an_error(plan_for, computing):
    slowed = dict.fromkeys(range(8), math.inf)
    with pytest.raises(NotEnoughWorkersError, match="stopped for good"):
        simulate(plan_for(8, 2), computing, slowed=slowed)


def test_without_a_code_the_slowest_decides(plan_for, computing, layers):
    plan = plan_for(8, 0, "uncoded", layers[:1])
    usual = simulate(plan, computing).median
    waiting = simulate(plan, computing, slowed={3: 10.0})
    copying = simulate(plan, computing, slowed={3: 10.0}, redundancy="speculative")
    assert waiting.median == pytest.approx(10 * usual)
    # A copy is launched at 3 times the usual, and takes the usual time.
    assert copying.latencies[0] == pytest.approx(4 * usual)
    assert copying.used == waiting.used
    assert copying.subtasks == copying.used + copying.late


def test_hedging_sends_to_as_many_as_needed_once_their_pace_is_known(plan_for, device):
    plan = plan_for(8, 2)
    needed = sum(layer.code.recovery_threshold for layer in plan.layers)
    found = simulate(plan, device, passes=4, redundancy="hedged")
    assert found.subtasks == 8 * len(plan.layers) + 3 * needed
    stopped = simulate(
        plan, device, OnOff(0.1, 50.0, 0.02), passes=4, redundancy="hedged", seed=1
    )
    assert stopped.subtasks > found.subtasks
    assert max(layer.waiting for layer in stopped.layers) > 0


@pytest.mark.parametrize("noticed", [0.0, 1.5])
def test_the_parts_of_the_dead_go_to_others_below_the_threshold(
    noticed, plan_for, device
):
    plan = plan_for(8, 2)
    missing = [Death(w, 1e-3, noticed) for w in range(4)]
    found = simulate(plan, device, passes=4, deaths=missing)
    alone = simulate(plan, device, passes=4)
    assert found.used == alone.used
    assert found.lost >= 4
    # As many shares of every layer as are missing, and no more.
    shares = [
        max(0, layer.code.recovery_threshold - 4) * cost.storage * 4
        for cost, layer in zip(costs(plan), plan.layers, strict=True)
    ]
    assert found.bytes_placed == sum(shares)
    assert found.latencies[0] >= alone.latencies[0] + noticed
    assert found.latencies[-1] < found.latencies[0]


def test_deaths_within_the_redundancy_are_not_waited_for(plan_for, computing):
    plan = plan_for(8, 2)
    deaths = [Death(0, 0.0, noticed=1e6), Death(7, 0.0, noticed=1e6)]
    found = simulate(plan, computing, passes=3, deaths=deaths)
    assert found.latencies == pytest.approx(simulate(plan, computing).latencies[:3])
    assert found.lost == 2


@pytest.mark.parametrize("redundancy", ["eager", "speculative"])
def test_nobody_left_is_an_error(redundancy, plan_for, device):
    deaths = [Death(w, 1e-3 * (w + 1)) for w in range(4)]
    plan = plan_for(4, 0, "uncoded")
    with pytest.raises(NotEnoughWorkersError, match="Received: "):
        simulate(plan, device, deaths=deaths, redundancy=redundancy)


def test_without_a_code_dead_workers_parts_are_computed_by_others(plan_for, device):
    plan = plan_for(6, 0, "uncoded")
    for redundancy in ("eager", "speculative"):
        found = simulate(
            plan, device, passes=3, deaths=[Death(2, 0.01)], redundancy=redundancy
        )
        assert found.used == 3 * 6 * len(plan.layers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"passes": 0}, "passes=0"),
        ({"redundancy": "none"}, "redundancy='none'"),
        ({"redundancy": "speculative"}, "code='uncoded'"),
        ({"slowed": {8: 2.0}}, "8: 2.0"),
        ({"slowed": {0: 0.0}}, "0: 0.0"),
        ({"deaths": [Death(8, 1.0)]}, "worker=8"),
        ({"between": -1.0}, "between=-1"),
    ],
)
def test_impossible_numbers_are_errors(options, message, plan_for, device):
    with pytest.raises(PlanError, match=message):
        simulate(plan_for(8, 2), device, **options)


def test_a_plan_without_figures_needs_some():
    geometry = ConvGeometry((16, 16), 8, 32, (3, 3), padding="same")
    plan = Plan("m", 6, 2, (plan_layer("a", geometry, workers=6, stragglers=2),))
    with pytest.raises(PlanError, match=r"fk\.calibrate"):
        simulate(plan)


def test_a_death_before_the_beginning_is_an_error():
    with pytest.raises(PlanError, match="at=-1"):
        Death(0, at=-1.0)


def test_replication_is_not_simulated(device):
    geometry = ConvGeometry((16, 16), 8, 32, (3, 3), padding="same")
    layer = plan_layer("a", geometry, workers=4, stragglers=1, code="replication")
    with pytest.raises(PlanError, match="any δ answers"):
        simulate(Plan("m", 4, 1, (layer,)), device)


def test_simpy_missing_is_said(plan_for, device, monkeypatch):
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    with pytest.raises(FcdccError, match=r"fcdcc-keras\[simulate\]"):
        simulate(plan_for(8, 2), device)


def test_a_device_of_infinite_links_needs_no_time_for_them(plan_for):
    device = Calibration(1e-9, math.inf, 1e9, 1e30, 1e30)
    found = simulate(plan_for(8, 2), device, passes=1)
    assert all(layer.transport < 1e-8 for layer in found.layers)
