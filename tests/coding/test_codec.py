"""Encoding and decoding without copies is splitting, combining and merging."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.codes import (
    CRME,
    Code,
    Systematic,
    Uncoded,
)
from fcdcc_keras.coding import decoding
from fcdcc_keras.coding.codec import LayerCodec
from fcdcc_keras.partition import ChannelPartition, ConvGeometry, Grid
from fcdcc_keras.planning import LayerPlan
from tests.execution.coded_layer import CODES, Layer, assert_close, geometries

_DRAWN = {
    "code": st.sampled_from(CODES),
    "geometry": geometries(),
    "batch": st.integers(1, 3),
    "dtype": st.sampled_from([np.float32, np.float64]),
    "data": st.data(),
}


@settings(deadline=None, max_examples=400)
@given(**_DRAWN)
def test_encoding_is_splitting_and_combining(
    reference: Any,
    code: Code,
    geometry: ConvGeometry,
    batch: int,
    dtype: type,
    data: st.DataObject,
) -> None:
    layer = Layer(reference, code, geometry, batch, dtype)
    everyone = list(range(code.workers))
    workers = data.draw(st.permutations(everyone), label="workers")
    workers = workers[: data.draw(st.integers(1, code.workers))]
    coded = layer.stages.encode(workers)
    assert all(one.flags.c_contiguous for one in coded)
    assert_close(coded, layer.encoded(workers), code.k_a)


@settings(deadline=None, max_examples=400)
@given(at_hand=st.sampled_from([1, 2000, 1 << 20]), **_DRAWN)
def test_decoding_is_combining_and_merging(
    reference: Any,
    code: Code,
    geometry: ConvGeometry,
    batch: int,
    dtype: type,
    at_hand: int,
    data: st.DataObject,
) -> None:
    layer = Layer(reference, code, geometry, batch, dtype)
    survivors = data.draw(
        st.sets(st.integers(0, code.workers - 1), min_size=code.recovery_threshold)
        .filter(code.decodable)
        .map(lambda chosen: tuple(sorted(chosen))),
        label="survivors",
    )
    results = layer.results(survivors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "AT_HAND", at_hand)  # few rows at a time, or all
        output = layer.decode(survivors, results)
    largest = np.abs(code.decoder(survivors).matrix).max()
    terms = int(np.ceil(largest * len(code.decoder(survivors).matrix)))
    assert_close(output, layer.decoded(survivors, results), terms)
    assert output.flags.c_contiguous
    assert output.ctypes.data % 64 == 0


@pytest.mark.parametrize("code", CODES, ids=str)
def test_plain_inputs_keep_trouble_in_other_parts_out(
    reference: Any, code: Code
) -> None:
    layer = Layer(reference, code, ConvGeometry((16, 3), 1, 8, (3, 3)), 2, np.float32)
    layer.inputs[:, 0], layer.inputs[1, -1] = np.nan, np.inf
    workers = list(range(code.workers))
    with np.errstate(invalid="ignore"):
        coded, expected = layer.stages.encode(workers), layer.encoded(workers)
    finite = np.isfinite(expected)
    assert (np.isfinite(coded) | ~finite).all()
    plain = np.count_nonzero(code.input_matrix, axis=0) == 1
    plain = plain.reshape(code.workers, -1).all(axis=1)
    np.testing.assert_array_equal(coded[plain], expected[plain])


@pytest.mark.parametrize("code", CODES, ids=str)
def test_plain_blocks_keep_trouble_in_other_results_out(
    reference: Any, code: Code
) -> None:
    layer = Layer(reference, code, ConvGeometry((16, 3), 1, 7, (3, 3)), 2, np.float32)
    survivors = tuple(range(code.workers - code.stragglers))
    for bad in range(len(survivors)):
        results = layer.results(survivors)
        results[bad].flat[::2], results[bad].flat[1::2] = np.nan, np.inf
        with np.errstate(invalid="ignore"):
            output = layer.decode(survivors, results)
            expected = layer.decoded(survivors, results)
        assert (np.isfinite(output) | ~np.isfinite(expected)).all()


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
def test_rows_of_plain_parts(
    padding: Any, strides: tuple[int, int], parts: int, expected: list[list[float]]
) -> None:
    geometry = ConvGeometry((10, 3), 1, 1, (3, 3), strides, (1, 1), padding)
    x = np.repeat(np.arange(1.0, 11), 3).reshape(1, 10, 3, 1)
    plan = LayerPlan.of("x", geometry, Uncoded(parts, 1, parts))
    coded = LayerCodec(plan.code, geometry, x).encode(range(parts))
    assert coded[:, 0, :, 1, 0].tolist() == expected


def test_an_uncoded_input_is_sent_as_it_is(reference: Any) -> None:
    geometry = ConvGeometry((9, 7), 3, 6, (3, 3), padding="same")
    layer = Layer(reference, CRME(1, 8, 6), geometry, 2, np.float32)
    for coded in layer.stages.encode(range(6)):
        assert np.shares_memory(coded, layer.inputs)
        np.testing.assert_array_equal(coded, layer.inputs)
    assert layer.stages.part.pads == ((1, 1), (1, 1))


def test_inputs_need_not_be_contiguous(reference: Any) -> None:
    geometry = ConvGeometry((9, 7), 3, 6, (3, 3), padding="same")
    layer = Layer(reference, CRME(4, 4, 6), geometry, 2, np.float64)
    layer.inputs = np.asfortranarray(layer.inputs)
    plan = LayerPlan.of("x", geometry, CRME(4, 4, 6))
    coded = LayerCodec(plan.code, geometry, layer.inputs).encode([3, 1])
    assert_close(coded, layer.encoded([3, 1]), 4)


def test_padding_is_neither_computed_nor_merged(reference: Any) -> None:
    # 8 parts of 2 rows for 9 rows: parts 5 to 7 are padding; 5 blocks of 2 for 9.
    geometry = ConvGeometry((9, 7), 3, 9, (3, 3), padding="same")
    code = Systematic(8, 5, 50)
    layer = Layer(reference, code, geometry, 1, np.float64)
    assert ChannelPartition(9, 5).block_filters == 2
    survivors = tuple(range(10, 50))
    results = layer.results(survivors)
    output = layer.decode(survivors, results)
    assert_close(output, layer.decoded(survivors, results), 10**4)


@pytest.mark.parametrize("rows", [slice(None), slice(2, 7)])
def test_a_part_of_a_larger_output_is_filled_in(reference: Any, rows: slice) -> None:
    # The images of a band lie apart: the view that a cut by width needs is a copy.
    geometry = ConvGeometry((9, 40), 3, 4, (3, 3), padding="same")
    band, taken = geometry.of_rows(range(9)[rows])
    layer = Layer(reference, CRME(4, 1, 3), band, 2, np.float64)
    assert layer.stages.parts.index == 1
    assert layer.inputs.shape[1] == len(range(9)[taken])
    results, whole = layer.results((0, 2)), np.zeros((2, 9, 40, 4))
    layer.stages.decode((0, 2), results, whole[:, rows])
    np.testing.assert_array_equal(whole[:, rows], layer.decode((0, 2), results))
    assert not np.delete(whole, range(9)[rows], 1).any()


@pytest.mark.parametrize(("strides", "rows"), [(1, slice(None)), (2, slice(1, 5))])
def test_a_grid_of_parts_where_the_map_is_small(
    reference: Any, strides: int, rows: slice
) -> None:
    geometry = ConvGeometry((14, 14), 3, 6, (3, 3), (strides, strides), padding="same")
    band, _ = geometry.of_rows(range(geometry.output_size[0])[rows])
    code = CRME(36, 4, 40)
    layer = Layer(reference, code, band, 2, np.float64)
    assert isinstance(layer.stages.parts, Grid)
    assert math.prod(layer.stages.parts.counts) == 36
    workers = [3, 39, 0]
    assert_close(layer.stages.encode(workers), layer.encoded(workers), 36)
    survivors = tuple(range(2, 38))
    results = layer.results(survivors)
    whole = np.zeros((2, *geometry.output_size, 6))
    layer.stages.decode(survivors, results, whole[:, rows])
    terms = int(np.abs(code.decoder(survivors).matrix).sum(axis=0).max())
    assert_close(whole[:, rows], layer.decoded(survivors, results), terms)
