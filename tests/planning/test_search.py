"""The search takes the cheapest of all feasible splits."""

import math
import sys
from contextlib import suppress
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.codes import CRME, Code, Rotation, Uncoded, certify
from fcdcc_keras.codes.certify import all_within, screen
from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import (
    AUTO,
    Objective,
    Prices,
    candidates,
    check_redundancy,
    layer_cost,
    plan_layer,
    search,
)

_LAYER = ConvGeometry((56, 56), 64, 128, (3, 3), padding="same")
_PRICE = st.floats(0, 1e-6)


def _every_code(workers: int, stragglers: int) -> list[Code]:
    """By trial; without k = 2, which DESIGN section 2 leaves out."""
    found: list[Code] = []
    sides = [k for k in range(1, 2 * workers + 1) if k != 2]
    for k_a, k_b in product(sides, sides):
        if k_a * k_b <= 4 * workers:
            with suppress(PlanError):
                code = CRME(k_a, k_b, workers)
                if code.stragglers >= stragglers:
                    found.append(code)
    return found


@settings(deadline=None, max_examples=150)
@given(
    size=st.integers(1, 40),
    filters=st.integers(1, 80),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    workers=st.integers(1, 9),
    prices=st.builds(Prices, _PRICE, _PRICE, _PRICE),
    data=st.data(),
)
def test_no_feasible_split_is_cheaper(
    size, filters, kernel, stride, workers, prices, data
) -> None:
    stragglers = data.draw(st.integers(0, workers - 1))
    geometry = ConvGeometry(
        (size, 7), 3, filters, (kernel, kernel), (stride, stride), padding="same"
    )
    plan = plan_layer(
        "conv",
        geometry,
        workers=workers,
        stragglers=stragglers,
        code="crme",
        objective=Objective(prices),
    )
    every = _every_code(workers, stragglers)
    cheapest = min(layer_cost(geometry, code, prices).price for code in every)
    assert plan.code in every
    assert plan.cost == layer_cost(geometry, plan.code, prices)
    # Prices within 5% are equal: then the most exact is taken.
    assert plan.cost.price <= cheapest * 1.05
    for code in every:
        if layer_cost(geometry, code, prices).price <= cheapest * 1.05:
            alpha = certify(code).amplification_99
            assert plan.certificate.amplification_99 <= alpha
    assert plan.code.workers == workers
    assert plan.code.stragglers >= stragglers


@settings(deadline=None, max_examples=100)
@given(
    h_out=st.sampled_from([480, 960]),
    width=st.integers(1, 64),
    filters=st.sampled_from([480, 960]),
    ratio=st.floats(-4, 4),
    threshold=st.sampled_from([4, 6, 8, 12, 16, 20, 24]),
)
def test_search_agrees_with_the_closed_form(
    h_out, width, filters, ratio, threshold
) -> None:
    # 1×1 kernels have no overlap, and every k divides: the formula is exact.
    store = 1e-9
    prices = Prices(
        communication=store * 10**ratio, storage=store, computation=0, coding=0
    )
    geometry = ConvGeometry((h_out, width), 16, filters, (1, 1))
    splits = CRME.designs(threshold + 1, threshold)
    best = min(splits, key=lambda code: layer_cost(geometry, code, prices).price)
    # k_A*/ℓ_A, which a side of k = 1 and ℓ = 1 has in common with k = 2 and ℓ = 2.
    ideal = math.sqrt(threshold * 10**ratio * width * h_out / filters)
    feasible = sorted(code.k_a / code.ell_a for code in splits)
    bounds = [0.0, *feasible, math.inf]
    neighbours = next(pair for pair in pairwise(bounds) if pair[0] <= ideal <= pair[1])
    assert best.k_a / best.ell_a in neighbours
    options: dict[str, Any] = {"code": "crme", "objective": Objective(prices)}
    plan = plan_layer("conv", geometry, workers=threshold + 1, **options)
    assert plan.cost.price <= layer_cost(geometry, best, prices).price * 1.05


def test_prices_move_the_split() -> None:
    dear_wire = Prices(communication=1.0, storage=0, computation=0, coding=0)
    dear_store = Prices(communication=0, storage=1.0, computation=0, coding=0)
    options: dict[str, Any] = {"workers": 6, "stragglers": 2, "code": "crme"}
    geometry = ConvGeometry((64, 64), 8, 64, (1, 1))
    wire = plan_layer("conv", geometry, objective=Objective(dear_wire), **options).code
    store = plan_layer(
        "conv", geometry, objective=Objective(dear_store), **options
    ).code
    assert (wire.k_a, wire.k_b) == (8, 1)
    assert (store.k_a, store.k_b) == (1, 8)


def test_more_stragglers_than_asked_for_where_the_rest_divides_badly() -> None:
    # Of 8 workers 7 can only be split 1, 14 or 14, 1; six also 4, 6 and 6, 4.
    prices = Prices(communication=1e-9, storage=1e-9, computation=0, coding=0)
    geometry = ConvGeometry((48, 48), 16, 256, (3, 3), padding="same")
    options: dict[str, Any] = {"code": "crme", "objective": Objective(prices)}
    plan = plan_layer("conv", geometry, workers=8, stragglers=1, **options)
    exact = [CRME(1, 14, 8), CRME(14, 1, 8)]
    assert plan.code.stragglers > 1
    assert all(layer_cost(geometry, c, prices).price > plan.cost.price for c in exact)
    thresholds = {c.recovery_threshold for c in candidates(AUTO, 8, 1)}
    assert thresholds == set(range(1, 8))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("crme", CRME),
        (CRME, CRME),
        (CRME(4, 4, 6, q=7), CRME(4, 4, 6, q=7)),
        (CRME(4, 2, 6), CRME(4, 2, 6)),
    ],
)
def test_codes_by_name_class_and_instance(code: Any, expected: Any) -> None:
    planned = plan_layer("conv", _LAYER, workers=6, stragglers=2, code=code).code
    assert expected in (type(planned), planned)


@pytest.mark.parametrize("code", ["uncoded", Uncoded, Uncoded(2, 3, 6)])
def test_uncoded_without_stragglers(code: Any) -> None:
    plan = plan_layer("conv", _LAYER, workers=6, stragglers=0, code=code)
    assert isinstance(plan.code, Uncoded)
    assert plan.code.stragglers == 0


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("turbo", "must be one of 'crme', .*Received: 'turbo'"),
        (4, "must be a name, a Code or a Code class. Received: code=4"),
        (None, "must be a name, a Code or a Code class. Received: code=None"),
        (dict, "must be a name, a Code or a Code class. Received: code=.*dict"),
        (Code, "must be a name, a Code or a Code class. Received: code=.*Code"),
        ("uncoded", "cannot let 2 of 6 workers be missing.*stragglers=2"),
        (Uncoded, "cannot let 2 of 6 workers be missing.*stragglers=2"),
        (Uncoded(2, 3, 6), "a code for 6 workers that tolerates 0"),
        (CRME(4, 4, 5), "a code for 5 workers that tolerates 1, with workers=6"),
        (CRME(4, 4, 7), "a code for 7 workers that tolerates 3, with workers=6"),
        (CRME(10, 1, 6), "a code for 6 workers that tolerates 1.*stragglers=2"),
    ],
    ids=str,
)
def test_codes_that_do_not_fit(code: Any, match: str) -> None:
    with pytest.raises(PlanError, match=match) as caught:
        plan_layer("conv", _LAYER, workers=6, stragglers=2, code=code)
    assert "Received:" in str(caught.value)


@pytest.mark.parametrize(
    ("workers", "stragglers", "match"),
    [
        (6, -1, "`stragglers` must be at least 0.*stragglers=-1, workers=6"),
        (6, 6, "`stragglers` must be .* less than `workers`.*stragglers=6"),
        (1, 1, "Use 0 to 0 stragglers"),
        (0, 0, "at least one worker. Received: workers=0"),
        (-3, 0, "at least one worker. Received: workers=-3"),
        (6.0, 1, "`workers` must be an integer. Received: workers=6.0"),
        (6, "1", "`stragglers` must be an integer. Received: stragglers='1'"),
        (True, 0, "`workers` must be an integer. Received: workers=True"),
        (6, None, "`stragglers` must be an integer. Received: stragglers=None"),
    ],
)
def test_impossible_redundancy(workers: Any, stragglers: Any, match: str) -> None:
    with pytest.raises(PlanError, match=match):
        check_redundancy(workers, stragglers)
    with pytest.raises(PlanError, match=match):
        plan_layer("conv", _LAYER, workers=workers, stragglers=stragglers)


@pytest.mark.parametrize(("workers", "stragglers"), [(1, 0), (6, 0), (6, 5)])
def test_possible_redundancy(workers: int, stragglers: int) -> None:
    check_redundancy(workers, stragglers)
    assert plan_layer("c", _LAYER, workers=workers, stragglers=stragglers).path == "c"


def test_designs_are_taken_by_their_error() -> None:
    designs = [d for d in candidates(AUTO, 10, 3) if d.k_a * d.k_b < 16]
    limit = 40.0
    pairs = [(0.0, design) for design in designs]
    found = [screen(design) for _, design in search._by_error(pairs, limit)]
    assert found == sorted(a for a in map(screen, designs) if a <= limit)
    assert 10 < len(found) < len(designs)


def test_of_many_workers_the_designs_beyond_an_inexact_one_are_left_out() -> None:
    designs = [d for d in candidates("rotation", 200, 20) if d.k_a * d.k_b <= 128]
    kept = search.promising(designs, 60.0)
    one_sided = {d.recovery_threshold for d in designs if d.k_b == 1}
    left = max(d.recovery_threshold for d in kept if d.k_b == 1)
    (rung,) = {16, 32, 64} & {d for d in one_sided if left < d <= 2 * left}
    assert not all_within(Rotation(2 * rung, 1, 200), 60.0)
    assert all_within(Rotation(rung, 1, 200), 60.0)
    assert {d for d in one_sided if d < rung} == {
        d.recovery_threshold for d in kept if d.k_b == 1
    }
    assert search.promising([Rotation(64, 1, 200)], 1.1) == [Rotation(64, 1, 200)]


def test_a_thousand_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: dict[Code, int] = {}
    module = sys.modules["fcdcc_keras.codes.certify"]
    alpha = module._alpha

    def counted(code: Code, sets: Any) -> Any:
        tried[code] = tried.get(code, 0) + len(sets)
        return alpha(code, sets)

    monkeypatch.setattr(module, "_alpha", counted)
    geometry = ConvGeometry((14, 14), 512, 512, (3, 3), padding="same")
    plan = plan_layer("conv", geometry, workers=1000, stragglers=100)
    assert (plan.code.workers, plan.code.stragglers >= 100) == (1000, True)
    assert plan.certificate.error(terms=geometry.terms) <= 1e-4
    assert plan.certificate.sets == 2000
    # Of 17,000 designs that can be certified, by 200 sets each at a glance.
    assert len(tried) <= 150
    assert sum(tried.values()) <= 10_000
    assert len(candidates(AUTO, 1000, 100)) <= 3500


def test_hedging_makes_auto_prefer_plain_blocks() -> None:
    geometry = ConvGeometry((56, 56), 64, 64, (3, 3), padding="same")
    options = {"workers": 6, "stragglers": 2}
    hedged = plan_layer("x", geometry, hedged=True, **options)
    assert hedged.code.plain_workers == hedged.code.recovery_threshold == 4
    assert hedged.cost.coding == 0
