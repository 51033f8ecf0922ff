"""Programs cut into sections: the same values, and kernels that tiles share."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from weakref import ref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras import programs as p
from fcdcc_keras.partition import SizedProgram
from fcdcc_keras.partition.boxes import slices
from fcdcc_keras.partition.tiling import grid
from fcdcc_keras.programs import Program, to_text
from fcdcc_keras.worker.engines import light, sections
from fcdcc_keras.worker.engines.light import LightEngine
from fcdcc_keras.worker.engines.numpy import NumPyEngine
from fcdcc_keras.worker.engines.sections import Section, cut
from fcdcc_keras.worker.weights import Weights
from tests.partition.networks import NETWORKS
from tests.partition.programs_to_cut import Drawn, programs, with_numbers
from tests.worker.engines import numbers

_STEPS = (1, 1), (1, 1)
_SAME = ((1, 1), (1, 1))
_CHANNELS = 192


def _large_are(patch: pytest.MonkeyPatch, is_large: Callable[[int], bool]) -> None:
    """Has only some operations have large kernels, by what they yield."""
    patch.setattr(sections._Cutter, "_is_large", lambda *given: is_large(given[2]))


def _outputs(drawn: Drawn, section: Section, inputs: list[np.ndarray]) -> Any:
    """Returns what a section yields, in float64."""
    program, first = section.program, len(section.inputs)
    weights = [drawn.weights[number] for number in section.weights]
    for place in section.outputs:
        until = replace(program, operations=program.operations[: place - first + 1])
        yield NumPyEngine().prepare(until, weights)(inputs)


def _through(drawn: Drawn) -> np.ndarray:
    """Returns the output of a program, section by section."""
    shapes = drawn.program.shapes(drawn.shapes)
    whole = cut(drawn.program, shapes)
    values = dict(enumerate(drawn.inputs))
    for section in whole.sections:
        inputs = []
        for part in section.inputs:
            inner = part.of(values[part.value])
            around = part.pads or ((0, 0),) * (inner.ndim - 2)
            inputs.append(np.pad(inner, ((0, 0), *around, (0, 0))))
            assert inputs[-1].shape == part.shape(shapes[part.value])
        found = _outputs(drawn, section, inputs)
        values.update(zip(section.yields, found, strict=True))
    return whole.output.of(values[whole.output.value])


@settings(deadline=None, max_examples=150)
@given(drawn=programs(), large=st.sets(st.integers(1, 8)))
def test_sections_yield_what_the_program_does(drawn: Drawn, large: set[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _large_are(patch, large.__contains__)
        found = _through(drawn)
    assert found.shape == drawn.whole.shape
    np.testing.assert_allclose(found, drawn.whole, rtol=1e-12, atol=1e-12)


_RELU = p.Activation((0,), (), "relu")
_IN_A_CORNER: dict[str, tuple[p.Operation, ...]] = {
    "crops of crops": (
        _RELU,
        p.Crop((1,), (), ((1, 0), (0, 2))),
        p.Crop((2,), (), ((0, 1), (1, 1))),
        p.Convolution((3,), (0,), *_STEPS, _SAME),
        p.Crop((4,), (), ((1, 1), (0, 0))),
    ),
    "nothing is wanted of a section": (
        _RELU,
        p.Convolution((1,), (0,), *_STEPS, _SAME),
        p.Crop((1,), (), ((1, 0), (0, 2))),
    ),
    "a part of the input": (p.Crop((0,), (), ((1, 0), (0, 2))),),
    "values of several ranks": (
        p.Convolution((0,), (0,), *_STEPS, _SAME),
        p.GlobalMaxPool((1,)),
        p.MaxPool((1,), (), (3, 3), (1, 1), _SAME),
        p.Dense((2,), (1,)),
        p.Reshape((4,), (), (1, 1, 2)),
        p.Merge((5, 3), (), "multiply"),
    ),
}


@pytest.mark.parametrize("name", _IN_A_CORNER)
def test_corners(name: str) -> None:
    drawn = with_numbers([(2, 7, 8, 2)], _IN_A_CORNER[name], ((3, 3, 2, 2), (2, 2)))
    program = replace(drawn.program, dtype="float32")
    with pytest.MonkeyPatch.context() as patch:
        _large_are(patch, lambda value: value in (2, 4))
        np.testing.assert_allclose(_through(drawn), drawn.whole, rtol=1e-12)
        weights = [w.astype("float32") for w in drawn.weights]
        run = LightEngine().prepare(program, weights)
        found = run([x.astype("float32") for x in drawn.inputs])
    np.testing.assert_allclose(found, drawn.whole, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_of_networks_on_the_light_engine(name: str) -> None:
    drawn = NETWORKS[name]()
    whole, program = drawn.whole, replace(drawn.program, dtype="float32")
    weights = [w.astype("float32") for w in drawn.weights]
    inputs = [x.astype("float32") for x in drawn.inputs]
    sized, ones = SizedProgram(program, drawn.shapes), (1,) * (whole.ndim - 2)
    run = None
    with pytest.MonkeyPatch.context() as patch:
        _large_are(patch, lambda value: value % 3 != 0)
        for counts in ((1, *ones), (1, 2, 3, 2), (2, 1, 5)):
            for box in grid(whole.shape, (*counts, *ones)[: len(whole.shape) - 1]):
                tile = sized.tile(box)
                run = LightEngine().prepare(tile.program, weights, sibling=run)
                weights = list(run.weights)
                error = abs(run(tile.crop(inputs)) - whole[slices(box)]).max()
                assert error < 1e-5 * abs(whole).max()


def _block() -> Drawn:
    """Returns a residual block whose kernels are large."""
    of = (3, 3, _CHANNELS, _CHANNELS)
    operations = (
        p.Convolution((0,), (0,), *_STEPS, _SAME),
        p.BatchNormalization((1,), (1, 2, 3, 4)),
        p.Activation((2,), (), "relu"),
        p.Convolution((3,), (5, 6), *_STEPS, _SAME),
        p.Merge((4, 0)),
        p.MaxPool((5,), (), (3, 3), (2, 2), _SAME),
    )
    channels = (_CHANNELS,)
    drawn = with_numbers(
        [(1, 8, 8, _CHANNELS)], operations, (of, *[channels] * 4, of, channels)
    )
    drawn.weights[0] = numbers(np.random.default_rng(1), *of)
    drawn.weights[5] = numbers(np.random.default_rng(2), *of)
    return drawn


def test_where_a_program_is_cut() -> None:
    program = _block().program
    shapes = program.shapes([(1, 8, 8, _CHANNELS)])
    kinds = [
        [one.kind for one in section.program.operations]
        for section in cut(program, shapes).sections
    ]
    assert kinds == [
        ["conv", "batch_normalization", "activation"],
        ["conv", "merge"],
        ["max_pool"],
    ]
    # Not where more would be copied than a kernel has.
    shapes = program.shapes([(9, 30, 30, _CHANNELS)])
    assert len(cut(program, shapes).sections) == 1


def _tiles(drawn: Drawn) -> list[tuple[Program, np.ndarray, np.ndarray]]:
    """Returns program, input and output of tiles, in float32."""
    program = replace(drawn.program, dtype="float32")
    sized = SizedProgram(program, drawn.shapes)
    tiles = map(sized.tile, grid(drawn.whole.shape, (1, 2, 2)))
    inputs = [x.astype("float32") for x in drawn.inputs]
    return [
        (tile.program, tile.crop(inputs)[0], drawn.whole[slices(tile.output)])
        for tile in tiles
    ]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The kinds of operations of each model that is made."""
    made: list[list[str]] = []
    make: Any = light.model_of

    def noting(program: Program, *given: Any) -> Any:
        made.append([one.kind for one in program.operations])
        return make(program, *given)

    monkeypatch.setattr(light, "model_of", noting)
    return made


def test_tiles_share_large_kernels(models: list[list[str]]) -> None:
    drawn = _block()
    weights = Weights(*(w.astype("float32") for w in drawn.weights))
    bound = LightEngine().plain_error("float32", 9 * _CHANNELS)
    for _ in range(2):
        for program, x, expected in _tiles(drawn):
            found = weights.run(x, to_text(program), LightEngine())
            assert abs(found - expected).max() < 2 * bound * abs(drawn.whole).max()
    # Pools have no kernels: there is one for the padding of each tile.
    assert sorted(kinds for kinds in models if "max_pool" not in kinds) == [
        ["conv", "activation"],  # the normalization is in its kernel
        ["conv", "merge"],
    ]


def test_programs_of_other_weights_share_nothing(models: list[list[str]]) -> None:
    program, x, _ = _tiles(_block())[0]
    engine = LightEngine()
    one, other = ([np.full(w, n, "f4") for w in program.weights] for n in (0.5, 1))
    first = engine.prepare(program, one)
    found = first([x])
    second = engine.prepare(program, other, sibling=first)([x])
    np.testing.assert_array_equal(second, engine.prepare(program, other)([x]))
    assert abs(found - second).max() > 1
    assert len(models) == 3 * 3


def test_kernels_are_held_once() -> None:
    drawn = _block()
    arrays = [w.astype("float32") for w in drawn.weights]
    expected = [array.copy() for array in arrays]
    weights = Weights(*arrays)
    # In the first a normalization is folded.
    kernel = ref(weights.arrays[5])
    program, x, _ = _tiles(drawn)[0]
    before = weights.run(x, to_text(program), LightEngine())
    del arrays
    gc.collect()
    assert kernel() is None
    again: Weights = pickle.loads(pickle.dumps(weights))
    for held in (weights, again):
        for array, right in zip(held.arrays, expected, strict=True):
            np.testing.assert_array_equal(array, right)
        after = held.run(x, to_text(program), LightEngine())
        np.testing.assert_array_equal(after, before)


def test_tiles_run_at_once() -> None:
    drawn = _block()
    weights = Weights(*(w.astype("float32") for w in drawn.weights))
    tiles = [(to_text(program), x) for program, x, _ in _tiles(drawn)]
    expected = [weights.run(x, text, LightEngine()) for text, x in tiles]

    def run(tile: tuple[str, np.ndarray]) -> np.ndarray:
        text, x = tile
        return weights.run(x, text, LightEngine())

    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(run, tiles * 5), expected * 5, strict=True):
            np.testing.assert_array_equal(found, right)


def test_what_failed_does_not_spoil_what_comes_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program, x, _ = _tiles(_block())[0]
    weights = [np.full(shape, 0.5, "f4") for shape in program.weights]
    run = LightEngine().prepare(program, weights)
    expected = run([x])
    with monkeypatch.context() as patch:
        patch.setattr(light, "_fill", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run([x])
    np.testing.assert_array_equal(run([x]), expected)
