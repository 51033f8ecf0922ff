"""A slow convolution of our own, and convolutions to try it on."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import strategies as st

from fcdcc_keras.partition import ConvGeometry

_SIDE = st.integers(1, 5)


def _convolve(
    inputs: np.ndarray,
    kernel: np.ndarray,
    strides: tuple[int, int],
    dilation_rate: tuple[int, int],
    pad_height: tuple[int, int] = (0, 0),
    pad_width: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Returns the convolution, position of the kernel by position."""
    padded = np.pad(inputs, [(0, 0), pad_height, pad_width, (0, 0)])
    kh, kw, _, filters = kernel.shape
    (sh, sw), (dh, dw) = strides, dilation_rate
    rows = (padded.shape[1] - (kh - 1) * dh - 1) // sh + 1
    columns = (padded.shape[2] - (kw - 1) * dw - 1) // sw + 1
    outputs = np.zeros((len(inputs), rows, columns, filters))
    for p in range(kh):
        for q in range(kw):
            seen = padded[:, p * dh :: sh, q * dw :: sw][:, :rows, :columns]
            outputs += seen @ kernel[p, q]
    return outputs


def _same_pad(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros (before, after), as TensorFlow's documentation of "SAME" has them."""
    extent = (kernel - 1) * dilation + 1
    rest = size % stride
    total = max(extent - (stride if rest == 0 else rest), 0)
    return total // 2, total - total // 2


def _whole(geometry: ConvGeometry, x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Returns the convolution that a geometry describes."""
    g = geometry
    pads = [(0, 0), (0, 0)]
    if g.padding == "same":
        pads = [
            _same_pad(
                x.shape[1 + axis], k.shape[axis], g.strides[axis], g.dilation_rate[axis]
            )
            for axis in (0, 1)
        ]
    return _convolve(x, k, g.strides, g.dilation_rate, *pads)


@st.composite
def _geometries(draw: st.DrawFn) -> ConvGeometry:
    """Every kind of convolution that TensorFlow has."""
    strides, dilation = draw(
        st.one_of(
            st.tuples(st.tuples(*[st.integers(1, 3)] * 2), st.just((1, 1))),
            st.tuples(st.just((1, 1)), st.tuples(*[st.integers(1, 3)] * 2)),
        )
    )
    kernel = draw(st.tuples(_SIDE, _SIDE))
    padding = draw(st.sampled_from(["valid", "same"]))
    least = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding == "same":
        least = [1, 1]
    size = tuple(draw(st.integers(n, n + 12)) for n in least)
    channels, filters = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    return ConvGeometry(size, channels, filters, kernel, strides, dilation, padding)


def _arrays(geometry: ConvGeometry, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns an input and a kernel."""
    g = geometry
    rng = np.random.default_rng(batch)
    inputs = rng.standard_normal((batch, *g.input_size, g.channels))
    return inputs, rng.standard_normal((*g.kernel_size, g.channels, g.filters))


@pytest.fixture(scope="session")
def conv() -> SimpleNamespace:
    return SimpleNamespace(convolve=_convolve, whole=_whole, arrays=_arrays)


@pytest.fixture(scope="session")
def geometries() -> st.SearchStrategy[ConvGeometry]:
    return _geometries()
