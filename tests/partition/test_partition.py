"""The convolutions of the parts, merged, are the convolution of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.partition import AxisPartition, ChannelPartition, ConvGeometry

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
    reference: Any,
    geometry: ConvGeometry,
    parts: int,
    x: np.ndarray,
    k: np.ndarray,
) -> np.ndarray:
    g, partition = geometry, AxisPartition(geometry.axis(0), parts)
    pieces = reference.split_height(g, parts, x)
    assert pieces.shape == (parts, len(x), partition.input_rows, x.shape[2], g.channels)
    assert pieces.dtype == x.dtype
    outputs = [
        conv.convolve(p, k, g.strides, g.dilation_rate, partition.pads, g.pads[1])
        for p in pieces
    ]
    assert {len(o[0]) for o in outputs if len(o)} <= {partition.output_rows}
    return reference.merge_height(g, np.stack(outputs))


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_parts_by_height_give_the_whole(
    conv: Any,
    reference: Any,
    geometries: st.SearchStrategy[ConvGeometry],
    data: st.DataObject,
) -> None:
    geometry = data.draw(geometries)
    parts = data.draw(st.integers(1, geometry.output_size[0] + 3), label="k_A")
    x, k = conv.arrays(geometry, data.draw(st.integers(0, 3), label="batch"))
    merged = _by_height(conv, reference, geometry, parts, x, k)
    _close(merged, conv.whole(geometry, x, k), x, k)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_parts_by_height_and_channels_give_the_whole(
    conv: Any,
    reference: Any,
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
    by_block = [_by_height(conv, reference, geometry, k_a, x, b) for b in blocks]
    merged = reference.merge_channels(geometry.filters, np.stack(by_block))
    _close(merged, conv.whole(geometry, x, k), x, k)


@settings(deadline=None)
@given(
    filters=st.integers(1, 12),
    parts=st.integers(1, 16),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_channels_merge_to_what_was_split(
    reference: Any, filters: int, parts: int, dtype: type
) -> None:
    partition = ChannelPartition(filters, parts)
    kernel = np.arange(1, 2 * 3 * filters + 1, dtype=dtype).reshape(2, 1, 3, filters)
    blocks = partition.split(kernel)
    assert blocks.dtype == dtype
    assert partition.block_filters == -(-filters // parts)
    np.testing.assert_array_equal(reference.merge_channels(filters, blocks), kernel)
    filled = [bool(block.any()) for block in blocks]
    assert filled == [j < partition.filled_parts for j in range(parts)]
    # Channels appended are zeros, and those alone.
    assert np.count_nonzero(blocks) == kernel.size


@pytest.mark.parametrize(("filters", "parts"), [(5, 4), (2, 8), (6, 3)])
def test_channel_blocks_are_consecutive(filters: int, parts: int) -> None:
    kernel = np.arange(1.0, filters + 1).reshape(1, 1, 1, filters)
    size = -(-filters // parts)
    padded = [*kernel.ravel(), *[0.0] * (parts * size - filters)]
    blocks = ChannelPartition(filters, parts).split(kernel)
    assert blocks.reshape(parts, size).ravel().tolist() == padded


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_bands_are_where_parts_lie(
    geometries: st.SearchStrategy[ConvGeometry], data: st.DataObject
) -> None:
    geometry = data.draw(geometries)
    parts = data.draw(st.integers(1, geometry.output_size[0] + 3), label="k_A")
    partition = AxisPartition(geometry.axis(0), parts)
    sides = [
        (
            partition.input_bands,
            partition.input_rows,
            partition.step,
            partition.offset,
            geometry.input_size[0],
        ),
        (
            partition.output_bands,
            partition.output_rows,
            partition.output_rows,
            0,
            geometry.output_size[0],
        ),
    ]
    for bands, rows, step, offset, height in sides:
        assert [r for band in bands for r in band.rows] == list(range(rows))
        for band in bands:
            assert len(band.rows) <= step
            for r in band.rows:
                inside = [
                    i for i in range(parts) if 0 <= offset + i * step + r < height
                ]
                assert list(band.parts) == inside
    filled = {i for band in partition.output_bands for i in band.parts}
    assert filled == set(range(partition.filled_parts))
