"""Windows along one axis, against the formulas of convolutions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import (
    IMAGES,
    Axis,
    AxisPartition,
    ConvGeometry,
    Cut,
    Grid,
    best_parts,
)


def _apply(axis: Axis, x: np.ndarray, pads: tuple[int, int]) -> np.ndarray:
    """Returns what a kernel 1, 2, 3, … makes of rows, with the given padding."""
    s, kernel = axis.stride, np.arange(1.0, axis.extent + 1)
    if not axis.transposed:
        x = np.pad(x, pads)
        rows = (len(x) - axis.extent) // s + 1
        return np.array([kernel @ x[o * s : o * s + axis.extent] for o in range(rows)])
    whole = np.zeros((len(x) - 1) * s + axis.extent)
    for i, row in enumerate(x):
        whole[i * s : i * s + axis.extent] += row * kernel
    before, after = pads
    assert before >= 0
    return np.pad(whole, (0, max(0, -after)))[before : len(whole) - after]


@st.composite
def _axes(draw: st.DrawFn) -> Axis:
    """The axes of every kind of layer."""
    kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    dilation = draw(st.integers(1, 3)) if stride == 1 else 1
    extent = (kernel - 1) * dilation + 1
    transposed = draw(st.booleans())
    more = draw(st.none() | st.integers(0, stride - 1)) if transposed else None
    least = 2 if transposed else extent  # Keras crops a single row away
    geometry = ConvGeometry(
        (draw(st.integers(least, least + 12)),),
        1,
        1,
        (kernel,),
        (stride,),
        (dilation,),
        draw(st.sampled_from(["same", "valid", *([] if transposed else ["causal"])])),
        kind="transposed" if transposed else "conv",
        output_padding=None if more is None else (more,),
    )
    return geometry.axis(0)


def _rows(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(axis.size).standard_normal(axis.size)
    y = _apply(axis, x, axis.pads)
    assert len(y) == axis.output
    return x, y


@settings(deadline=None, max_examples=100)
@given(axis=_axes())
def test_rows_depend_on_their_window_alone(axis: Axis) -> None:
    x, y = _rows(axis)
    beyond = axis.output * axis.stride + axis.extent + axis.size
    padded = np.pad(x, beyond)
    for start in range(axis.output):
        for stop in range(start + 1, axis.output + 1):
            output = range(start, stop)
            window = axis.window(output)
            seen = padded[beyond + window.start : beyond + window.stop]
            np.testing.assert_allclose(
                _apply(axis, seen, window.pads), y[start:stop], atol=1e-12
            )
            inside = axis.inside(output)
            if inside.stop <= inside.start:
                assert not y[start:stop].any()  # they depend on padding alone
                continue
            assert 0 <= inside.start
            assert inside.stop <= axis.size
            seen = x[inside.start : inside.stop]
            np.testing.assert_allclose(
                _apply(axis, seen, inside.pads), y[start:stop], atol=1e-12
            )


@settings(deadline=None, max_examples=200)
@given(axis=_axes(), parts=st.integers(1, 9))
def test_parts_give_the_whole(axis: Axis, parts: int) -> None:
    x, y = _rows(axis)
    partition = AxisPartition(axis, parts)
    far = parts * partition.step + partition.input_rows + axis.extent
    padded = np.pad(x, far)
    found = []
    for i in range(parts):
        start = far + partition.offset + i * partition.step
        seen = padded[start : start + partition.input_rows]
        part = _apply(axis, seen, partition.pads)
        assert len(part) == partition.output_rows
        found.append(part)
    np.testing.assert_allclose(np.concatenate(found)[: axis.output], y, atol=1e-12)
    assert (partition.filled_parts - 1) * partition.output_rows < axis.output


def test_the_cut_with_the_least_to_send_is_taken() -> None:
    wide = ConvGeometry((3, 40), 2, 4, (3, 3), padding="same")
    assert best_parts(wide, 4, 1, 4).index == 1
    assert best_parts(wide, 4, 4, 4).index == IMAGES
    assert best_parts(wide, 4, 5, 4).index == 1  # 8 images would be sent for 5
    square = ConvGeometry((20, 20), 2, 4, (3, 3), padding="same")
    assert best_parts(square, 4, 1, 4).index == 0
    assert best_parts(square, 4, 9, 1).index == 0
    deep = ConvGeometry((2, 2, 16), 2, 4, (3, 3, 3), padding="same")
    assert best_parts(deep, 4, 1, 4).index == 2


def test_a_grid_is_taken_where_it_has_clearly_less() -> None:
    small = ConvGeometry((7, 7), 8, 8, (3, 3), padding="same")
    grid = best_parts(small, 8, 1, 36)
    assert isinstance(grid, Grid)
    # Four rows of parts of two rows each, and a column for each part in them.
    assert (grid.axes, grid.counts) == ((0, 1), (4, 9))
    assert grid.part.input_size == (4, 3)
    assert (grid.upload, grid.answer) == (4 * 3 * 8, 2 * 1 * 8)
    cut = Cut(grid.geometry, 1, 36, 0)
    assert grid.upload + grid.answer < 0.9 * (cut.upload + cut.answer)
    assert isinstance(best_parts(small, 8, 36, 36), Cut)
    large = ConvGeometry((224, 224), 8, 8, (3, 3), padding="same")
    assert isinstance(best_parts(large, 8, 1, 16), Cut)


def test_a_cut_by_images_has_no_overlap() -> None:
    cut = Cut(ConvGeometry((9, 9), 2, 4, (3, 3), padding="same"), 7, 4, IMAGES)
    assert cut.part_images == 2
    assert cut.part == cut.geometry
    assert cut.upload == 2 * 9 * 9 * 2
    assert cut.answer == 2 * 9 * 9 * 4
    assert cut.partition.filled_parts == 4
    assert (cut.input_view, cut.output_view) == ((1, 7, 81), (1, 7, 81))


def test_multiply_adds_of_every_kind() -> None:
    def of(**options: object) -> tuple[int, int]:
        g = ConvGeometry((8, 6), 4, 12, (3, 2), padding="same", **options)
        return g.kernel_floats, g.multiply_adds

    assert of() == (3 * 2 * 4 * 12, 8 * 6 * 3 * 2 * 4 * 12)
    assert of(groups=2) == (3 * 2 * 2 * 12, 8 * 6 * 3 * 2 * 2 * 12)
    assert of(kind="depthwise") == (3 * 2 * 12, 8 * 6 * 3 * 2 * 12)
    separable = 3 * 2 * 8 + 8 * 12
    assert of(kind="separable", depth_multiplier=2) == (separable, 8 * 6 * separable)
    transposed = of(kind="transposed", strides=(2, 3))
    assert transposed == (3 * 2 * 4 * 12, 8 * 6 * 3 * 2 * 4 * 12)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"kind": "fourier"}, r"`kind` must be one of.*'fourier'"),
        ({"groups": 3}, r"divide into the groups.*channels=4, filters=6, 3 groups"),
        ({"kind": "depthwise"}, r"divide into the groups.*4 groups"),
        ({"depth_multiplier": 0}, "`depth_multiplier` must be"),
        ({"strides": (1, 1)}, r"`strides` must be one integer.*\(1, 1\)"),
    ],
)
def test_impossible_kinds(change: dict[str, object], match: str) -> None:
    good = {"input_size": (8,), "channels": 4, "filters": 6, "kernel_size": (3,)}
    with pytest.raises(PlanError, match=match):
        ConvGeometry(**(good | change))
