"""Whether TensorFlow computes what is defined, by sums in float64, where we code."""

from itertools import product

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.rewriting.eligibility import examine

NAMES = ["Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"]
REASON = (
    "with padding='same' and a stride beyond its kernel by more than one, TensorFlow's "
    "result on a CPU is not the one that is defined"
)


def _by_sums(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Returns a convolution with "same" padding: rows of zeros, half of them first."""
    sizes, extents = x.shape[1:-1], kernel.shape[:-2]
    outs = [-(-n // stride) for n in sizes]
    lacking = [
        max(0, (o - 1) * stride + k - n)
        for o, k, n in zip(outs, extents, sizes, strict=True)
    ]
    x = np.pad(x, [(0, 0), *((n // 2, n - n // 2) for n in lacking), (0, 0)])
    y = np.zeros((len(x), *outs, kernel.shape[-1]))
    for place in product(*map(range, extents)):
        ends = [i + (o - 1) * stride + 1 for i, o in zip(place, outs, strict=True)]
        steps = (slice(i, e, stride) for i, e in zip(place, ends, strict=True))
        y += x[(slice(None), *steps)] @ kernel[place]
    return y


def _layer(name: str, size: int, extent: int, stride: int) -> keras.Model:
    rank = int(name[-2])
    filters = {} if name.startswith("Depthwise") else {"filters": 2}
    options = {"kernel_size": extent, "strides": stride, "padding": "same", **filters}
    layer = getattr(keras.layers, name)(dtype="float64", **options)
    shape = (size, *[4] * (rank - 1), 1)
    return keras.Sequential([keras.Input(shape, dtype="float64"), layer])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_coded_is_what_is_defined(name):
    """Over sizes, extents and strides, those beyond the extent among them."""
    rng, refused = np.random.default_rng(0), 0
    for size, extent, stride in product((3, 5, 6, 8), (1, 2), (1, 2, 3, 5)):
        model = _layer(name, size, extent, stride)
        *_, verdict = examine(model)
        if verdict.geometry is None:
            assert verdict.reason == REASON
            assert name == "Conv3D"
            assert stride > extent + 1
            refused += 1
            continue
        x = rng.normal(size=(1, *model.input_shape[1:]))
        expected = _by_sums(x, model.layers[0].kernel.numpy(), stride)
        np.testing.assert_allclose(model.layers[0](x), expected, atol=1e-12)
    assert refused == (12 if name == "Conv3D" else 0)


@pytest.mark.parametrize("size", [6, None])
def test_such_layers_stay_plain(size):
    convolution = keras.layers.Conv3D(2, 3, padding="same", name="coded")
    strided = keras.layers.Conv3D(2, 1, strides=3, padding="same", name="strided")
    inputs = keras.Input((size, 6, 6, 1))
    plain = keras.Model(inputs, strided(convolution(inputs)))
    coded = fk.distribute(plain, fk.LocalExecutor(3), fallback="raise")
    assert fk.report(coded).converted == ("coded",)
    assert fk.report(coded).not_converted["strided"] == REASON
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 6, 1)).astype("float32")
    np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
    with pytest.raises(fk.UnsupportedLayerError, match="is not the one that is defi"):
        fk.distribute(plain, fk.LocalExecutor(3), layers=["strided"])
