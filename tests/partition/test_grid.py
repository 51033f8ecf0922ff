"""Parts that lie in rows and columns give what the whole gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.partition import ConvGeometry, Grid


def merged(conv, grid, x, k, k_b):
    """The whole's convolution from those of its parts and blocks of the kernel."""
    g, filters = grid.geometry, k.shape[-1]
    block = -(-filters // k_b)
    padded = np.pad(k, [(0, 0)] * 3 + [(0, block * k_b - filters)])
    kernels = np.split(padded, k_b, axis=-1)
    blocks = np.array(
        [
            [
                conv.convolve(part, kernel, g.strides, g.dilation_rate)
                for kernel in kernels
            ]
            for part in grid.split(x)
        ]
    )
    assert blocks.shape[3:5] == grid.part.output_size
    output = np.full((len(x), *g.output_size, filters), np.nan)
    grid.merge(blocks, output)
    return output


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_parts_of_a_grid_give_the_whole(conv, geometries, data):
    geometry = data.draw(geometries)
    images, k_b = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    counts = data.draw(st.tuples(st.integers(2, 4), st.integers(2, 4)))
    grid = Grid(geometry, images, (0, 1), counts)
    x, k = conv.arrays(geometry, images)
    whole = conv.whole(geometry, x, k)
    np.testing.assert_allclose(merged(conv, grid, x, k, k_b), whole, atol=1e-9)


def test_a_grid_lies_row_by_row_with_zeros_about_it():
    geometry = ConvGeometry((4, 5), 2, 1, (3, 3), padding="same")
    grid = Grid(geometry, 1, (0, 1), (2, 2))
    x = np.arange(1, 41, dtype="float32").reshape(1, 4, 5, 2)
    parts = grid.split(x)
    assert (parts.shape, parts.dtype) == ((4, 1, 4, 5, 2), np.float32)
    around = np.pad(x, [(0, 0), (1, 1), (1, 2), (0, 0)])
    for i, (row, column) in enumerate([(0, 0), (0, 3), (2, 0), (2, 3)]):
        expected = around[:, row : row + 4, column : column + 5]
        np.testing.assert_array_equal(parts[i], expected)


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)])
def test_a_grid_along_any_two_lengths(axes):
    geometry = ConvGeometry((3, 4, 5), 1, 2, (1, 1, 1))
    grid = Grid(geometry, 2, axes, (2, 3))
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 1))
    kernel = np.array([2.0, -3.0])
    blocks = np.array([[part * weight for weight in kernel] for part in grid.split(x)])
    output = np.full((2, 3, 4, 5, 2), np.nan)
    grid.merge(blocks, output)
    np.testing.assert_array_equal(output, x * kernel)
