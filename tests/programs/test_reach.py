"""What operations say they reach is what they do: found by changing one pixel."""

from __future__ import annotations

import numpy as np
import pytest

from fcdcc_keras import programs as p
from fcdcc_keras.programs import Operation, Program, Reach
from fcdcc_keras.worker.engines.numpy import NumPyEngine

_LENGTH = 12
_K = (3, 1, 1, 1)
_CASES: dict[str, tuple[Operation, tuple[int, ...] | None]] = {
    name: (operation, kernel)
    for name, operation, kernel in (
        ("conv", p.Convolution((0,), (0,), (1, 1), (1, 1), ((1, 1), (0, 0))), _K),
        ("strides", p.Convolution((0,), (0,), (2, 1), (1, 1), ((1, 0), (0, 0))), _K),
        ("dilated", p.Convolution((0,), (0,), (1, 1), (3, 1), ((4, 2), (0, 0))), _K),
        ("both", p.Convolution((0,), (0,), (2, 1), (2, 1), ((0, 3), (0, 0))), _K),
        ("depthwise", p.Depthwise((0,), (0,), (2, 2), (1, 1), ((1, 1), (0, 0))), _K),
        (
            "separable",
            p.Separable((0,), (0,), (1, 1), (1, 1), ((0, 0), (0, 0)), (3, 1)),
            (4,),
        ),
        ("transposed", p.Transposed((0,), (0,), (2, 1), (1, 1), ((1, 0), (0, 0))), _K),
        ("gaps", p.Transposed((0,), (0,), (4, 1), (1, 1), ((2, -3), (0, 0))), _K),
        ("turned", p.Transposed((0,), (0,), (1, 1), (2, 1), ((1, 2), (0, 0))), _K),
        ("dense", p.Dense((0,), (0,)), (1, 1)),
        ("max", p.MaxPool((0,), (), (3, 1), (2, 1), ((1, 0), (0, 0))), None),
        ("average", p.AveragePool((0,), (), (2, 1), (2, 1), ((1, 1), (0, 0))), None),
        ("zeros", p.ZeroPad((0,), (), ((2, 3), (0, 0))), None),
        ("crop", p.Crop((0,), (), ((2, 3), (0, 0))), None),
        ("nearest", p.Upsample((0,), (), (3, 1)), None),
        ("bilinear", p.Upsample((0,), (), (3, 1), "bilinear"), None),
        ("even", p.Upsample((0,), (), (2, 1), "bilinear"), None),
        ("activation", p.Activation((0,), (), "tanh"), None),
        ("bias", p.Bias((0,), (0,)), (1,)),
        ("rescaling", p.Rescaling((0,), (), 2.0, 1.0), None),
    )
}


def _reached(reach: Reach, row: int, output: int) -> bool:
    """Returns whether a row of the output may depend on one of the input."""
    offset = (
        output + reach.pads[0] - row * reach.stride
        if reach.transposed
        else row + reach.pads[0] - output * reach.stride
    )
    return 0 <= offset < reach.extent


@pytest.mark.parametrize("name", _CASES)
def test_a_pixel_changes_what_reaches_it(name: str) -> None:
    operation, weight = _CASES[name]
    rng = np.random.default_rng(5)
    program = Program((1,), 2, (operation,), (weight,) if weight else (), "float64")
    run = NumPyEngine().prepare(program, [rng.random(w) + 1 for w in program.weights])
    before = rng.random((1, _LENGTH, 1, 1))
    outputs = run([before])
    reaches = program.reach(operation, 2)
    assert reaches is not None
    depends, may = set(), set()
    for row in range(_LENGTH):
        after = before.copy()
        after[0, row] = 9.0
        changed = np.flatnonzero(run([after])[0, :, 0, 0] != outputs[0, :, 0, 0])
        depends |= {(row, int(output)) for output in changed}
        rows = range(outputs.shape[1])
        may |= {(row, out) for out in rows if _reached(reaches[0], row, out)}
    assert depends <= may
    # No wider than needed, but for gaps in a kernel.
    spread = {
        name: max(o - i for i, o in pairs)
        for name, pairs in (("is", depends), ("may", may))
    }
    assert spread["is"] == spread["may"]
    if name not in ("dilated", "both", "turned"):
        assert depends == may


@pytest.mark.parametrize(
    "operation",
    [
        p.GlobalAveragePool((0,)),
        p.GlobalMaxPool((0,), (), True),
        p.Reshape((0,), (), (0,)),
        p.Concatenate((0, 0), (), 1),
    ],
)
def test_what_is_not_local_says_so(operation: Operation) -> None:
    program = Program((4,), 2, (operation,))
    assert program.reach(operation, 2) is None


@pytest.mark.parametrize("axis", [-1, 3])
def test_joining_channels_is_local(axis: int) -> None:
    operation = p.Concatenate((0, 0), (), axis)
    assert Program((4,), 2, (operation,)).reach(operation, 2) == (Reach(), Reach())
