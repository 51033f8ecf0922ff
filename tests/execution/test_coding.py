"""Encoding and decoding without copies is splitting, combining and merging."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.codes import (
    CRME,
    Code,
    KhatriRao,
    Quaternion,
    Replication,
    Rotation,
    Systematic,
    Uncoded,
)
from fcdcc_keras.execution import decoding
from fcdcc_keras.execution.stages import Stages
from fcdcc_keras.partition import IMAGES, ChannelPartition, ConvGeometry, Cut, Grid
from fcdcc_keras.planning import LayerPlan

CODES = [
    CRME(1, 1, 3),
    CRME(1, 8, 6),
    CRME(8, 1, 6),
    CRME(4, 4, 6),
    Quaternion(4, 4, 6, side="kernel"),
    Quaternion(8, 2, 6),
    Rotation(4, 4, 6),
    KhatriRao(1, 1, 3),
    KhatriRao(1, 3, 5),
    KhatriRao(3, 1, 5),
    KhatriRao(3, 2, 8),
    Systematic(4, 1, 6),
    Systematic(1, 4, 6),
    Systematic(2, 2, 6),
    Systematic(8, 2, 6, parity="quaternion"),
    Systematic(4, 4, 6, parity="quaternion", side="kernel"),
    Uncoded(3, 2, 6),
    Uncoded(1, 4, 4),
    Replication(2, 2, 9),
]


@st.composite
def _geometries(draw: st.DrawFn) -> ConvGeometry:
    """Convolutions of all kinds; of many, whole parts or blocks are padding."""
    stride, dilation = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)]))
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 3)))
    padding = draw(st.sampled_from(["valid", "same"]))
    extent = (kernel[0] - 1) * dilation + 1
    least = extent if padding == "valid" else 1
    height = draw(st.integers(least, least + 20))
    return ConvGeometry(
        (height, draw(st.integers(7, 9))),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 9)),
        kernel,
        (stride, draw(st.integers(1, 2)) if stride > 1 else 1),
        (dilation, dilation),
        padding,
    )


class Layer:
    """One input of a layer, coded in both ways."""

    def __init__(
        self,
        reference: Any,
        code: Code,
        geometry: ConvGeometry,
        batch: int,
        dtype: type,
        seed: int = 0,
    ) -> None:
        self._reference, self._code, self._geometry = reference, code, geometry
        self._rng = np.random.default_rng(seed)
        shape = (batch, *geometry.input_size, geometry.channels)
        self.inputs = self._rng.standard_normal(shape).astype(dtype)
        self.stages = Stages(code, geometry, self.inputs)

    def encoded(self, workers: list[int]) -> np.ndarray:
        """Returns the coded inputs as the definition has them."""
        coded = self._code.encode_input(self._split(), workers)
        return coded.reshape(len(workers), -1, *coded.shape[3:])

    def _split(self) -> np.ndarray:
        """Returns the parts, cut along the height of what may have been turned."""
        g, parts = self._geometry, self.stages.parts
        split = self._reference.split_height
        if isinstance(parts, Grid):
            down, across = parts.counts
            rows = split(g, down, self.inputs).swapaxes(2, 3)
            pieces = [split(_turned(g), across, row) for row in rows]
            return np.concatenate(pieces).swapaxes(2, 3)
        assert isinstance(parts, Cut)
        if parts.index == IMAGES:
            flat = self.inputs.reshape(1, len(self.inputs), -1, g.channels)
            pieces = split(_row_of_images(g, len(flat[0])), self._code.k_a, flat)
            return pieces.reshape(len(pieces), -1, *g.input_size, g.channels)
        if parts.index == 0:
            return split(g, self._code.k_a, self.inputs)
        turned = self.inputs.swapaxes(1, 2)
        return split(_turned(g), self._code.k_a, turned).swapaxes(2, 3)

    def _merge(self, blocks: np.ndarray) -> np.ndarray:
        """Returns the output from those of the parts, the same way."""
        g, parts = self._geometry, self.stages.parts
        merge = self._reference.merge_height
        if isinstance(parts, Grid):
            down, across = parts.counts
            turned = blocks.swapaxes(2, 3)
            rows = turned.reshape(down, across, *turned.shape[1:])
            rows = np.stack([merge(_turned(g), row) for row in rows])
            return merge(g, rows.swapaxes(2, 3))
        assert isinstance(parts, Cut)
        if parts.index == IMAGES:
            flat = blocks.reshape(
                len(blocks), 1, -1, math.prod(g.output_size), g.filters
            )
            images = merge(_row_of_images(g, len(self.inputs)), flat)
            return images.reshape(len(self.inputs), *g.output_size, g.filters)
        if parts.index == 0:
            return merge(g, blocks)
        return merge(_turned(g), blocks.swapaxes(2, 3)).swapaxes(1, 2)

    def results(self, survivors: tuple[int, ...]) -> list[np.ndarray]:
        """Returns random results."""
        shape = (len(survivors), *self.stages.result_shape)
        return list(self._rng.standard_normal(shape).astype(self.inputs.dtype))

    def decode(
        self, survivors: tuple[int, ...], results: list[np.ndarray]
    ) -> np.ndarray:
        """Returns what is decoded without copies."""
        collector: Any = SimpleNamespace(survivors=survivors, results=results)
        return self.stages.decode(collector)

    def decoded(
        self, survivors: tuple[int, ...], results: list[np.ndarray]
    ) -> np.ndarray:
        """Returns the output as the definition has it."""
        code, g = self._code, self._geometry
        _, rows, width, filters = self.stages.result_shape
        split = np.stack(results).reshape(
            len(survivors),
            code.ell_a,
            -1,
            rows,
            width,
            code.ell_b,
            filters // code.ell_b,
        )
        in_order = np.moveaxis(split, -2, 2)
        blocks = code.decoder(survivors).decode(
            in_order.reshape(-1, *in_order.shape[3:])
        )
        blocks = blocks.reshape(code.k_a, code.k_b, *blocks.shape[1:])
        by_part = [
            self._reference.merge_channels(g.filters, blocks[i])
            for i in range(code.k_a)
        ]
        return self._merge(np.stack(by_part))


def _turned(g: ConvGeometry) -> ConvGeometry:
    """Returns a geometry with its width as its height."""
    return ConvGeometry(
        g.input_size[::-1],
        g.channels,
        g.filters,
        g.kernel_size[::-1],
        g.strides[::-1],
        g.dilation_rate[::-1],
        g.pads[::-1],
    )


def _row_of_images(g: ConvGeometry, images: int) -> ConvGeometry:
    """Returns a geometry that has images for rows, of which none reads another."""
    return ConvGeometry((images, 1), g.channels, g.filters, (1, 1))


def _assert_close(actual: np.ndarray, expected: np.ndarray, terms: int) -> None:
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    scale = np.abs(expected).max(initial=1.0)
    atol = 8 * terms * np.finfo(expected.dtype).eps * scale
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


_DRAWN = {
    "code": st.sampled_from(CODES),
    "geometry": _geometries(),
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
    _assert_close(coded, layer.encoded(workers), code.k_a)


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
    _assert_close(output, layer.decoded(survivors, results), terms)
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
    coded = Stages(plan.code, geometry, x).encode(range(parts))
    assert coded[:, 0, :, 1, 0].tolist() == expected


def test_an_uncoded_input_is_sent_as_it_is(reference: Any) -> None:
    geometry = ConvGeometry((9, 7), 3, 6, (3, 3), padding="same")
    layer = Layer(reference, CRME(1, 8, 6), geometry, 2, np.float32)
    for coded in layer.stages.encode(range(6)):
        assert np.shares_memory(coded, layer.inputs)
        np.testing.assert_array_equal(coded, layer.inputs)
    assert layer.stages.convolution.pads == ((1, 1), (1, 1))


def test_inputs_need_not_be_contiguous(reference: Any) -> None:
    geometry = ConvGeometry((9, 7), 3, 6, (3, 3), padding="same")
    layer = Layer(reference, CRME(4, 4, 6), geometry, 2, np.float64)
    layer.inputs = np.asfortranarray(layer.inputs)
    plan = LayerPlan.of("x", geometry, CRME(4, 4, 6))
    coded = Stages(plan.code, geometry, layer.inputs).encode([3, 1])
    _assert_close(coded, layer.encoded([3, 1]), 4)


def test_padding_is_neither_computed_nor_merged(reference: Any) -> None:
    # 8 parts of 2 rows for 9 rows: parts 5 to 7 are padding; 5 blocks of 2 for 9.
    geometry = ConvGeometry((9, 7), 3, 9, (3, 3), padding="same")
    code = Systematic(8, 5, 50)
    layer = Layer(reference, code, geometry, 1, np.float64)
    assert ChannelPartition(9, 5).block_filters == 2
    survivors = tuple(range(10, 50))
    results = layer.results(survivors)
    output = layer.decode(survivors, results)
    _assert_close(output, layer.decoded(survivors, results), 10**4)


@pytest.mark.parametrize("rows", [slice(None), slice(2, 7)])
def test_a_part_of_a_larger_output_is_filled_in(reference: Any, rows: slice) -> None:
    # The images of a band lie apart: the view that a cut by width needs is a copy.
    geometry = ConvGeometry((9, 40), 3, 4, (3, 3), padding="same")
    band, taken = geometry.of_rows(range(9)[rows])
    layer = Layer(reference, CRME(4, 1, 3), band, 2, np.float64)
    assert layer.stages.parts.index == 1
    assert layer.inputs.shape[1] == len(range(9)[taken])
    results, whole = layer.results((0, 2)), np.zeros((2, 9, 40, 4))
    collector: Any = SimpleNamespace(survivors=(0, 2), results=results)
    layer.stages.decode(collector, whole[:, rows])
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
    _assert_close(layer.stages.encode(workers), layer.encoded(workers), 36)
    survivors = tuple(range(2, 38))
    results = layer.results(survivors)
    whole = np.zeros((2, *geometry.output_size, 6))
    collector: Any = SimpleNamespace(survivors=survivors, results=results)
    layer.stages.decode(collector, whole[:, rows])
    terms = int(np.abs(code.decoder(survivors).matrix).sum(axis=0).max())
    _assert_close(whole[:, rows], layer.decoded(survivors, results), terms)
