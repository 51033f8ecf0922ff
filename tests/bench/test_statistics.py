"""Medians, ratios, differences and slopes, with their quartiles."""

import pytest

from fcdcc_keras.bench.statistics import Estimate, difference, median, ratio, slope


def test_median_and_interquartile_range() -> None:
    found = median([5, 1, 2, 4, 3])
    assert found == Estimate(3, (2, 4))
    assert found.spread == 2
    assert found.to_json() == {"value": 3, "spread": 2}


def test_one_bad_round_does_not_show() -> None:
    assert median([1, 2, 3, 4, 1000]) == median([1, 2, 3, 4, 5])


def test_ratio_is_that_of_medians_with_quartiles_of_rounds() -> None:
    found = ratio([2, 4, 30], [1, 4, 10])
    assert found.value == 1  # 4 over 4, whatever the rounds' 2, 1 and 3
    assert found.quartiles == (1.5, 2.5)


def test_ratio_does_not_see_what_slows_both() -> None:
    steady, slowed = [2.0] * 4, [2.0, 2.0, 20.0, 20.0]
    assert ratio(slowed, [s / 2 for s in slowed]) == ratio(steady, [1.0] * 4)


def test_difference_and_its_weight() -> None:
    assert difference([10, 11, 12], [1, 2, 3]) == Estimate(9, (9, 9))
    assert difference([10, 11, 12], [1, 1, 1], weight=4) == Estimate(7, (6.5, 7.5))


def test_units() -> None:
    assert median([1, 2, 3]).scaled(1e3) == Estimate(2e3, (1.5e3, 2.5e3))


def test_slope_through_medians() -> None:
    found = slope({2: [5, 5, 5], 4: [9, 9, 10], 8: [17, 17, 17]})
    assert found.value == pytest.approx(2)
    low, high = found.quartiles
    assert low <= 2 <= high + 1e-12


def test_rounds_must_belong_together() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1, 2], [1])
