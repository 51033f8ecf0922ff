"""The guard: nothing is decoded from survivors that would exceed the tolerance."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.codes import certify
from fcdcc_keras.execution.executors.local import LOST, LocalFault

CODE = fk.codes.get("crme")(64, 1, 60)
"""Any 32 of 60; a run of neighbours amplifies errors by 1e13."""


def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64, 8, 3))
    return keras.Model(inputs, keras.layers.Conv2D(4, 3, padding="same")(inputs))


def images():
    return np.random.default_rng(0).normal(size=(1, 64, 8, 3)).astype("float32")


def deviation(plain, coded):
    x = images()
    with fk.trace(coded) as trace:
        y = coded.predict_on_batch(x)
    expected = plain.predict_on_batch(x)
    return abs(y - expected).max() / abs(expected).max(), trace.records[0]


FIRST = (*range(20), *range(21, 45, 2))
"""32 survivors, most of them neighbours: α = 7e9, and float32 has 7 digits."""


@pytest.fixture
def neighbours():
    """The first answers come from these; the others come one by one, later."""
    return {w: LocalFault(delay=0.0 if w in FIRST else 1.0 + w) for w in range(60)}


def plan_with(code, plain, **options):
    return fk.plan(plain, workers=60, stragglers=28, code=code, **options)


def test_code_that_exceeds_the_tolerance_is_refused_before_anything_runs():
    with pytest.raises(fk.PlanError, match=r"tolerance=0.0001.*Received: .* by crme"):
        plan_with(CODE, model())
    executor = fk.LocalExecutor(60)
    with pytest.raises(fk.PlanError, match=r"Tolerate fewer stragglers.*float64"):
        fk.distribute(model(), executor, stragglers=28, code=CODE)
    assert executor.placements == []


def unsaid(plan):
    """A plan that does not say by which tolerance it was made: the default guards."""
    return replace(plan, made_by=None)


def test_guard_off_and_on(neighbours):
    plain = model()
    plan = plan_with(CODE, plain, tolerance=1e30)
    off = fk.distribute(
        plain, fk.LocalExecutor(60, neighbours), plan=plan, fallback="raise"
    )
    wrong, record = deviation(plain, off)
    assert len(record.survivors) == 32
    assert record.survivors == tuple(sorted(FIRST))
    assert wrong > 1
    on = fk.distribute(
        plain, fk.LocalExecutor(60, neighbours), plan=unsaid(plan), fallback="raise"
    )
    right, record = deviation(plain, on)
    assert len(record.survivors) > 32
    assert right < 1e-4
    assert record.local is None


def test_never_an_unguarded_answer(neighbours):
    plain = model()
    plan = plan_with(CODE, plain, tolerance=1e30)
    only = {w: LocalFault() if w in FIRST else LOST for w in range(60)}
    options = {"plan": unsaid(plan), "timeout": 5}
    coded = fk.distribute(plain, fk.LocalExecutor(60, only), **options)
    with pytest.warns(RuntimeWarning, match="exceed the tolerance. Received: 32"):
        error, record = deviation(plain, coded)
    assert record.local == "too few workers"
    assert error == 0
    strict = fk.distribute(
        plain, fk.LocalExecutor(60, only), fallback="raise", **options
    )
    with pytest.raises(fk.NotEnoughWorkersError, match="exceed the tolerance"):
        strict(images())


def test_auto_takes_the_most_exact_of_equal_price():
    plan = fk.plan(model(), workers=20, stragglers=4)
    for layer in plan.layers:
        assert layer.certificate == certify(layer.code)
        terms = layer.geometry.terms
        assert layer.certificate.error(terms=terms) <= 1e-4
        assert layer.code.name not in ("uncoded", "replication", "vandermonde")
    assert "uncoded" in {
        layer.code.name
        for layer in fk.plan(model(), workers=4, stragglers=0, code="uncoded").layers
    }


@pytest.mark.parametrize(("channels", "answers"), [(2304, 7), (576, 6)])
def test_the_tolerance_is_that_of_the_layers_own_number_of_terms(channels, answers):
    """α = 51 from six neighbours: within 1e-4 of sums of 576 terms, not of 2304."""
    code = fk.codes.get("crme")(12, 1, 12)
    assert 35 < code.decoder(range(6)).amplification < 69
    keras.utils.set_random_seed(0)
    inputs = keras.Input((24, 1, channels))
    plain = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))
    in_turn = {w: LocalFault(delay=float(w)) for w in range(12)}
    plan = unsaid(fk.plan(plain, workers=12, stragglers=6, code=code, tolerance=1e-3))
    coded = fk.distribute(
        plain, fk.LocalExecutor(12, in_turn), plan=plan, fallback="raise"
    )
    x = np.random.default_rng(0).normal(size=(1, 24, 1, channels)).astype("float32")
    with fk.trace(coded) as trace:
        y = coded.predict_on_batch(x)
    expected = plain.predict_on_batch(x)
    assert abs(y - expected).max() <= 1e-4 * abs(expected).max()
    assert trace.records[0].survivors == tuple(range(answers))


@pytest.mark.parametrize("name", fk.codes.names())
def test_every_code_runs_a_model(name):
    plain = model()
    stragglers = 0 if name == "uncoded" else 2
    executor = fk.LocalExecutor(6)
    coded = fk.distribute(
        plain, executor, stragglers=stragglers, code=name, fallback="raise"
    )
    assert coded.layers[1].coded.plan.code.name == name
    for first in range(3 if stragglers else 0):
        executor.faults = {first: LOST, first + 3: LOST}
        error, record = deviation(plain, coded)
        assert record.local is None
        alpha = coded.layers[1].coded.plan.certificate.amplification_worst
        assert error <= 3 * alpha * 2e-7


@pytest.mark.parametrize("loop", ["predict", "predict_on_batch", "evaluate", "fit"])
def test_errors_come_out_of_kerass_loops_as_they_are(loop):
    plain = model()
    plain.compile("sgd", "mse")
    executor = fk.LocalExecutor(4)
    coded = fk.distribute(plain, executor, fallback="raise")
    x, y = images(), np.zeros((1, 64, 8, 4), "float32")
    arguments = (x, y) if loop in ("evaluate", "fit") else (x,)
    options = {} if loop == "predict_on_batch" else {"verbose": 0}
    executor.faults = {0: LOST, 1: LOST}
    with pytest.raises(fk.NotEnoughWorkersError, match="local-0: late"):
        getattr(coded, loop)(*arguments, **options)
    executor.faults = {}
    getattr(coded, loop)(*arguments, **options)
