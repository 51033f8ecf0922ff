"""Sizes and padding are TensorFlow's."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import AxisPartition, ChannelPartition, ConvGeometry

_GOOD = {"input_size": (8, 8), "channels": 3, "filters": 4, "kernel_size": (3, 3)}


def _tensorflow(
    geometry: ConvGeometry, x: np.ndarray, k: np.ndarray, padding: Any
) -> np.ndarray:
    import tensorflow as tf

    strides, dilations = geometry.strides, geometry.dilation_rate
    return tf.nn.conv2d(x, k, strides, padding, dilations=dilations).numpy()


def _atol(x: np.ndarray, k: np.ndarray) -> float:
    terms = k[..., 0].size
    return 2 * terms**2 * np.finfo(float).eps * np.abs(x).max() * np.abs(k).max()


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_output_size_and_padding_are_those_of_tensorflow(
    conv: Any,
    geometries: st.SearchStrategy[ConvGeometry],
    data: st.DataObject,
) -> None:
    geometry = data.draw(geometries)
    x, k = conv.arrays(geometry, 1)
    by_name = _tensorflow(geometry, x, k, geometry.padding.upper())
    assert geometry.output_size == by_name.shape[1:3]
    pads = [[0, 0], *map(list, geometry.pads), [0, 0]]
    explicit = _tensorflow(geometry, x, k, pads)
    np.testing.assert_allclose(explicit, by_name, rtol=0, atol=_atol(x, k))
    # The convolution of these tests is TensorFlow's too.
    own = conv.whole(geometry, x, k)
    np.testing.assert_allclose(own, by_name, rtol=0, atol=_atol(x, k))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("strides", "dilation_rate"),
    [((1, 1), (1, 1)), ((2, 2), (1, 1)), ((3, 2), (1, 1)), ((1, 1), (2, 3))],
)
@pytest.mark.parametrize("splits", [(1, 1), (4, 3), (5, 8)])
def test_parts_give_what_keras_gives_in_float64(
    conv: Any,
    reference: Any,
    padding: Any,
    strides: tuple[int, int],
    dilation_rate: tuple[int, int],
    splits: tuple[int, int],
) -> None:
    import keras

    options = {"strides": strides, "dilation_rate": dilation_rate, "padding": padding}
    geometry = ConvGeometry((13, 10), 3, 7, (3, 2), **options)
    x, k = conv.arrays(geometry, 2)
    plain = keras.layers.Conv2D(7, (3, 2), **options, use_bias=False, dtype="float64")
    plain.build(x.shape)
    plain.set_weights([k])
    height, channels = (
        AxisPartition(geometry.axis(0), splits[0]),
        ChannelPartition(geometry.filters, splits[1]),
    )
    pads = [[0, 0], list(height.pads), list(geometry.pads[1]), [0, 0]]
    parts = reference.split_height(geometry, splits[0], x)
    outputs = [
        reference.merge_height(
            geometry, np.stack([_tensorflow(geometry, p, b, pads) for p in parts])
        )
        for b in channels.split(k)
    ]
    merged = reference.merge_channels(geometry.filters, np.stack(outputs))
    np.testing.assert_allclose(merged, plain(x).numpy(), rtol=0, atol=_atol(x, k))


def test_sizes_of_a_known_layer() -> None:
    geometry = ConvGeometry((224, 112), 3, 64, (7, 5), (2, 1), padding="same")
    assert geometry.output_size == (112, 112)
    assert geometry.pads == ((2, 3), (2, 2))
    assert geometry.multiply_adds == 112 * 112 * 64 * 3 * 7 * 5
    dilated = ConvGeometry((20, 20), 1, 1, (3, 5), dilation_rate=(2, 3))
    assert dilated.dilated_kernel == (5, 13)
    assert dilated.output_size == (16, 8)


def test_lists_become_tuples_so_that_geometries_can_be_keys() -> None:
    geometry = ConvGeometry([8, 8], 3, 4, [3, 3], [1, 1], [1, 1])  # type: ignore[arg-type]
    assert geometry == ConvGeometry(**_GOOD)
    assert hash(geometry) == hash(ConvGeometry(**asdict(geometry)))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"input_size": (0, 8)}, r"`input_size` must be two integers.*\(0, 8\)"),
        ({"input_size": (8, 8, 3)}, "`input_size` must be two integers"),
        ({"input_size": 8}, "`input_size` must be two integers"),
        ({"input_size": (8.5, 8)}, "`input_size` must be two integers"),
        ({"input_size": (None, 8)}, "`input_size` must be two integers"),
        (
            {"kernel_size": (3,)},
            r"`input_size` must be one integer.*kernel_size=\(3,\)",
        ),
        ({"kernel_size": 3}, "`input_size` must be one to three integers"),
        ({"kernel_size": ("a", 3)}, "`kernel_size` must be two integers"),
        ({"strides": (1, 0)}, r"`strides` must be two .* strides=\(1, 0\)"),
        ({"dilation_rate": (-1, 1)}, "`dilation_rate` must be two integers"),
        ({"channels": 0}, r"`channels` must be an integer.*channels=0"),
        ({"channels": "3"}, "`channels` must be"),
        ({"filters": -4}, r"`filters` must be an integer.*filters=-4"),
        ({"filters": 2.5}, "`filters` must be"),
        ({"padding": "causal"}, "'valid' or 'same', or the zeros.*'causal'"),
        ({"padding": ((1, -1), (0, 0))}, r"zeros before.*\(1, -1\)"),
        ({"padding": (1, 1)}, r"zeros before.*\(1, 1\)"),
        ({"kernel_size": (9, 3)}, r"as large as the dilated kernel.*\(9, 3\)"),
        ({"dilation_rate": (1, 4)}, r"as large as the dilated kernel.*\(3, 9\)"),
    ],
)
def test_impossible_convolutions(change: dict[str, Any], match: str) -> None:
    with pytest.raises(PlanError, match=match) as caught:
        ConvGeometry(**(_GOOD | change))
    assert "Received:" in str(caught.value)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 2), (1, 4)])
@pytest.mark.parametrize("size", [(7, 9), (8, 12)])
def test_condensed_reads_less_and_gives_the_same(padding, kernel, strides, size):
    import tensorflow as tf

    geometry = ConvGeometry(size, 2, 3, kernel, strides, padding=padding)
    rng = np.random.default_rng(0)
    x, k = rng.normal(size=(2, *size, 2)), rng.normal(size=(*kernel, 2, 3))
    short, small = geometry.condensed, geometry.condense(x)
    assert small.shape[1:3] == short.input_size
    assert short.output_size == geometry.output_size
    assert short.condensed == short
    pads = [[0, 0], *map(list, short.pads), [0, 0]]
    y = tf.nn.conv2d(small, k, short.strides, pads)
    expected = tf.nn.conv2d(x, k, strides, padding.upper())
    np.testing.assert_allclose(y, expected, atol=1e-12)
    for axis in (0, 1):
        read = 1 if kernel[axis] > 1 else strides[axis]
        assert short.input_size[axis] == -(-size[axis] // read)


@pytest.mark.parametrize("padding", ["valid", "same", ((2, 1), (0, 3))])
@pytest.mark.parametrize("kernel", [(3, 1), (3, 2), (4, 3)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (3, 2)])
def test_some_output_rows_are_a_convolution_of_some_input_rows(
    padding: Any, kernel: tuple[int, int], strides: tuple[int, int]
) -> None:
    import tensorflow as tf

    whole = ConvGeometry((11, 9), 2, 3, kernel, strides, padding=padding)
    rng = np.random.default_rng(0)
    x, k = rng.normal(size=(2, 11, 9, 2)), rng.normal(size=(*kernel, 2, 3))

    def convolved(geometry: ConvGeometry, images: np.ndarray) -> np.ndarray:
        assert images.shape[1:3] == geometry.input_size
        pads = [[0, 0], *map(list, geometry.pads), [0, 0]]
        y: np.ndarray = tf.nn.conv2d(images, k, strides, pads).numpy()
        assert y.shape[1:3] == geometry.output_size
        return y

    y = convolved(whole, x)
    rows = whole.output_size[0]
    for start in range(rows):
        for stop in range(start + 1, rows + 1):
            part, taken = whole.of_rows(range(start, stop))
            np.testing.assert_allclose(
                convolved(part, x[:, taken]), y[:, start:stop], atol=1e-12
            )
