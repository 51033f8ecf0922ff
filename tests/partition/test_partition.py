"""The convolutions of the parts, merged, are the convolution of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.partition import ChannelPartition, ConvGeometry, HeightPartition

_EPS = np.finfo(np.float64).eps


def _close(
    actual: np.ndarray, expected: np.ndarray, x: np.ndarray, k: np.ndarray
) -> None:
    """Two sums of the same products in different order."""
    terms = k[..., 0].size
    largest = np.abs(x).max(initial=0) * np.abs(k).max()
    assert actual.shape == expected.shape
    np.testing.assert_allclose(
        actual, expected, rtol=0, atol=2 * terms**2 * _EPS * largest
    )


def _by_height(
    conv: Any,
    geometry: ConvGeometry,
    parts: int,
    x: np.ndarray,
    k: np.ndarray,
) -> np.ndarray:
    g, partition = geometry, HeightPartition(geometry, parts)
    pieces = partition.split(x)
    assert pieces.shape == (parts, len(x), partition.input_rows, x.shape[2], g.channels)
    assert pieces.dtype == x.dtype
    outputs = [
        conv.convolve(p, k, g.strides, g.dilation_rate, (0, 0), g.pad_width)
        for p in pieces
    ]
    assert {len(o[0]) for o in outputs if len(o)} <= {partition.output_rows}
    return partition.merge(np.stack(outputs))


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_parts_by_height_give_the_whole(
    conv: Any,
    geometries: st.SearchStrategy[ConvGeometry],
    data: st.DataObject,
) -> None:
    geometry = data.draw(geometries)
    parts = data.draw(st.integers(1, geometry.output_size[0] + 3), label="k_A")
    x, k = conv.arrays(geometry, data.draw(st.integers(0, 3), label="batch"))
    merged = _by_height(conv, geometry, parts, x, k)
    _close(merged, conv.whole(geometry, x, k), x, k)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_parts_by_height_and_channels_give_the_whole(
    conv: Any,
    geometries: st.SearchStrategy[ConvGeometry],
    data: st.DataObject,
) -> None:
    geometry = data.draw(geometries)
    k_a = data.draw(st.integers(1, 6), label="k_A")
    k_b = data.draw(st.integers(1, geometry.filters + 3), label="k_B")
    x, k = conv.arrays(geometry, data.draw(st.integers(0, 2), label="batch"))
    channels = ChannelPartition(geometry.filters, k_b)
    blocks = channels.split(k)
    assert blocks.shape == (k_b, *k.shape[:-1], channels.block_filters)
    merged = channels.merge(
        np.stack([_by_height(conv, geometry, k_a, x, block) for block in blocks])
    )
    _close(merged, conv.whole(geometry, x, k), x, k)


@settings(deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 16), st.sampled_from([np.float32, np.float64])
)
def test_channels_merge_what_they_split(filters: int, parts: int, dtype: type) -> None:
    partition = ChannelPartition(filters, parts)
    kernel = np.arange(1, 2 * 3 * filters + 1, dtype=dtype).reshape(2, 1, 3, filters)
    blocks = partition.split(kernel)
    assert blocks.dtype == dtype
    assert partition.block_filters == -(-filters // parts)
    np.testing.assert_array_equal(partition.merge(blocks), kernel)
    # Channels appended are zeros, and those alone.
    assert np.count_nonzero(blocks) == kernel.size


@pytest.mark.parametrize(("filters", "parts"), [(5, 4), (2, 8), (6, 3)])
def test_channel_blocks_are_consecutive(filters: int, parts: int) -> None:
    kernel = np.arange(1.0, filters + 1).reshape(1, 1, 1, filters)
    size = -(-filters // parts)
    padded = [*kernel.ravel(), *[0.0] * (parts * size - filters)]
    blocks = ChannelPartition(filters, parts).split(kernel)
    assert blocks.reshape(parts, size).ravel().tolist() == padded


@pytest.mark.parametrize(
    ("padding", "strides", "parts", "expected"),
    [
        # h' = 4, step 4: rows 0 to 5 and 4 to 9.
        ("valid", (1, 1), 2, [[1, 2, 3, 4, 5, 6], [5, 6, 7, 8, 9, 10]]),
        # H' = 10, h' = 4: a zero above, three below; the last part ends in zeros.
        (
            "same",
            (1, 1),
            3,
            [[0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9], [8, 9, 10, 0, 0, 0]],
        ),
        # H' = 4, h' = 1, a step of 2; the fifth and sixth parts see rows of no use.
        (
            "valid",
            (2, 1),
            6,
            [[1, 2, 3], [3, 4, 5], [5, 6, 7], [7, 8, 9], [9, 10, 0], [0, 0, 0]],
        ),
        # Nothing is missing above for an even height and stride 2.
        ("same", (2, 1), 2, [[1, 2, 3, 4, 5, 6, 7], [7, 8, 9, 10, 0, 0, 0]]),
    ],
)
def test_rows_of_the_parts(
    padding: str, strides: tuple[int, int], parts: int, expected: list[list[float]]
) -> None:
    geometry = ConvGeometry((10, 3), 1, 1, (3, 3), strides, (1, 1), padding)  # type: ignore[arg-type]
    x = np.repeat(np.arange(1.0, 11), 3).reshape(1, 10, 3, 1)
    pieces = HeightPartition(geometry, parts).split(x)
    assert pieces[:, 0, :, 1, 0].tolist() == expected


def test_an_infinity_stays_in_the_parts_that_see_it() -> None:
    geometry = ConvGeometry((8, 4), 1, 1, (3, 3), padding="same")
    x = np.ones((1, 8, 4, 1))
    x[0, 0, 0] = np.nan
    pieces = HeightPartition(geometry, 4).split(x)
    assert [bool(np.isfinite(p).all()) for p in pieces] == [False, True, True, True]
