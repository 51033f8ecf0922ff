"""Costs of layers, counted by hand and by the formulas of the paper."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.codes import CRME, Code, Systematic, Uncoded
from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import ConvGeometry, Cut
from fcdcc_keras.planning import LayerCost, Prices, layer_cost

_FIELDS = ("communication", "storage", "computation", "coding", "ordering")
_FREE = Prices(**dict.fromkeys(_FIELDS, 0.0))


def _counts(cost: LayerCost) -> dict[str, int]:
    return {k: v for k, v in vars(cost).items() if k != "price"}


def test_a_layer_that_divides_counted_by_hand() -> None:
    # 8×8×3 to 8×8×8 by 3×3: parts of 2 output rows are 4 rows high.
    geometry = ConvGeometry((8, 8), 3, 8, (3, 3), padding="same")
    cost = layer_cost(geometry, CRME(4, 4, 6), _FREE)
    assert _counts(cost) == {
        "upload": 2 * (4 * 8 * 3),
        "download": 8 * 8 * 8,
        "storage": 2 * (3 * 3 * 3 * 2),
        "multiply_adds": 8 * 8 * 8 * 3 * 9 // 4,
        "coding": 12 * 4 * 96 + 16 * (4 * 128),
    }
    assert cost.price == 0


def test_a_layer_that_does_not_divide_counted_by_hand() -> None:
    # 11×9×2 to 5×3×5 by 3×2, strides 2 and 3: 4 parts of w' = 1 column, 2 wide, for
    # parts of h' = 2 rows, 5 high, would be larger; 6 blocks of one channel.
    geometry = ConvGeometry((11, 9), 2, 5, (3, 2), strides=(2, 3))
    assert geometry.output_size == (5, 3)
    cost = layer_cost(geometry, CRME(4, 6, 8), _FREE)
    each = (2 * 2) * (5 * 1)  # (a, b) times the pixels of a part, one channel
    assert _counts(cost) == {
        "upload": 2 * 11 * 2 * 2,
        "download": 6 * each,
        "storage": 2 * 3 * 2 * 2,
        "multiply_adds": each * 3 * 2 * 2,
        "coding": 16 * 4 * (11 * 2 * 2) + 24 * (6 * each),
    }


@pytest.mark.parametrize(
    ("code", "upload", "storage"),
    [
        (CRME(1, 8, 6), 8 * 8 * 3, 2 * 27),  # the worker pads a whole input
        (CRME(8, 1, 6), 2 * 3 * 8 * 3, 27 * 8),
        (Uncoded(4, 2, 8), 4 * 8 * 3, 27 * 4),
    ],
    ids=str,
)
def test_an_uncoded_side_is_sent_once(code: Code, upload: int, storage: int) -> None:
    geometry = ConvGeometry((8, 8), 3, 8, (3, 3), padding="same")
    cost = layer_cost(geometry, code, _FREE)
    assert (cost.upload, cost.storage) == (upload, storage)
    assert cost.download == 8 * 8 * 8
    assert cost.multiply_adds == geometry.multiply_adds // code.recovery_threshold


@settings(deadline=None)
@given(data=st.data())
def test_formulas_of_the_paper_where_everything_divides(data: st.DataObject) -> None:
    number = st.integers(1, 4)
    k_a, k_b, n = data.draw(
        st.sampled_from([(1, 4, 3), (4, 1, 3), (4, 4, 6), (8, 4, 9), (6, 4, 7)])
    )
    code = CRME(k_a, k_b, n)
    kh, kw, s, d, c, w_out = (data.draw(number) for _ in range(6))
    d = d if s == 1 else 1
    # A kernel of one row leaves out the rows between strides, which is not the paper's.
    kh, kw = (kh, kw) if s == 1 else (kh + 1, kw + 1)
    h_out, filters = k_a * data.draw(number), k_b * data.draw(number)
    extent_h, extent_w = (kh - 1) * d + 1, (kw - 1) * d + 1
    height, width = (h_out - 1) * s + extent_h, (w_out - 1) * s + extent_w
    geometry = ConvGeometry((height, width), c, filters, (kh, kw), (s, s), (d, d))
    rows = (h_out // k_a - 1) * s + extent_h
    by_height = Cut(replace(geometry, filters=code.ell_b * filters // k_b), 1, k_a, 0)
    assert by_height.upload == c * (rows if k_a > 1 else height) * width
    cost = layer_cost(geometry, code, _FREE)
    delta = code.recovery_threshold
    assert cost.storage * k_b == code.ell_b * kh * kw * c * filters
    assert by_height.answer * code.ell_a * delta == filters * h_out * w_out
    work = code.ell_a * by_height.part.multiply_adds
    assert work * delta == h_out * w_out * filters * c * kh * kw
    each = cost.download // delta
    assert cost.upload + each <= code.ell_a * (by_height.upload + by_height.answer)


@pytest.mark.parametrize("itemsize", [4, 8])
def test_the_price_is_the_sum_of_its_parts(itemsize: int) -> None:
    geometry = ConvGeometry((8, 8), 3, 8, (3, 3), padding="same")
    code = CRME(4, 4, 6)

    def price(**prices: float) -> float:
        every = Prices(**dict.fromkeys(_FIELDS, 0.0) | prices)
        return layer_cost(geometry, code, every, itemsize).price

    # All six get an input, four are waited for; all six hold a kernel.
    wire = (6 * 192 + 512) * itemsize
    held = 6 * 108 * itemsize
    assert price(communication=2.0) == pytest.approx(2 * wire, rel=1e-12)
    assert price(storage=3.0) == pytest.approx(3 * held, rel=1e-12)
    # Four channels in a call run at a quarter of the full rate.
    assert price(computation=5.0) == pytest.approx(5 * 3456 * 4, rel=1e-12)
    # Twelve coded inputs of four blocks; sixteen blocks of four answers each.
    coded = 12 * 4 * 96 + 16 * 4 * 128
    assert price(coding=7.0) == pytest.approx(7 * coded, rel=1e-12)
    assert price(ordering=9.0) == pytest.approx(9 * 108 * itemsize, rel=1e-12)
    together = price(communication=2.0, storage=3.0, computation=5.0)
    assert together == pytest.approx(2 * wire + 3 * held + 20 * 3456, rel=1e-12)


@pytest.mark.parametrize("field", _FIELDS)
@pytest.mark.parametrize("value", [-1e-12, math.nan])
def test_prices_cannot_be_negative(field: str, value: float) -> None:
    with pytest.raises(PlanError, match=f"at least 0. Received: {field}="):
        Prices(**{field: value})


def test_hedging_sends_less_and_plain_blocks_need_no_coding() -> None:
    geometry = ConvGeometry((16, 16), 4, 8, (3, 3), padding="same")
    plain = Systematic(4, 1, 6)

    def coding(code: Code, hedged: bool) -> int:
        return layer_cost(geometry, code, _FREE, hedged=hedged).coding

    assert coding(plain, hedged=True) == 0
    upload = layer_cost(geometry, plain, _FREE).upload
    eager = coding(plain, hedged=False)
    # Two parity inputs of four blocks, and a third of the blocks solved for.
    assert eager == 2 * 4 * upload + 4 * 2 // 6 * 4 * (4 * 16 * 8)
    assert coding(CRME(4, 4, 6), hedged=True) < coding(CRME(4, 4, 6), hedged=False)
    assert coding(Uncoded(2, 2, 4), hedged=False) == 0
    wire = replace(_FREE, communication=1.0)
    prices = [
        layer_cost(geometry, plain, wire, 1, hedged=h).price for h in (True, False)
    ]
    assert prices[1] - prices[0] == pytest.approx(2 * upload)
