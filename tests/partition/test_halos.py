"""Halos: what tiles read is put together from results, each number exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.partition import Box
from fcdcc_keras.partition.boxes import slices
from fcdcc_keras.partition.halos import Halo, halos

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=4)
"""Images, and one to three axes."""


@st.composite
def _partition(draw: st.DrawFn, sizes: Sequence[int]) -> list[Box]:
    """Draws boxes that make a value up: an uneven grid, with its boxes in any order."""
    boxes: list[Box] = [()]
    for size in sizes:
        cuts = draw(st.sets(st.integers(1, size), max_size=2)) - {size}
        ends = [0, *sorted(cuts), size]
        parts = [range(*rows) for rows in pairwise(ends)]
        boxes = [(*box, rows) for box in boxes for rows in parts]
    return draw(st.permutations(boxes))


@st.composite
def _box(draw: st.DrawFn, sizes: Sequence[int]) -> Box:
    begins = [draw(st.integers(0, size - 1)) for size in sizes]
    return tuple(
        range(begin, draw(st.integers(begin + 1, size)))
        for begin, size in zip(begins, sizes, strict=True)
    )


@settings(deadline=None, max_examples=80)
@given(data=st.data(), sizes=SIZES)
def test_what_tiles_read_is_put_together(data: st.DataObject, sizes: list[int]) -> None:
    value = np.arange(2 * np.prod(sizes)).reshape(*sizes, 2)
    results = data.draw(_partition(sizes))
    reads = data.draw(st.lists(_box(sizes), min_size=1, max_size=4))
    put = [np.full_like(value[slices(read)], -1) for read in reads]
    for halo in halos(results, reads):
        given_ = value[slices(results[halo.giver])][slices(halo.given)]
        there = put[halo.taker][slices(halo.taken)]
        assert given_.size
        assert there.shape == given_.shape  # all of it lies within
        assert (there == -1).all()
        there[...] = given_
    for read, whole in zip(reads, put, strict=True):
        np.testing.assert_array_equal(whole, value[slices(read)])


def test_of_two_bands_the_row_between_goes_both_ways() -> None:
    whole = range(6)
    results = [(range(1), range(0, 3), whole), (range(1), range(3, 8), whole)]
    reads = [(range(1), range(0, 4), whole), (range(1), range(2, 8), whole)]
    one = range(1)
    assert list(halos(results, reads)) == [
        Halo(0, 0, (one, range(3), whole), (one, range(3), whole)),
        Halo(0, 1, (one, range(2, 3), whole), (one, range(1), whole)),
        Halo(1, 0, (one, range(1), whole), (one, range(3, 4), whole)),
        Halo(1, 1, (one, range(5), whole), (one, range(1, 6), whole)),
    ]


def test_who_reads_nothing_of_another_gets_nothing() -> None:
    images = [(range(0, 1), range(4)), (range(1, 3), range(4))]
    assert [(h.giver, h.taker) for h in halos(images, images)] == [(0, 0), (1, 1)]
