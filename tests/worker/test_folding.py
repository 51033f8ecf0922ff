"""Scales and biases after convolutions go into their weights, where they can."""

from __future__ import annotations

import numpy as np
import pytest

from fcdcc_keras import programs as p
from fcdcc_keras.programs import Operation, Program
from fcdcc_keras.worker.engines.folding import fold
from fcdcc_keras.worker.engines.numpy import NumPyEngine
from tests.worker.engines import numbers

_STEPS = ((1, 1), (1, 1), ((1, 1), (1, 1)))
_KINDS: dict[str, tuple[Operation, tuple[int, ...]]] = {
    "conv": (p.Convolution((0,), (0, 1), *_STEPS), (3, 3, 2, 6)),
    "depthwise": (p.Depthwise((0,), (0, 1), *_STEPS), (3, 3, 2, 3)),
    "transposed": (p.Transposed((0,), (0, 1), *_STEPS), (3, 3, 6, 2)),
    "dense": (p.Dense((0,), (0, 1)), (2, 6)),
    "no bias": (p.Dense((0,), (0,)), (2, 6)),
}


def _outputs(program: Program, weights: list[np.ndarray]) -> np.ndarray:
    x = numbers(np.random.default_rng(1), 2, 5, 4, 2)
    return NumPyEngine().prepare(program, weights)([x])


@pytest.mark.parametrize("kind", _KINDS)
def test_what_follows_a_convolution_is_folded(kind: str) -> None:
    operation, kernel = _KINDS[kind]
    after: list[Operation] = [
        p.Scale((1,), (2,)),
        p.Bias((2,), (3,)),
        p.Scale((3,), (2,)),
        p.Activation((4,), (), "relu"),
    ]
    shapes = (kernel, (6,), (6,), (6,))
    program = Program((2,), 2, (operation, *after), shapes, "float64")
    rng = np.random.default_rng(2)
    weights = [numbers(rng, *shape) for shape in shapes]
    folded, arrays, _ = fold(program, weights)
    assert [one.kind for one in folded.operations] == [operation.kind, "activation"]
    np.testing.assert_allclose(
        _outputs(folded, arrays), _outputs(program, weights), atol=1e-13
    )


@pytest.mark.parametrize(
    "after",
    [
        # Something else reads the convolution's own output.
        (p.Scale((1,), (2,)), p.Merge((1, 2))),
        (p.Activation((1,), (), "relu"), p.Scale((2,), (2,))),
        (p.Scale((0,), (3,)),),
        # The output is that of the last operation.
        (p.Activation((0,), (), "relu"), p.Scale((1,), (2,))),
    ],
)
def test_what_does_not_follow_alone_stays(after: tuple[Operation, ...]) -> None:
    operation, kernel = _KINDS["conv"]
    shapes = (kernel, (6,), (6,), (2,))
    program = Program((2,), 2, (operation, *after), shapes, "float64")
    rng = np.random.default_rng(2)
    weights = [numbers(rng, *shape) for shape in shapes]
    folded, arrays, _ = fold(program, weights)
    assert [one.kind for one in folded.operations] == [
        one.kind for one in program.operations
    ]
    np.testing.assert_array_equal(_outputs(folded, arrays), _outputs(program, weights))
