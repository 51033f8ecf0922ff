"""What plans of chains make of a model, and which are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.partition.stretch import Stretch
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.rewriting.graph.stretches import sites
from tests.rewriting.chained_models import (
    WORKERS,
    chained_plan,
    chains_of,
    conv,
    inputs_of,
    made,
    nested,
    on_workers,
    residual,
)
from tests.rewriting.copied_models import assert_same

# Keras, as it saves, makes arrays of TensorFlow's variables, which do not know `copy`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")

_L: Any = keras.layers


def test_reports() -> None:
    plain = made(nested)
    first, second = sites(plain)
    plan = replace(
        chained_plan(plain),
        stretches=(chains_of(first), chains_of(second, ("client",))),
    )
    model = fk.distribute(plain, fk.LocalExecutor(WORKERS), plan=plan)
    report = fk.report(model)
    assert report.converted == ("before", "inner/a", "inner/b")
    assert [chain.layers for chain in report.chains] == [
        ("before", "inner/a"),
        ("inner/b",),
        ("inner/c", "after"),
    ]
    assert report.not_converted == {
        "inner/n": "it has no convolution",
        **dict.fromkeys(
            ("inner/c", "after"), "the client's engine computes the chain to after"
        ),
    }
    printed = str(report)
    assert "3 of 6 layers are computed by workers" in printed
    assert "the workers compute the chain to inner/a in tiles, hedged" in printed
    assert "held by each" in printed
    fk.close(model)
    assert fk.report(model).chains == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entry": "other"}, "a stretch from 'other' to 'inner/b', which the model"),
        ({"graph": "inner"}, "of 'inner', which the model does not have"),
        ({"size": (12, 11)}, r"of \(12, 11\), where the model has \(12, 10\)"),
    ],
)
def test_plans_of_another_model(change: dict[str, Any], said: str) -> None:
    plain = made(nested)
    plan = chained_plan(plain)
    first, second = plan.stretches
    plan = replace(plan, stretches=(replace(first, **change), second))
    with pytest.raises(fk.PlanError, match=said):
        fk.distribute(plain, fk.LocalExecutor(WORKERS), plan=plan)


def test_a_layer_is_computed_by_one() -> None:
    plain = made(nested)
    plan = chained_plan(plain)
    first, second = plan.stretches
    layers = fk.plan(plain, workers=WORKERS, layers=["inner/b"]).layers
    for twice, said in (
        (
            replace(plan, stretches=(first, first, second)),
            "'before', as has that from 'x'",
        ),
        (replace(plan, layers=layers), "with 'inner/b', which is coded"),
    ):
        with pytest.raises(fk.PlanError, match=said):
            fk.distribute(plain, fk.LocalExecutor(WORKERS), plan=twice)


def test_coded_layers_between_chains() -> None:
    plain = made(residual)
    (site,) = sites(plain)
    layers = fk.plan(plain, workers=WORKERS, layers=["first"]).layers
    stretches = (
        chains_of(site.part("x", "stem"), ("workers",)),
        chains_of(site.part("first_sum", "out")),
    )
    plan = replace(chained_plan(plain), stretches=stretches, layers=layers)
    model = fk.distribute(plain, fk.LocalExecutor(WORKERS), plan=plan, fallback="raise")
    inputs = inputs_of(plain)
    assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))
    report = fk.report(model)
    assert {*report.not_converted} == {"first_norm", "first_relu", "first_sum"}
    assert on_workers(model) == 3


_POOR = fk.Calibration(
    latency=1.0, bandwidth=1e3, worker_rate=1e3, client_rate=1e12, coding_rate=1e9
)
"""A cluster that nothing gains by."""


def test_where_nothing_pays_the_client_computes_all(tmp_path: Any) -> None:
    plain, executor = made(residual), fk.LocalExecutor(WORKERS)
    options: Any = {"objective": "latency", "calibration": _POOR}
    with pytest.warns(RuntimeWarning, match="Nothing of 'res' is computed by workers"):
        model = fk.distribute(plain, executor, **options)
    report = fk.report(model)
    assert report.converted == ()
    assert "workers would not be sooner" in report.not_converted["first"]
    inputs = inputs_of(plain)
    assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))
    assert executor.placements == []
    # It can be coded all the same, and be left again.
    model.save(tmp_path / "model.keras")
    loaded = fk.load_model(tmp_path / "model.keras", executor, fallback="raise")
    assert len(fk.report(loaded).converted) == 3
    with pytest.warns(RuntimeWarning, match="Nothing of 'res' is computed by workers"):
        fk.attach(loaded, executor, **options)
    assert fk.report(loaded).not_converted == report.not_converted
    assert executor.placements == []
    for one in (model, loaded):
        fk.close(one)


def test_a_model_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned at the first call for each height and width."""
    planned = []

    def at_call(site: Any, options: Any, barred: Any) -> Any:
        def plan(stretch: Stretch) -> StretchPlan:
            planned.append(stretch.size)
            ends = [path for path, _ in stretch.ends]
            cuts = dict.fromkeys((ends[stretch.size[0] % 3], ends[-1]))
            chains = tuple(ChainPlan(cut, "workers") for cut in cuts)
            return StretchPlan(stretch.graph, stretch.entry, stretch.size, chains)

        assert (site.entry, site.exit) == ("x", "mean")
        return plan

    monkeypatch.setattr("fcdcc_keras.rewriting.deploy.plan_stretch_at_call", at_call)
    x = keras.Input((None, None, 3), name="x")
    y = conv("c", strides=2)(_L.MaxPooling2D(name="p")(conv("a")(x)))
    plain = keras.Model(x, _L.GlobalAveragePooling2D(name="mean")(y))
    plan = replace(chained_plan(plain), stretches_at_call=(("", "x"),))
    executor = fk.LocalExecutor(WORKERS)
    model = fk.distribute(plain, executor, plan=plan, fallback="raise")
    assert fk.report(model).chains == ()
    assert executor.placements == []
    rng = np.random.default_rng(1)
    sizes = [(12, 10), (13, 11), (12, 10), (14, 9), (15, 9)]
    for size in sizes:
        inputs = rng.random((2, *size, 3), np.float32)
        assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))
        assert_same(model(inputs), plain(inputs))
    # The last is cut as the one before was.
    assert planned == [(12, 10), (13, 11), (14, 9)]
    assert len(fk.report(model).chains) == 3 * 2
    assert len(executor.placements) == 3 * 2
    fk.close(model)
    assert executor.placements == []
    inputs = rng.random((2, 20, 9, 3), np.float32)
    assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))
