"""Plans by time: chains over workers or here, coded layers between, or nothing."""

import json
import math
from dataclasses import replace

import keras
import pytest

import fcdcc_keras as fk
from fcdcc_keras.planning.devices import PROFILES
from fcdcc_keras.planning.prediction import Calls
from fcdcc_keras.planning.stragglers import OnOff
from fcdcc_keras.rewriting.graph.stretches import sites
from fcdcc_keras.rewriting.options import complete
from fcdcc_keras.rewriting.planners.stretch import plan_stretch_at_call

SLOW = fk.Calibration(
    latency=1e-3,
    bandwidth=1e8,
    worker_rate=1e8,
    client_rate=1e8,
    coding_rate=1e9,
    client_memory_rate=1e8,
    client_operation=1e-3,
)
"""Boards whose link is fast for them."""
FAR = replace(SLOW, latency=100.0)
"""Workers that are too far away for anything."""


def model(side=32, filters=32):
    conv, inputs = keras.layers.Conv2D, keras.Input((side, side, 3), name="image")
    x = conv(filters, 3, padding="same", activation="relu", name="first")(inputs)
    x = conv(filters, 3, padding="same", name="second")(x)
    x = keras.layers.BatchNormalization(name="scaled")(x)
    x = keras.layers.ReLU(name="rectified")(x)
    x = keras.layers.MaxPooling2D(name="pooled")(x)
    x = conv(filters, 3, padding="same", name="third")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="top")(x), name="small")


def planned(of=None, **options):
    common = {"workers": 4, "calibration": SLOW, "objective": "latency"}
    return fk.plan(of or model(), **{**common, **options})


def test_stretches_are_chains_where_that_is_sooner():
    plan = planned()
    (stretch,) = plan.stretches
    assert (stretch.graph, stretch.size) == ("", (32, 32))
    assert {chain.place for chain in stretch.chains} >= {"workers"}
    assert stretch.chains[0].hedged
    assert (plan.layers, plan.not_coded, plan.at_call) == ((), (), ())
    assert plan.pays
    assert plan.uses_workers
    expected = sum(chain.latency.expected for chain in stretch.chains)
    assert plan.latency.expected == pytest.approx(expected, rel=1e-3)
    assert plan.latency.expected < plan.alone.keras / 2
    text = str(plan)
    assert "workers, hedged" in text
    ratio = plan.alone.keras / plan.latency.expected
    assert text.endswith(f"over 4 workers it is {ratio:.2f} times as fast\n")


def test_a_plan_with_stretches_is_stored():
    plan = planned(straggling=OnOff(0.1, math.inf), stragglers=2)
    assert plan.latency.usual < plan.latency.expected < plan.latency.p99 < 60
    again = fk.Plan.from_json(plan.to_json())
    assert again == plan
    json.loads(plan.to_json(), parse_constant=pytest.fail)
    for wrong in (
        {"stretches": [{"graph": ""}]},
        {"stretches": [5]},
        {"stretches": [{**plan.stretches[0].to_dict(), "chains": []}]},
        {"stretches": [{**plan.stretches[0].to_dict(), "chains": [{"to": "x"}]}]},
        {"alone": {"keras": "1"}},
        {"images_per_second": "3"},
        {"stretches_at_call": [["x", 1]]},
    ):
        text = json.dumps({**json.loads(plan.to_json()), **wrong})
        with pytest.raises(fk.PlanError, match="Received"):
            fk.Plan.from_json(text)
    chain = {**plan.stretches[0].chains[0].to_dict(), "place": "moon"}
    stretch = {**plan.stretches[0].to_dict(), "chains": [chain]}
    text = json.dumps({**json.loads(plan.to_json()), "stretches": [stretch]})
    with pytest.raises(fk.PlanError, match="place='moon'"):
        fk.Plan.from_json(text)


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_nothing_pays(objective):
    plan = planned(calibration=FAR, objective=objective)
    assert not plan.pays
    assert (plan.layers, plan.stretches) == ((), ())
    assert [path for path, _ in plan.not_coded] == ["first", "second", "third"]
    assert "the client takes" in dict(plan.not_coded)["second"]
    assert plan.latency.expected == pytest.approx(plan.alone.keras, rel=1e-5)
    assert "Nothing pays here: over 4 workers no part" in str(plan)
    assert fk.Plan.from_json(plan.to_json()) == plan


def test_the_clients_own_engine_may_be_the_best_of_all():
    plan = planned(calibration=replace(FAR, engine_rate=1e9))
    (stretch,) = plan.stretches
    assert [chain.place for chain in stretch.chains] == ["client"]
    assert plan.pays
    assert not plan.uses_workers
    assert plan.alone.engine < plan.alone.keras
    assert "Workers do not pay here" in str(plan)


@pytest.mark.parametrize(
    ("slower", "call", "directly"),
    [(0.9, 0.0, False), (0.9, 1.0, True), (0.1, 1.0, False), (0.1, 100.0, True)],
)
def test_what_calls_take_decides_between_keras_and_the_clients_engine(
    slower, call, directly
):
    able = replace(
        FAR,
        client_call=call,
        client_variable=call / 10,
        engine_rate=slower * FAR.client_rate,
        engine_memory_rate=slower * FAR.client_memory_rate,
        engine_operation=FAR.client_operation / slower,
    )
    of = model()
    plan, calls = planned(of, calibration=able), Calls.of(able, len(of.variables))
    assert plan.pays == directly
    assert not plan.uses_workers
    keras_s = replace(able, client_call=0.0, client_variable=0.0, engine_rate=0.0)
    expected = planned(of, calibration=keras_s).alone.keras + calls.keras
    assert plan.alone.keras == pytest.approx(expected, rel=1e-5)
    if directly:
        expected = plan.alone.engine + calls.directly
    assert plan.latency.expected == pytest.approx(expected, rel=1e-3)
    # A part of a larger model is called by Keras, whoever computes it.
    inputs = keras.Input((32, 32, 3))
    larger = keras.Model(inputs, [of(inputs), keras.ops.mean(inputs)])
    assert not planned(larger, calibration=able).pays


def test_calls_of_keras_take_time_however_layers_are_computed():
    able = replace(SLOW, client_call=0.5, client_variable=0.25)
    of, price = model(), {"objective": "price"}
    added = 0.5 + 0.25 * len(of.variables)
    for options in ({}, price):
        without, there = (
            planned(of, calibration=one, **options) for one in (SLOW, able)
        )
        assert there.alone.keras == pytest.approx(without.alone.keras + added)
        latency = there.latency.expected - without.latency.expected
        if options is price:
            assert latency == pytest.approx(added)
        else:
            directly = Calls.of(able, len(of.variables)).directly
            assert latency == pytest.approx(directly, rel=0.01)


def test_images_are_shared_out_whole_for_throughput():
    plan = planned(objective="throughput")
    (stretch,) = plan.stretches
    (chain,) = stretch.chains
    assert (stretch.exit, chain.tiles) == ("top", (1,))
    assert plan.images_per_second == pytest.approx(4 / plan.alone.keras, rel=0.3)
    assert f"many images: {plan.images_per_second:.3g} a second" in str(plan)
    # Where the link is the limit it is no faster than that carries an image.
    narrow = planned(objective="throughput", calibration=replace(SLOW, bandwidth=1e5))
    assert 1 / plan.alone.keras < narrow.images_per_second < 1e5 / (4 * 32 * 32 * 3)


def test_more_workers_than_rows_and_tiles_smaller_than_a_kernel():
    plan = planned(model(side=6), workers=40, calibration=replace(SLOW, latency=1e-5))
    for stretch in plan.stretches:
        for chain in stretch.chains:
            assert math.prod(chain.tiles) <= 36
    assert plan.latency.expected <= plan.alone.keras * (1 + 1e-5)


def test_workers_hold_no_more_than_they_can():
    free = planned()
    held = sum(chain.held for one in free.stretches for chain in one.chains)
    assert held > 0
    for limit in (3 * held, 2 * held, 1000):
        tight = planned(memory_limit=limit)
        chains = [chain for one in tight.stretches for chain in one.chains]
        own = sum(3 * chain.held for chain in chains)
        assert own + sum(layer.held for layer in tight.layers) <= limit
        assert tight.latency.expected >= free.latency.expected * (1 - 1e-5)
    assert planned(memory_limit=3 * held) == free


def test_a_kernel_that_is_too_large_for_a_worker_is_coded():
    inputs = keras.Input((24, 24, 16))
    x = keras.layers.Conv2D(16, 3, name="before")(inputs)
    x = keras.layers.Conv2D(512, 5, name="large")(x)
    x = keras.layers.Conv2D(8, 1, name="behind")(x)
    of = keras.Model(inputs, x)
    kernel = 4 * 5 * 5 * 16 * 512
    plan = planned(of, memory_limit=kernel)
    assert [layer.path for layer in plan.layers] == ["large"]
    assert {chain.to for one in plan.stretches for chain in one.chains} <= {
        "before",
        "behind",
    }
    assert plan.latency.expected < plan.alone.keras
    assert planned(of).layers == ()


def test_only_what_layers_says_goes_to_workers():
    plan = planned(layers=["first", "second"])
    (stretch,) = plan.stretches
    assert stretch.exit in ("second", "scaled", "rectified", "pooled")
    assert dict(plan.not_coded) == {"third": "it was not chosen by `layers`"}


def test_sizes_that_are_known_at_the_call_are_planned_then():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(32, 3, padding="same", name="first")(inputs)
    x = keras.layers.Conv2D(32, 3, padding="same", name="second")(x)
    of = keras.Model(inputs, x)
    plan = planned(of)
    assert plan.stretches_at_call == (("", of.layers[0].name),)
    assert (plan.layers, plan.at_call, plan.not_coded) == ((), (), ())
    assert "at the first call for each height and width: what follows" in str(plan)
    assert fk.Plan.from_json(plan.to_json()) == plan
    (site,) = sites(of)
    near = replace(SLOW, client_operation=1e-5)
    said = {"workers": 4, "calibration": near, "objective": "latency"}
    at_call = plan_stretch_at_call(site, complete(said))
    large, small = (at_call(site.at((side, side))) for side in (64, 1))
    assert [chain.place for chain in large.chains] == ["workers"]
    assert (large.size, large.exit) == ((64, 64), "second")
    assert [chain.place for chain in small.chains] == ["client"]
    kept = plan_stretch_at_call(site, complete(said), barred={"second"})
    chains = kept(site.at((64, 64))).chains
    assert [(chain.to, chain.place) for chain in chains] == [
        ("first", "workers"),
        ("second", "client"),
    ]


class Twice(keras.layers.Layer):
    """A layer that programs do not know, with one that they do inside."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = keras.layers.Conv2D(64, 5, padding="same", name="inner")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return 2 * self.inner(x)


def test_convolutions_outside_of_stretches_are_coded_where_that_gains():
    inputs = keras.Input((32, 32, 64))
    of = keras.Model(inputs, Twice(name="own")(inputs))
    plan = planned(of)
    assert [layer.path for layer in plan.layers] == ["own/inner"]
    assert plan.latency.expected < plan.alone.keras
    far = planned(of, calibration=FAR)
    assert not far.pays
    assert "the workers would take" in dict(far.not_coded)["own/inner"]


def test_a_model_with_nothing_to_chain_says_so():
    inputs = keras.Input((8,))
    plan = planned(keras.Model(inputs, keras.layers.ReLU()(inputs)))
    assert not plan.pays
    assert plan.not_coded == ()


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_without_figures_of_the_cluster_there_is_no_such_plan(objective):
    with pytest.raises(
        fk.PlanError, match=f"'{objective}' needs to know.*fk.calibrate.*devices"
    ):
        planned(calibration=None, objective=objective)


def test_redundancy_is_what_is_said_or_the_best():
    eager = planned(redundancy="eager", stragglers=2)
    chains = [chain for one in eager.stretches for chain in one.chains]
    assert not any(chain.hedged for chain in chains if chain.place == "workers")
    assert eager.latency.expected > planned(stragglers=2).latency.expected
    assert "workers, eager" in str(eager)


def test_what_every_layer_coded_takes_is_compared_too():
    plan = planned(objective="price", calibration=PROFILES["pi4"])
    assert plan.alone.keras > 0
    assert "In time it does not pay: one device alone is faster." in str(plan)
