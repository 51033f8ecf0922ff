"""Coded layers in two ways: without copies, and as the definition has them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
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
from fcdcc_keras.coding.codec import LayerCodec
from fcdcc_keras.partition import IMAGES, ConvGeometry, Cut, Grid

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
def geometries(draw: st.DrawFn) -> ConvGeometry:
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
        self.stages = LayerCodec(code, geometry, self.inputs)

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
        return self.stages.decode(survivors, results)

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


def assert_close(actual: np.ndarray, expected: np.ndarray, terms: int) -> None:
    """Asserts equality up to the rounding of so many terms."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    scale = np.abs(expected).max(initial=1.0)
    atol = 8 * terms * np.finfo(expected.dtype).eps * scale
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)
