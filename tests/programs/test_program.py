"""Programs check themselves, and know the shapes of what they compute."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from fcdcc_keras import programs as p
from fcdcc_keras.errors import PlanError
from fcdcc_keras.programs import Operation, Program

_CONV = p.Convolution((0,), (0,), (1, 1), (1, 1), ((1, 1), (1, 1)))
_BLOCK = Program(
    channels=(4,),
    rank=2,
    operations=(
        _CONV,
        p.Activation((1,), function="relu"),
        p.Merge((2, 0), function="add"),
        p.MaxPool((3,), pool_size=(2, 2), strides=(2, 2), pads=((0, 1), (0, 0))),
        p.Reshape((4,), target=(0,)),
    ),
    weights=((3, 3, 4, 4),),
)


def test_shapes_of_all_values() -> None:
    assert _BLOCK.shapes([(2, 7, 6, 4)]) == [
        *[(2, 7, 6, 4)] * 4,
        (2, 4, 3, 4),
        (2, 48),
    ]
    assert _BLOCK.known_shapes[-2:] == [(None, None, None, 4), (None, None)]
    assert _BLOCK.weight_bytes == 4 * 144
    assert replace(_BLOCK, dtype="float64").weight_bytes == 8 * 144


@pytest.mark.parametrize(
    ("operation", "weights", "size", "expected"),
    [
        (_CONV, (3, 3, 4, 6), (5, 5), (5, 5, 6)),
        (replace(_CONV, strides=(2, 1)), (3, 3, 2, 6), (5, 5), (3, 5, 6)),
        (replace(_CONV, dilation_rate=(2, 2)), (3, 3, 4, 6), (5, 5), (3, 3, 6)),
        (p.Depthwise((0,), (0,), (2,), (1,), ((2, 0),)), (3, 4, 2), (7,), (4, 8)),
        (
            p.Separable((0,), (0,), (1,), (1,), ((0, 0),), (3,), 2),
            (3 * 8 + 8 * 5,),
            (7,),
            (5, 5),
        ),
        (
            p.Transposed((0,), (0,), (2,), (1,), ((1, -1),)),
            (3, 6, 4),
            (5,),
            (11, 6),
        ),
        (p.Dense((0,), (0,)), (4, 9), (5, 5), (5, 5, 9)),
        (p.ZeroPad((0,), pads=((1, 2),)), None, (5,), (8, 4)),
        (p.Crop((0,), crops=((1, 2),)), None, (5,), (2, 4)),
        (p.Upsample((0,), size=(2, 3)), None, (5, 4), (10, 12, 4)),
        (p.GlobalMaxPool((0,), keepdims=True), None, (5, 4), (1, 1, 4)),
        (p.GlobalAveragePool((0,)), None, (5, 4), (4,)),
        (p.Reshape((0,), target=(2, 0, 5)), None, (5, 4), (2, 8, 5)),
    ],
)
def test_shape_that_an_operation_yields(
    operation: Operation,
    weights: tuple[int, ...] | None,
    size: tuple[int, ...],
    expected: tuple[int, ...],
) -> None:
    program = Program((4,), len(size), (operation,), (weights,) if weights else ())
    assert program.shapes([(3, *size, 4)])[-1] == (3, *expected)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: replace(_BLOCK, dtype="float16"),
            "float32 or float64.*float16",
        ),
        (lambda: replace(_BLOCK, rank=4), "0 to 3 dimensions.*rank=4"),
        (lambda: replace(_BLOCK, channels=()), "inputs with channels"),
        (lambda: replace(_BLOCK, operations=()), "have an operation"),
        (lambda: replace(_BLOCK, weights=()), "name weights that it has: 0"),
        (lambda: replace(_BLOCK, weights=((3, 0, 4, 4),)), "axes of 1 or more"),
        (
            lambda: replace(_BLOCK, weights=((3, 3, 3, 4),)),
            "Operation 0: The input's c",
        ),
        (lambda: replace(_BLOCK, weights=((3, 3, 4),)), "kernel must have the input's"),
        (
            lambda: replace(_BLOCK, operations=(replace(_CONV, reads=(1,)),)),
            "read no value before it is there",
        ),
        (lambda: replace(_CONV, reads=()), "`reads` .* 1 to 1 of them"),
        (lambda: replace(_CONV, reads=(-1,)), "`reads` .* integers from 0"),
        (lambda: replace(_CONV, strides=(0, 1)), "`strides` .* integers from 1"),
        (lambda: replace(_CONV, strides=(True, 1)), "`strides` .* integers from 1"),
        (lambda: replace(_CONV, strides=(2**40, 1)), "`strides` .* to 2147483647"),
        (lambda: replace(_CONV, pads=((1, -1), (0, 0))), "`pads` .* pair of integers"),
        (lambda: replace(_CONV, pads=(1, 1)), "`pads` .* pair of integers"),
        (
            lambda: p.Transposed((0,), (0,), (2,), (2,), ((0, 0),)),
            "`dilation_rate` .* be 1",
        ),
        (
            lambda: p.MaxPool((0,), (), (2,), (1,), ((2, 0),)),
            "`pads` .* less than the window",
        ),
        (lambda: p.Activation((0,), function="glu"), "`function` .* be one of"),
        (
            lambda: p.Activation((0,), (), "elu", (("alpha", float("nan")),)),
            "`parameters` .* pairs of names and numbers",
        ),
        (
            lambda: p.Activation((0,), (), "elu", (("alpha", 1.0), ("alpha", 2.0))),
            "`parameters` .* name each once",
        ),
        (lambda: p.Activation((0,), (), "relu", (("max_value", 0.0),)), "`parameters`"),
        (lambda: p.Merge((0, 0, 0), (), "subtract"), "`reads` .* two values"),
        (lambda: p.Concatenate((0, 0), axis=0), "`axis` .* -1, or an axis from 1"),
        (lambda: p.Rescaling((0,), scale=float("inf")), "`scale` .* finite number"),
        (lambda: p.Upsample((0,), (), (2,), "bilinear"), "`interpolation`"),
        (lambda: p.Reshape((0,), target=(0, 0)), "`target`"),
        (
            lambda: Program((4, 6), 1, (p.Merge((0, 1)),)),
            "merged must have the same sizes",
        ),
        (
            lambda: Program((4, 6), 1, (p.Concatenate((0, 1), axis=1),)),
            "agree in the other axes",
        ),
        (
            lambda: Program((4,), 1, (p.Concatenate((0, 0), axis=3),)),
            "must have that axis",
        ),
        (lambda: Program((4,), 1, (p.Bias((0,), (0,)),), ((5,),)), "for 5 channels"),
        (
            lambda: Program((4,), 1, (p.ZeroPad((0,), pads=((1, 1), (0, 0))),)),
            "for the axes of the input",
        ),
        (lambda: Program((4,), 0, (p.ZeroPad((0,), pads=()),)), "for the axes"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, said: str) -> None:
    with pytest.raises(PlanError, match=r"\. Received: .*\. Correct the p") as caught:
        make()
    assert re.search(said, str(caught.value))


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([], "2 dimensions between images and channels"),
        ([(1, 5, 5, 3)], "and .4. channels"),
        ([(1, 5, 4)], "2 dimensions"),
        ([(0, 5, 5, 4)], "2 dimensions"),
    ],
)
def test_inputs_that_do_not_fit(shapes: Any, said: str) -> None:
    with pytest.raises(PlanError, match=f"{said}.*Received: "):
        _BLOCK.shapes(shapes)


def test_an_input_smaller_than_a_kernel() -> None:
    program = Program(
        (4,), 2, (replace(_CONV, pads=((0, 0), (0, 0))),), ((3, 3, 4, 1),)
    )
    with pytest.raises(PlanError, match=r"Operation 0: .*sizes from 1.*Received: conv"):
        program.shapes([(1, 2, 9, 4)])


def test_a_reshape_keeps_all_numbers() -> None:
    program = Program((4,), 1, (p.Reshape((0,), target=(0, 3)),))
    assert program.shapes([(1, 6, 4)])[-1] == (1, 8, 3)
    with pytest.raises(PlanError, match="keep all numbers"):
        program.shapes([(1, 7, 4)])
