"""Grids, bands and blocks: every pixel in one box, the work shared out as it must."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import Box
from fcdcc_keras.partition.boxes import slices
from fcdcc_keras.partition.tiling import bands, blocks, grid, shares

_SPEEDS = st.lists(st.floats(0.01, 10), min_size=1, max_size=4)


def _check_cover(shape: tuple[int, ...], boxes: Iterable[Box]) -> None:
    """Checks that every pixel is in one box, and that no box is empty."""
    times = np.zeros(shape[:-1], int)
    for box in boxes:
        part = times[slices(box)]
        assert part.size
        part += 1
    assert (times == 1).all()


@settings(deadline=None, max_examples=100)
@given(length=st.integers(1, 9), speeds=_SPEEDS)
def test_the_slowest_ends_as_soon_as_can_be(length: int, speeds: list[float]) -> None:
    found = shares(length, speeds)
    assert [row for rows in found for row in rows] == list(range(length))
    ways = product(range(length + 1), repeat=len(speeds) - 1)
    best = min(
        max(n / v for n, v in zip((*way, length - sum(way)), speeds, strict=True))
        for way in ways
        if sum(way) <= length
    )
    worst = max(len(rows) / v for rows, v in zip(found, speeds, strict=True))
    assert worst == pytest.approx(best, rel=1e-12)


def test_shares_in_proportion() -> None:
    assert list(map(len, shares(7, [1, 1, 1]))) == [3, 2, 2]
    assert list(map(len, shares(12, [1, 2, 3]))) == [2, 4, 6]
    assert list(map(len, shares(3, [1, 1, 1, 1, 1]))) == [1, 1, 1, 0, 0]
    assert list(map(len, shares(224, [10, 0.01, 10]))) == [112, 0, 112]
    assert list(map(len, shares(2**20, [1e300, 1e300]))) == [2**19, 2**19]


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    counts=st.tuples(*[st.integers(1, 9)] * 3),
)
def test_a_grid_is_even(shape: tuple[int, ...], counts: tuple[int, ...]) -> None:
    boxes = grid((*shape, 4), counts)
    _check_cover((*shape, 4), boxes)
    assert len(boxes) == np.prod(np.minimum(shape, counts))
    for axis in range(3):
        lengths = {len(box[axis]) for box in boxes}
        assert max(lengths) - min(lengths) <= 1


def test_a_grid_goes_row_by_row() -> None:
    assert grid((1, 5, 4, 3), (1, 2, 2)) == [
        (range(1), range(0, 3), range(0, 2)),
        (range(1), range(0, 3), range(2, 4)),
        (range(1), range(3, 5), range(0, 2)),
        (range(1), range(3, 5), range(2, 4)),
    ]


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    speeds=st.lists(st.floats(0.01, 10), min_size=1, max_size=12),
    axis=st.integers(0, 2),
)
def test_bands_and_blocks_cover_the_output(
    shape: tuple[int, ...], speeds: list[float], axis: int
) -> None:
    for boxes in (bands((*shape, 4), speeds, axis), blocks((*shape, 4), speeds)):
        _check_cover((*shape, 4), boxes.values())
        assert list(boxes) == sorted(boxes)
        assert set(boxes) <= set(range(len(speeds)))


def test_bands_of_unequal_height() -> None:
    images, columns = range(2), range(7)
    assert bands((2, 12, 7, 4), [1, 0.01, 2, 3]) == {
        0: (images, range(0, 2), columns),
        2: (images, range(2, 6), columns),
        3: (images, range(6, 12), columns),
    }
    assert bands((5, 12, 7, 4), [1, 4], 0)[1] == (range(1, 5), range(12), columns)


def test_blocks_are_in_proportion_and_nearly_square() -> None:
    speeds = [1.0, 1, 2, 4, 1, 3]
    boxes = blocks((1, 240, 240, 4), speeds)
    assert list(boxes) == [0, 1, 2, 3, 4, 5]
    for (_, rows, columns), speed in zip(boxes.values(), speeds, strict=True):
        assert len(rows) * len(columns) == 240 * 240 * speed / 12
        assert 1 / 3 <= len(rows) / len(columns) <= 3
    assert blocks((4, 9), [1, 3]) == {0: (range(0, 1),), 1: (range(1, 4),)}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: shares(0, [1.0]), "Received: 0 rows"),
        (lambda: shares(3, []), r"speeds=\[\]"),
        (lambda: shares(3, [1.0, 0.0]), "Leave out workers that stand still"),
        (lambda: shares(3, [1.0, float("nan")]), "nan"),
        (lambda: shares(3, [1.0, float("inf")]), "inf"),
        (lambda: blocks((1, 5, 5, 3), [-1.0]), r"speeds=\[-1.0\]"),
        (lambda: bands((1, 5, 5, 3), []), r"speeds=\[\]"),
        (lambda: bands((1, 5, 5, 3), [1.0], 3), "axis=3, of an output of shape"),
        (lambda: bands((1, 5, 5, 3), [1.0], -1), "axis=-1"),
        (lambda: grid((1, 5, 5, 3), (1, 2)), r"Received: \(1, 2\), of an output"),
        (lambda: grid((1, 5, 5, 3), (1, 0, 2)), r"Received: \(1, 0, 2\)"),
    ],
)
def test_what_cannot_be_cut(make: Any, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        make()
