"""Stretches: where a program may be cut, and what the parts are."""

import numpy as np
import pytest

from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition.stretch import Stretch, crossings
from fcdcc_keras.programs import (
    Activation,
    Bias,
    Convolution,
    GlobalAveragePool,
    MaxPool,
    Merge,
    Program,
)
from fcdcc_keras.worker.engines.numpy import NumPyEngine


def forked():
    """conv → relu → (conv, itself) → add → bias → pool → mean, of two channels."""
    same = (1, 1), (1, 1), ((1, 1), (1, 1))  # strides, dilation, padding
    operations = (
        Convolution((0,), (0,), *same),
        Activation((1,), (), "relu"),
        Convolution((2,), (2,), *same),
        Merge((3, 2), (), "add"),
        Bias((4,), (1,)),
        MaxPool((5,), (), (2, 2), (2, 2), ((0, 0), (0, 0))),
        GlobalAveragePool((6,), (), False),
    )
    weights = (3, 3, 2, 4), (4,), (3, 3, 4, 4)
    return Program((2,), 2, operations, weights)


def run(program, x, arrays):
    return NumPyEngine().prepare(program, arrays)([x])


def test_a_program_is_cut_where_one_value_crosses():
    assert crossings(forked()) == [1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize("cut", [1, 2, 4, 5, 6])
def test_chains_one_after_another_are_the_stretch(cut):
    program, rng = forked(), np.random.default_rng(cut)
    arrays = [rng.normal(size=s).astype("float32") for s in program.weights]
    x = rng.normal(size=(2, 6, 8, 2)).astype("float32")
    ends = tuple((f"layer{value}", value) for value in crossings(program))
    stretch = Stretch("", "input", program, (6, 8), ends)
    first, then = (
        stretch.chain(None, f"layer{cut}"),
        stretch.chain(f"layer{cut}", "layer7"),
    )
    between = run(first.program, x, [arrays[i] for i in first.weights])
    outputs = run(then.program, between, [arrays[i] for i in then.weights])
    np.testing.assert_array_equal(outputs, run(program, x, arrays))
    assert stretch.shape(2) == x.shape
    assert {*first.weights, *then.weights} == {0, 1, 2}


@pytest.mark.parametrize(("after", "to"), [(None, "other"), ("layer5", "layer2")])
def test_a_stretch_is_not_cut_elsewhere(after, to):
    program = forked()
    ends = tuple((f"layer{value}", value) for value in crossings(program))
    stretch = Stretch("", "input", program, (6, 8), ends)
    with pytest.raises(PlanError, match=r"Received: .*Such layers are layer1"):
        stretch.chain(after, to)
