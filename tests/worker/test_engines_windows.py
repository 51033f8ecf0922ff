"""Convolutions and pooling on every engine, in both types, against Keras in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras import programs as p
from fcdcc_keras.partition import ConvGeometry
from tests.worker.engines import check, numbers, of

_few = settings(deadline=None, max_examples=25)
_CHANNELS = 4


def _each(rank: int, least: int, most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(least, most)] * rank)


@st.composite
def _windows(draw: Any, ranks: tuple[int, ...] = (1, 2, 3)) -> dict[str, Any]:
    """Draws sizes of an input, a window, its strides, gaps and padding."""
    rank = draw(st.sampled_from(ranks))
    window = draw(_each(rank, 1, 3))
    pads = draw(st.tuples(*[_each(2, 0, 2)] * rank))
    return {
        "size": draw(_each(rank, 5, 8)),
        "window": window,
        "strides": draw(_each(rank, 1, 3)),
        "dilation": draw(_each(rank, 1, 2)),
        "pads": pads,
        "images": draw(st.integers(1, 2)),
        "bias": draw(st.booleans()),
        "rng": np.random.default_rng(draw(st.integers(0, 99))),
    }


def _padded(x: np.ndarray, pads: Any, value: float = 0.0) -> np.ndarray:
    return np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)


def _every(outputs: Any, strides: Sequence[int]) -> np.ndarray:
    """Returns of an output of strides 1 what others give."""
    index = (slice(None), *(slice(None, None, s) for s in strides))
    return np.asarray(outputs)[index]


@_few
@given(_windows(), st.sampled_from([1, 2, 4]))
def test_convolution(w: dict[str, Any], groups: int) -> None:
    # Keras has no strides with gaps in the kernel, and no groups of volumes on a CPU.
    rng, filters = w["rng"], 2 * groups
    x = numbers(rng, w["images"], *w["size"], _CHANNELS)
    kernel = numbers(rng, *w["window"], _CHANNELS // groups, filters)
    bias = [numbers(rng, filters)] if w["bias"] else []
    parts = [
        keras.ops.conv(part, own, 1, "valid", dilation_rate=w["dilation"])
        for part, own in zip(
            np.split(_padded(x, w["pads"]), groups, -1),
            np.split(kernel, groups, -1),
            strict=True,
        )
    ]
    expected = _every(np.concatenate(parts, -1), w["strides"]) + sum(bias)
    weights = [kernel, *bias]
    operation = p.Convolution(
        (0,), tuple(range(len(weights))), w["strides"], w["dilation"], w["pads"]
    )
    check(
        of(operation, [x], weights),
        weights,
        [x],
        expected,
        math.prod(kernel.shape[:-1]),
        steps=2,
    )


@_few
@given(_windows((1, 2)), st.integers(1, 3))
def test_depthwise(w: dict[str, Any], multiplier: int) -> None:
    rng = w["rng"]
    x = numbers(rng, w["images"], *w["size"], _CHANNELS)
    kernel = numbers(rng, *w["window"], _CHANNELS, multiplier)
    bias = [numbers(rng, _CHANNELS * multiplier)] if w["bias"] else []
    whole = keras.ops.depthwise_conv(
        _padded(x, w["pads"]), kernel, 1, "valid", dilation_rate=w["dilation"]
    )
    weights = [kernel, *bias]
    operation = p.Depthwise(
        (0,), tuple(range(len(weights))), w["strides"], w["dilation"], w["pads"]
    )
    expected = _every(whole, w["strides"]) + sum(bias)
    terms = math.prod(w["window"])
    check(of(operation, [x], weights), weights, [x], expected, terms, steps=2)


def test_depthwise_of_volumes() -> None:
    # Keras has none; a convolution with a group for each channel is the same.
    rng = np.random.default_rng(3)
    x, kernel = numbers(rng, 1, 5, 6, 4, 3), numbers(rng, 2, 3, 1, 3, 2)
    parts = [
        keras.ops.conv(x[..., c : c + 1], kernel[..., c : c + 1, :], 1, "valid")
        for c in range(3)
    ]
    ones = (1,) * 3
    operation = p.Depthwise((0,), (0,), (2, 1, 1), ones, ((0, 0),) * 3)
    expected = _every(np.concatenate(parts, -1), (2, 1, 1))
    check(of(operation, [x], [kernel]), [kernel], [x], expected, 6)


@_few
@given(_windows((1, 2)), st.integers(1, 3))
def test_separable(w: dict[str, Any], multiplier: int) -> None:
    rng, between = w["rng"], _CHANNELS * multiplier
    x = numbers(rng, w["images"], *w["size"], _CHANNELS)
    first = numbers(rng, *w["window"], _CHANNELS, multiplier)
    second = numbers(rng, *(1,) * len(w["window"]), between, 5)
    middle = keras.ops.depthwise_conv(
        _padded(x, w["pads"]), first, 1, "valid", dilation_rate=w["dilation"]
    )
    expected = keras.ops.conv(_every(middle, w["strides"]), second, 1, "valid")
    bias = [numbers(rng, 5)] if w["bias"] else []
    weights = [np.concatenate([first.ravel(), second.ravel()]), *bias]
    operation = p.Separable(
        (0,),
        tuple(range(len(weights))),
        w["strides"],
        w["dilation"],
        w["pads"],
        w["window"],
        multiplier,
    )
    terms = between * math.prod(w["window"])
    check(
        of(operation, [x], weights), weights, [x], expected + sum(bias), terms, steps=3
    )


@_few
@given(_windows(), st.sampled_from(["valid", "same"]), st.booleans())
def test_transposed(w: dict[str, Any], padding: str, more: bool) -> None:
    rng, rank = w["rng"], len(w["size"])
    strides = w["strides"]
    gaps = w["dilation"] if max(strides) == 1 else (1,) * rank
    # What Keras appends must be less than a step.
    appended = (1,) * rank if more and min(strides) > 1 else None
    geometry = ConvGeometry(
        input_size=w["size"],
        channels=_CHANNELS,
        filters=3,
        kernel_size=w["window"],
        strides=strides,
        dilation_rate=gaps,
        padding=padding,
        kind="transposed",
        output_padding=appended,
    )
    x = numbers(rng, w["images"], *w["size"], _CHANNELS)
    kernel = numbers(rng, *w["window"], 3, _CHANNELS)
    # Keras has no gaps in a kernel here: they are zeros in a larger one.
    larger = np.zeros((*geometry.dilated_kernel, 3, _CHANNELS))
    larger[tuple(slice(None, None, d) for d in gaps)] = kernel
    expected = keras.ops.conv_transpose(x, larger, strides, padding, appended)
    bias = [numbers(rng, 3)] if w["bias"] else []
    weights = [kernel, *bias]
    operation = p.Transposed(
        (0,), tuple(range(len(weights))), strides, gaps, geometry.pads
    )
    terms = _CHANNELS * math.prod(w["window"])
    expected = expected + sum(bias)
    check(of(operation, [x], weights), weights, [x], expected, terms, steps=2)


@_few
@given(_windows(), st.booleans())
def test_pooling(w: dict[str, Any], average: bool) -> None:
    window = w["window"]
    pads = tuple(
        (min(n - 1, a), min(n - 1, b))
        for n, (a, b) in zip(window, w["pads"], strict=True)
    )
    x = numbers(w["rng"], w["images"], *w["size"], _CHANNELS)
    views = np.lib.stride_tricks.sliding_window_view
    axes = tuple(range(1, x.ndim - 1))
    inside = tuple(range(-len(axes), 0))
    if average:
        counted = views(_padded(np.ones_like(x), pads), window, axes).sum(inside)
        expected = views(_padded(x, pads), window, axes).sum(inside) / counted
    else:
        expected = views(_padded(x, pads, -np.inf), window, axes).max(inside)
    kind = p.AveragePool if average else p.MaxPool
    operation = kind((0,), (), window, w["strides"], pads)
    check(of(operation, [x]), [], [x], _every(expected, w["strides"]), 27)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size", [(9,), (9, 8)])
def test_pooling_is_that_of_keras(size: tuple[int, ...], padding: str) -> None:
    # The padding that ``same`` is, by the rule for convolutions.
    rank = len(size)
    x = numbers(np.random.default_rng(7), 2, *size, 3)
    geometry = ConvGeometry(size, 3, 3, (3,) * rank, (2,) * rank, padding=padding)
    for kind, by in (
        (p.MaxPool, keras.ops.max_pool),
        (p.AveragePool, keras.ops.average_pool),
    ):
        operation = kind((0,), (), (3,) * rank, (2,) * rank, geometry.pads)
        check(of(operation, [x]), [], [x], by(x, 3, 2, padding), 9)
