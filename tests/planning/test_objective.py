"""Choosing by latency, within a worker's memory, and how long it takes."""

import json
from dataclasses import replace

import keras
import pytest

import fcdcc_keras as fk
from fcdcc_keras.codes import CRME
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Objective, plan_layer
from fcdcc_keras.planning.devices import PROFILES
from fcdcc_keras.planning.layer_plan import held
from fcdcc_keras.planning.layer_time import layer_time
from fcdcc_keras.planning.search import landscape
from fcdcc_keras.planning.stragglers import OnOff, ShiftedExponential

PI = PROFILES["pi4"]
MIDDLE = ConvGeometry((56, 56), 128, 128, (3, 3), padding="same")
LARGE = ConvGeometry((224, 224), 64, 64, (3, 3), padding="same")
LATE = ConvGeometry((14, 14), 512, 512, (3, 3), padding="same")


def model():
    inputs = keras.Input((56, 56, 16))
    x = keras.layers.Conv2D(64, 3, padding="same", name="early")(inputs)
    x = keras.layers.MaxPooling2D(4)(x)
    x = keras.layers.Conv2D(256, 3, padding="same", name="late")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="top")(x), name="small")


def planned(**options):
    return fk.plan(model(), workers=6, stragglers=2, **{"calibration": PI, **options})


def test_each_figure_of_a_device_makes_layers_faster():
    code = CRME(4, 4, 6)
    before = layer_time(MIDDLE, code, PI).total()
    for field in (
        "bandwidth",
        "worker_rate",
        "coding_rate",
        "worker_bandwidth",
        "kernel_rate",
    ):
        better = replace(PI, **{field: 2 * getattr(PI, field)})
        assert layer_time(MIDDLE, code, better).total() < before
    for field in ("latency", "message"):
        better = replace(PI, **{field: getattr(PI, field) / 2})
        assert layer_time(MIDDLE, code, better).total() < before


def test_large_layers_overlap_their_stages():
    code = CRME(8, 1, 6)
    far, near = (layer_time(LARGE, code, replace(PI, near=near)) for near in (0, 1))
    assert (far.bands, near.bands) == (4, 1)
    assert far.total() < near.total()
    # No sooner than the longest stage.
    assert far.total() > max(far.convolution, far.upload, far.download)
    assert far.total(10.0) > 10 * far.convolution


def test_a_kernel_that_is_ordered_at_every_call_is_cut_instead():
    fast = Objective(calibration=replace(PI, kernel_rate=1e12), by="latency")
    slow = Objective(calibration=replace(PI, kernel_rate=1e8), by="latency")
    held_fast, held_slow = (
        plan_layer("x", LATE, workers=6, stragglers=2, objective=o).cost.storage
        for o in (fast, slow)
    )
    assert held_slow < held_fast


def test_the_choice_has_the_least_latency_of_all_splits():
    objective = Objective(calibration=PI, by="latency")
    chosen = plan_layer("x", MIDDLE, workers=6, stragglers=2, objective=objective)
    ranks = landscape(MIDDLE, workers=6, stragglers=2, objective=objective)
    least = min(rank for rank, _ in ranks.values())
    assert chosen.latency.expected <= 1.05 * least


def test_plans_tell_how_long_they_take_and_are_stored():
    plan = planned(straggling=ShiftedExponential(0.5))
    assert 0 < plan.latency.usual < plan.latency.expected < plan.latency.p99
    inside = sum(layer.latency.expected for layer in plan.layers)
    rest = plan.client.seconds(PI)
    assert plan.latency.expected == pytest.approx(inside + rest)
    assert rest > 0
    again = fk.Plan.from_json(plan.to_json())
    assert again == plan
    json.loads(plan.to_json(), parse_constant=pytest.fail)
    assert "expected ms" in str(plan)
    assert "99% within" in str(plan)


def test_nothing_is_predicted_of_an_unknown_cluster():
    plan = fk.plan(model(), workers=6)
    assert plan.latency is None
    assert "expected ms" not in str(plan)
    with pytest.raises(fk.PlanError, match=r"latency.*Received: no calibration"):
        fk.plan(model(), workers=6, objective="latency")


def test_the_policy_is_chosen_where_it_is_left_open():
    def hedged(calibration, **options):
        goal = Objective(calibration=calibration, by="latency", **options)
        common = {"workers": 6, "stragglers": 2, "hedged": None, "objective": goal}
        return {plan_layer("x", g, **common).hedged for g in (MIDDLE, LATE)}

    # Sending to all costs most.
    assert hedged(replace(PI, bandwidth=1e6)) == {True}
    # Hardly anything to send, and often somebody to wait for.
    wire = replace(PI, bandwidth=1e12, worker_bandwidth=1e12, message=0)
    assert hedged(wire, straggling=OnOff(0.2, 20.0)) == {False}


def test_shares_are_made_to_fit_the_memory():
    free = planned()
    limit = 0.6 * held(free.layers)
    tight = planned(memory_limit=limit)
    assert held(tight.layers) <= limit
    assert tight.layers != free.layers
    assert planned(memory_limit=held(free.layers)) == free


def test_what_cannot_fit_says_how_much_it_takes():
    with pytest.raises(fk.PlanError, match=r"limit of 10 kB.*they take \d.*at least"):
        planned(memory_limit=1e4)
    small = replace(PI, worker_memory=1e4)
    with pytest.raises(fk.PlanError, match=r"limit of 10 kB"):
        planned(calibration=small)
