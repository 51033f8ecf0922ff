"""What plans, calibrations and laws of stragglers are read from may hold anything."""

import json
from dataclasses import replace
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.codes import Certificate, Systematic, from_dict
from fcdcc_keras.errors import FcdccError, PlanError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import (
    Calibration,
    ClientWork,
    Latency,
    LayerPlan,
    Plan,
)
from fcdcc_keras.planning.devices import PROFILES, profile
from fcdcc_keras.planning.stragglers import OnOff, from_spec

DEEP = "[" * 100_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@lru_cache
def text():
    geometry = ConvGeometry((8, 8), 4, 8, (3, 3))
    layer = LayerPlan.of("conv", geometry, Systematic(2, 2, 6, seed=3))
    latency = Latency(0.1, 0.2, 0.3)
    return Plan(
        "net",
        6,
        2,
        (replace(layer, latency=latency),),
        not_coded=(("dense", "it is small"),),
        calibration=PROFILES["pi4"],
        at_call=(("other", geometry),),
        latency=latency,
        straggling=OnOff(0.1, 10.0),
        client=ClientWork(1, 2, 3, 4.0),
    ).to_json()


def places(value, path=()):
    """Yields where values stand, from the top."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def altered(path, new):
    if not path:
        return json.dumps(new)
    data = json.loads(text())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return json.dumps(data)


@pytest.mark.parametrize("new", ["x", {}, True, -1.5], ids=str)
def test_every_value_of_a_plan_has_its_type(new):
    for path in places(json.loads(text())):
        old = json.loads(text())
        for key in path:
            old = old[key]
        same = type(old) is type(new) and not isinstance(old, float | dict)
        if same or old is None or old in ({}, []) or path == ("client",):
            refused_or_right(altered(path, new))
            continue
        with pytest.raises(PlanError, match="Received: "):
            Plan.from_json(altered(path, new))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(places(json.loads(text())))), JSON)
def test_whatever_stands_in_a_plan_is_refused_or_right(path, new):
    refused_or_right(altered(path, new))


def refused_or_right(given_text):
    try:
        made = Plan.from_json(given_text)
    except FcdccError:
        return
    assert Plan.from_json(made.to_json()) == made
    assert str(made)


@pytest.mark.parametrize("whole", [DEEP, '{"format": ' + DEEP])
def test_what_nests_too_deeply_is_refused(whole, tmp_path):
    with pytest.raises(PlanError, match="Received: "):
        Plan.from_json(whole)
    file = tmp_path / "deep.json"
    file.write_text(whole)
    with pytest.raises(PlanError, match="Received: "):
        Plan.from_json(file)
    with pytest.raises(PlanError, match="Received: "):
        profile(file)
    with pytest.raises(PlanError, match="Received: "):
        from_spec(f"trace:{file}")


@pytest.mark.parametrize("data", [5, [], None, {"latency": "1"}, {"fast": 1.0}, {}])
def test_calibrations_and_certificates_have_their_fields(data):
    for kind in (Calibration, Certificate, Latency):
        with pytest.raises(
            PlanError, match=f"A {kind.__name__} must be what `to_dict` writes"
        ):
            kind.from_dict(data)


@pytest.mark.parametrize("seed", ["1", -1, 1.5, True, None])
def test_seeds_are_integers(seed):
    data = {"name": "rotation", "k_a": 4, "k_b": 4, "workers": 6, "seed": seed}
    with pytest.raises(PlanError, match=r"`seed` must be an integer"):
        from_dict(data)


def test_a_plan_that_cannot_be_written():
    plan = Plan.from_json(text())
    with pytest.raises(PlanError, match=r"may be written. Received: '/nonexistent/p"):
        plan.to_json("/nonexistent/p.json")
