"""The options that distribute, plan, attach and load_model share."""

import inspect
from dataclasses import replace

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.planning.devices import PROFILES
from fcdcc_keras.planning.stragglers import NoStraggling, OnOff
from fcdcc_keras.rewriting import deploy
from fcdcc_keras.rewriting.options import DEFAULTS, Options, PlanOptions

PI = PROFILES["pi4"]
LAW = OnOff(0.1, 4.0)
SHARED = (fk.distribute, fk.attach, fk.load_model)


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((12, 12, 3), name="image")
    x = keras.layers.Conv2D(4, 3, name="one")(inputs)
    x = keras.layers.Conv2D(4, 3, name="two")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(8, name="top")(x))


@pytest.mark.parametrize("function", [*SHARED, fk.plan])
def test_every_option_has_a_type_a_default_and_a_text(function):
    kind = PlanOptions if function is fk.plan else Options
    shown = inspect.signature(function).parameters
    text = inspect.getdoc(function)
    assert kind.__annotations__.keys() <= shown.keys()
    assert "**options" not in text
    for name in kind.__annotations__:
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert shown[name].default == DEFAULTS[name]
        assert shown[name].annotation not in (inspect.Parameter.empty, "")
        (line,) = (x for x in text.splitlines() if x.startswith(f"    {name}: "))
        assert len(line.partition(":")[2]) > 10
    # Distribute adds to what a plan takes; nothing is in one place alone.
    assert DEFAULTS.keys() == Options.__annotations__.keys()


def test_unknown_options_are_named(model):
    for function, known in ((fk.distribute, "timeout"), (fk.plan, "workers")):
        with pytest.raises(TypeError, match=rf"Received: speeds\. .*{known}"):
            function(model, speeds=(1, 2))
    with pytest.raises(TypeError, match=r"Received: timeout\."):
        fk.plan(model, workers=4, timeout=3)


def test_a_plan_needs_its_size(model):
    with pytest.raises(fk.PlanError, match=r"told its size. Received: workers=None"):
        fk.plan(model)


CODE = fk.codes.get("crme")(2, 2, 6)
BY_MAP = fk.Prices(storage=8e-9)
BESIDE = {
    "workers": (6, 6, 5),
    "stragglers": (2, 2, 1),
    "layers": (["one"], lambda layer: layer.name == "one", "all"),
    "layers by path": ("all", ["two", "one"], ["two"]),
    "dense": (True, True, False),
    "code": (CODE, CODE, "auto"),
    "code by name": ("crme", fk.codes.get("crme"), "quaternion"),
    "tolerance": (1e-3, 1e-3, 1e-4),
    "redundancy": ("hedged", "hedged", "eager"),
    "objective": ("price", "price", "latency"),
    "prices": (BY_MAP, fk.Prices(storage=8e-9), fk.Prices()),
    "calibration": (PI, replace(PI), PROFILES["pi5"]),
    "straggling": (LAW, OnOff(0.1, 4.0), NoStraggling()),
    "memory_limit": ("1MB", 1e6, 2e6),
}
"""What a plan is made by; the same, said in another way; and another."""


@pytest.mark.parametrize("stored", [False, True], ids=["at hand", "from a file"])
@pytest.mark.parametrize("case", BESIDE)
def test_what_is_said_beside_a_plan(model, case, stored):
    """Left out it is the plan's; said alike it is taken; said otherwise, refused."""
    name = {"layers by path": "layers", "code by name": "code"}
    name = name.get(case, case)
    by, alike, other = BESIDE[case]
    options = {"workers": 6, "stragglers": 2, "calibration": PI, name: by}
    plan = fk.plan(model, **options)
    if stored:
        made_by = plan.made_by
        plan = fk.Plan.from_json(plan.to_json())
        assert plan.made_by == made_by
    open_too = [{name: None}] if DEFAULTS[name] is None else []
    for said in ({}, {name: alike}, *open_too):
        coded = fk.distribute(model, fk.LocalExecutor(6), plan=plan, **said)
        session = coded.get_layer("one").session
        assert coded.get_layer("one").coded.plan == plan.layer("one")
        assert session.policy.tolerance == options.get("tolerance")
        assert session.executor.workers == 6
        fk.close(coded)
    with pytest.raises(fk.PlanError, match=rf"Received: {name}=.*which was made by"):
        fk.distribute(model, fk.LocalExecutor(6), plan=plan, **{name: other})


def test_a_plan_that_does_not_say_what_it_was_made_by(model):
    plan = replace(fk.plan(model, workers=4), made_by=None)
    options = {"stragglers": 1, "tolerance": 1e-3}
    coded = fk.distribute(model, fk.LocalExecutor(4), plan=plan, **options)
    assert coded.get_layer("one").session.policy.tolerance == 1e-3
    with pytest.raises(fk.PlanError, match=r"code='auto' beside .* does not say"):
        fk.distribute(model, fk.LocalExecutor(4), plan=plan, code="auto")
    strange = replace(plan, made_by={"moon": "full"})
    with pytest.raises(fk.PlanError, match=r"known options. Received: 'moon'"):
        fk.distribute(model, fk.LocalExecutor(4), plan=strange)
    text = plan.to_json().replace('"layers"', '"made_by": [], "layers"', 1)
    with pytest.raises(fk.PlanError, match=r"Plan\.to_json"):
        fk.distribute(model, fk.LocalExecutor(4), plan=text)


def test_sizes_that_are_planned_at_the_call_are_as_the_plan_says():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(8, 3, name="any")(inputs))
    plan = fk.plan(model, workers=6, stragglers=3, code="crme", redundancy="hedged")
    coded = fk.distribute(model, fk.LocalExecutor(6), plan=plan)
    coded(np.ones((1, 20, 20, 3), "float32"))
    (made,) = coded.get_layer("any").coded.plans
    assert (made.code.name, made.hedged) == ("crme", True)
    assert made.code.stragglers >= 3


def test_a_model_is_distributed_by_what_a_plan_takes(model, monkeypatch):
    measured = []

    slow = replace(PI, client_rate=1e6, engine_rate=0.0, client_memory_rate=1e6)

    def measure(executor, stragglers):
        measured.append((executor.workers, stragglers))
        return slow

    monkeypatch.setattr(deploy, "measure", measure)
    options = {"stragglers": 2, "straggling": LAW, "redundancy": "auto"}
    options |= {"objective": "latency", "memory_limit": "300 kB"}
    coded = fk.distribute(model, fk.LocalExecutor(6), **options)
    made = fk.plan(model, workers=6, calibration=slow, **options)
    assert made.stretches
    chains = [chain for stretch in made.stretches for chain in stretch.chains]
    images = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:]))
    with fk.trace(coded) as trace:
        outputs = coded(images.astype("float32"))
    np.testing.assert_allclose(outputs, model(images), rtol=1e-4, atol=1e-5)
    there = [chain for chain in chains if chain.place == "workers"]
    assert there
    assert trace.distributed_convolutions == len(there)
    assert measured == [(6, 2)]
    fk.close(fk.distribute(model, fk.LocalExecutor(6), calibration=slow, **options))
    assert len(measured) == 1
    plan = fk.Plan.from_json(made.to_json())
    assert plan == made
    again = fk.distribute(model, fk.LocalExecutor(6), plan=plan)
    np.testing.assert_allclose(again(images), outputs, rtol=1e-4, atol=1e-5)
    with pytest.raises(fk.PlanError, match=r"objective='price' beside a plan"):
        fk.distribute(model, fk.LocalExecutor(6), plan=plan, objective="price")
    with pytest.raises(fk.PlanError, match=r"limit of 10 B, where they take"):
        fk.distribute(model, fk.LocalExecutor(6), memory_limit=10)
