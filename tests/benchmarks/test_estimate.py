"""Medians, ratios, differences and slopes, with their quartiles."""

import pytest

from benchmarks.figures.estimate import Estimate, difference, median, ratio, slope


def test_median_and_interquartile_range() -> None:
    found = median([5, 1, 2, 4, 3])
    assert found == Estimate(3, (2, 4))
    assert found.spread == 2
    assert found.to_json() == {"value": 3, "spread": 2}


def test_one_bad_round_does_not_show() -> None:
    assert median([1, 2, 3, 4, 1000]) == median([1, 2, 3, 4, 5])


def test_ratio_is_taken_within_rounds() -> None:
    # Medians would give 4 / 4, of rounds that do not belong together.
    assert ratio([2, 4, 30], [1, 4, 10]) == Estimate(2, (1.5, 2.5))


def test_ratio_does_not_see_what_slows_both() -> None:
    slowed = [2.0, 2.0, 20.0, 20.0]
    assert ratio(slowed, [s / 2 for s in slowed]) == Estimate(2, (2, 2))


def test_difference_and_its_weight() -> None:
    assert difference([10, 11, 12], [1, 2, 3]) == Estimate(9, (9, 9))
    assert difference([10, 11, 12], [1, 1, 1], weight=4) == Estimate(7, (6.5, 7.5))


def test_units() -> None:
    assert median([1, 2, 3]).scaled(1e3) == Estimate(2e3, (1.5e3, 2.5e3))


def test_slope_of_each_round() -> None:
    found = slope(
        {2: [5, 3, 7], 4: [9, 5, 13], 8: [17, 9, 25]}
    )  # 2x + 1, x + 1, 3x + 1
    assert found.value == pytest.approx(2)
    assert found.quartiles == pytest.approx((1.5, 2.5))


def test_rounds_must_belong_together() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1, 2], [1])
