"""Models of slowdowns: their laws agree with each other, and they can be stored."""

import json
import math

import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.planning.stragglers import (
    MeasuredTrace,
    NoStraggling,
    OnOff,
    Pareto,
    ShiftedExponential,
    from_dict,
    from_spec,
)

MODELS = [
    NoStraggling(),
    ShiftedExponential(0.5),
    Pareto(2.5),
    OnOff(0.2, 10.0, 3.0),
    OnOff(0.2, math.inf),
    MeasuredTrace((1.0, 3.0, 1.5, 1.5)),
]
ALL = pytest.mark.parametrize("model", MODELS, ids=str)


@ALL
def test_samples_follow_the_cdf(model):
    samples = model.sample(np.random.default_rng(0), 20_000)
    for x in (0.9, 1.0, 1.3, 1.5, 2.0, 9.9, 10.0, 1e9):
        assert np.mean(samples <= x) == pytest.approx(model.cdf(x), abs=0.015)


@ALL
def test_the_quantile_is_the_least_that_reaches_its_probability(model):
    for p in (0.01, 0.25, 0.5, 0.79, 0.81, 0.999):
        x = model.quantile(p)
        assert model.cdf(x) >= p - 1e-12
        below = min(x * (1 - 1e-9), 1e300)  # of infinity too
        assert model.cdf(below) < p


@ALL
def test_models_round_trip_through_json(model):
    text = json.dumps(model.to_dict(), allow_nan=False)
    assert from_dict(json.loads(text)) == model


def test_moments_are_those_of_the_literature():
    rng = np.random.default_rng(1)
    mean = ShiftedExponential(0.5).sample(rng, 50_000).mean()
    assert mean == pytest.approx(1.5, rel=0.01)
    mean = Pareto(3.0).sample(rng, 50_000).mean()
    assert mean == pytest.approx(3 / 2, rel=0.02)


def test_spells_have_the_stated_share():
    model = OnOff(0.2, 10.0, 3.0)
    assert model.usual_spell == pytest.approx(12.0)
    assert 3.0 / (3.0 + model.usual_spell) == pytest.approx(0.2)
    assert OnOff(0.0, 10.0).usual_spell == math.inf


def test_a_short_text_stands_for_a_model(tmp_path):
    file = tmp_path / "factors.json"
    file.write_text("[1, 2, 1.5]")
    assert from_spec("none") == NoStraggling()
    assert from_spec("exponential:0.5") == ShiftedExponential(0.5)
    assert from_spec("pareto:2") == Pareto(2.0)
    assert from_spec("onoff:0.1,inf") == OnOff(0.1, math.inf)
    assert from_spec("onoff:0.1,10,4") == OnOff(0.1, 10.0, 4.0)
    assert from_spec(f"trace:{file}") == MeasuredTrace((1.0, 1.5, 2.0))


@pytest.mark.parametrize(
    "text", ["gauss:1", "pareto", "pareto:x", "onoff:1,2,3,4", "trace:nowhere.json"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(fk.PlanError, match=r"Received: '.*Use none, exponential"):
        from_spec(text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("exponential:0", "mean=0"),
        ("pareto:-1", "shape=-1"),
        ("onoff:1.2,2", "probability=1.2"),
        ("onoff:0.2,0.5", "factor=0.5"),
        ("onoff:0.2,2,0", "spell=0"),
    ],
)
def test_impossible_numbers_are_refused(text, field):
    with pytest.raises(fk.PlanError, match=f"Received: {field}"):
        from_spec(text)
