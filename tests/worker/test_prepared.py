"""Programs of several operations, prepared once and run by several threads."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import keras
import numpy as np
import pytest

from fcdcc_keras import programs as p
from fcdcc_keras.errors import PlanError
from fcdcc_keras.programs import Operation, Program
from fcdcc_keras.programs.exactness import plain_error
from fcdcc_keras.worker.engines.base import Engine, Prepared, Recent
from fcdcc_keras.worker.engines.light import LightEngine
from fcdcc_keras.worker.engines.numpy import NumPyEngine
from tests.worker.engines import COMPUTED, ENGINES, check, numbers

_BY_NAME = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)


def _same(reads: int, first: int, kernel: int = 3, stride: int = 1) -> Operation:
    """Returns a convolution with a bias that keeps the size where strides are 1."""
    pads = ((kernel // 2, kernel // 2),) * 2
    return p.Convolution((reads,), (first, first + 1), (stride,) * 2, (1, 1), pads)


def _relu(reads: int) -> Operation:
    return p.Activation((reads,), (), "relu")


def _layers(*layers: Any) -> list[np.ndarray]:
    """Returns the weights of some layers, one after another."""
    return [np.asarray(w) for layer in layers for w in layer.get_weights()]


def test_a_residual_block() -> None:
    keras.utils.set_random_seed(1)
    x = keras.Input((9, 7, 4), dtype="float64")
    of = {"padding": "same", "dtype": "float64"}
    first = keras.layers.Conv2D(6, 3, strides=2, activation="relu", **of)
    second = keras.layers.Conv2D(8, 3, **of)
    norm = keras.layers.BatchNormalization(dtype="float64")
    short = keras.layers.Conv2D(8, 1, strides=2, **of)
    added = keras.layers.Add(dtype="float64")([norm(second(first(x))), short(x)])
    model = keras.Model(x, keras.layers.ReLU(dtype="float64")(added))
    norm.set_weights([w + 0.5 for w in norm.get_weights()])
    program = Program(
        (4,),
        2,
        (
            _same(0, 0, stride=2),
            _relu(1),
            _same(2, 2),
            p.BatchNormalization((3,), (4, 5, 6, 7)),
            _same(0, 8, kernel=1, stride=2),
            p.Merge((4, 5)),
            _relu(6),
        ),
        (
            *((3, 3, 4, 6), (6,), (3, 3, 6, 8), (8,), (8,), (8,), (8,), (8,)),
            *((1, 1, 4, 8), (8,)),
        ),
        "float64",
    )
    inputs = numbers(np.random.default_rng(8), 3, 9, 7, 4)
    weights = _layers(first, second, norm, short)
    rounded = [w.astype("float32").astype("float64") for w in weights]
    for layer, start, stop in (
        *((first, 0, 2), (second, 2, 4), (norm, 4, 8), (short, 8, 10)),
    ):
        layer.set_weights(rounded[start:stop])
    check(program, rounded, [inputs], model(inputs), 54, steps=3)


def test_an_inception_block() -> None:
    keras.utils.set_random_seed(1)
    x = keras.Input((6, 7, 4), dtype="float64")
    of = {"padding": "same", "dtype": "float64", "bias_initializer": "normal"}
    branches = [keras.layers.Conv2D(3, n, **of) for n in (1, 3, 5)]
    pooled = keras.layers.MaxPooling2D(3, 1, "same", dtype="float64")
    outputs = [*(branch(x) for branch in branches), pooled(x)]
    model = keras.Model(x, keras.layers.Concatenate(dtype="float64")(outputs))
    for layer in branches:
        rounded = [w.astype("float32") for w in layer.get_weights()]
        layer.set_weights(rounded)
    program = Program(
        (4,),
        2,
        (
            *(_same(0, 2 * i, kernel=n) for i, n in enumerate((1, 3, 5))),
            p.MaxPool((0,), (), (3, 3), (1, 1), ((1, 1), (1, 1))),
            p.Concatenate((1, 2, 3, 4)),
        ),
        tuple(w.shape for w in _layers(*branches)),
        "float64",
    )
    inputs = numbers(np.random.default_rng(8), 2, 6, 7, 4)
    check(program, _layers(*branches), [inputs], model(inputs), 100)


_CONV = Program((4,), 2, (_same(0, 0), _relu(1)), ((3, 3, 4, 5), (5,)))
_UP = Program((4,), 2, (p.Upsample((0,), (), (2, 2)), p.Reshape((1,), (), (0, 2))))


@_BY_NAME
@pytest.mark.parametrize("program", [_CONV, _UP], ids=["conv", "upsample"])
def test_inputs_of_any_size_and_number(engine: Engine, program: Program) -> None:
    rng = np.random.default_rng(2)
    weights = [numbers(rng, *shape).astype("float32") for shape in program.weights]
    run = engine.prepare(program, weights)
    double = replace(program, dtype="float64")
    exact = NumPyEngine().prepare(double, [w.astype("float64") for w in weights])
    for size in ((1, 5, 6), (3, 5, 6), (1, 9, 2), (1, 5, 6)) * 2:
        x = numbers(rng, *size, 4)
        expected = exact([x])
        error = abs(run([x.astype("float32")]) - expected).max() / abs(expected).max()
        assert error < 2 * engine.plain_error("float32", 36)


@_BY_NAME
def test_several_threads_at_once(engine: Engine) -> None:
    rng = np.random.default_rng(2)
    weights = [numbers(rng, *shape).astype("float32") for shape in _CONV.weights]
    run = engine.prepare(_CONV, weights)
    # Different numbers, and sizes that change, in each thread.
    inputs = [
        [numbers(rng, 1, 5 + (i + t) % 3, 6, 4).astype("float32") for i in range(8)]
        for t in range(4)
    ]
    expected = [[run([x]) for x in of_thread] for of_thread in inputs]
    barrier = Barrier(4)

    def repeatedly(thread: int) -> None:
        barrier.wait()
        for _ in range(5):
            for x, right in zip(inputs[thread], expected[thread], strict=True):
                np.testing.assert_array_equal(run([x]), right)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(repeatedly, range(4)))


@_BY_NAME
def test_outputs_stay_as_they_are(engine: Engine) -> None:
    rng = np.random.default_rng(2)
    weights = [numbers(rng, *shape).astype("float32") for shape in _CONV.weights]
    run = engine.prepare(_CONV, weights)
    first = run([numbers(rng, 1, 5, 6, 4).astype("float32")])
    kept = first.copy()
    run([numbers(rng, 1, 5, 6, 4).astype("float32")])
    np.testing.assert_array_equal(first, kept)


@_BY_NAME
def test_what_is_not_finite_stays_so(engine: Engine) -> None:
    x = np.array([[np.nan, np.inf, -np.inf, 1.0]], np.float32)
    program = Program((4,), 0, (p.Dense((0,), (0,)),), ((4, 4),))
    run = engine.prepare(program, [np.eye(4, dtype=np.float32)])
    assert not np.isfinite(run([x])).any()


_FUNCTIONS = ["relu", "relu6", "elu", "sigmoid", "tanh", "exponential", "softplus"]


@_BY_NAME
@pytest.mark.parametrize("function", [*_FUNCTIONS, "gelu", "softmax", "silu", "mish"])
def test_activations_make_no_numbers_of_what_is_none(
    engine: Engine, function: str
) -> None:
    x = np.ones((1, 3, 3, 16), np.float32)
    x[0, 1] = np.nan
    program = Program((16,), 2, (p.Activation((0,), (), function),), ())
    found = engine.prepare(program, [])([x])
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x))


@_BY_NAME
def test_other_inputs_and_weights_are_refused(engine: Engine) -> None:
    weights = [np.zeros(shape, np.float32) for shape in _CONV.weights]
    with pytest.raises(PlanError, match="must be 2 arrays of float32"):
        engine.prepare(_CONV, weights[:1])
    run = engine.prepare(_CONV, weights)
    with pytest.raises(PlanError, match=r"2 dimensions .* and .4. channels"):
        run([np.zeros((1, 5, 6, 3), np.float32)])
    with pytest.raises(PlanError, match=r"type, float32. Received: float64"):
        run([np.zeros((1, 5, 6, 4))])


def test_what_the_light_engine_lacks() -> None:
    double = replace(_CONV, dtype="float64")
    assert LightEngine().lacks(double) == ["the type float64"]
    weights = [np.zeros(shape) for shape in _CONV.weights]
    with pytest.raises(PlanError, match=r"type float64, which light has not. Use"):
        LightEngine().prepare(double, weights)
    large = Program((2**15,), 0, (p.Dense((0,), (0,)),), ((2**15, 2**15),))
    assert LightEngine().lacks(large) == ["more than 2 GB of weights"]


def test_what_was_made_last_is_kept() -> None:
    made: list[int] = []

    def get(key: int) -> int:
        return recent.get(key, lambda: made.append(key) or key)

    recent = Recent[int](2)
    assert [get(key) for key in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert made == [1, 2, 3, 2]


def test_errors_of_plain_convolutions() -> None:
    # The engines' own: about the root of the number of terms where sums are long.
    assert plain_error("float64", 10**6, "numpy") == 3.7e-16
    assert plain_error("float32", 9, "light") == 2e-7
    for engine, dtype in COMPUTED:
        if dtype == "float32":
            assert engine.plain_error(dtype, 2304) == (
                pytest.approx(1.43e-6 if engine.name == "numpy" else 2.86e-6, rel=0.01)
            )


@pytest.mark.parametrize("channels", [64, 256, 1024])
@_BY_NAME
def test_convolutions_are_as_exact_as_is_said(engine: Engine, channels: int) -> None:
    # After a ReLU, as most of them are.
    rng = np.random.default_rng(3)
    x = np.maximum(numbers(rng, 1, 9, 9, channels), 0)
    kernel = numbers(rng, 3, 3, channels, 32)
    program = Program(
        (channels,),
        2,
        (p.Convolution((0,), (0,), (1, 1), (1, 1), ((0, 0), (0, 0))),),
        (kernel.shape,),
    )
    found = engine.prepare(program, [kernel.astype("float32")])([x.astype("float32")])
    expected = np.asarray(keras.ops.conv(x, kernel, 1, "valid"))
    error = abs(found - expected).max() / abs(expected).max()
    said = engine.plain_error("float32", 9 * channels)
    assert said / 50 < error < said


_ALONE = """
import sys
import numpy as np
from fcdcc_keras import programs as p
from fcdcc_keras.worker.engines.{module} import {engine}

conv = p.Convolution((0,), (0,), (1, 1), (1, 1), ((1, 1), (1, 1)))
program = p.Program((3,), 2, (conv,), ((3, 3, 3, 4),), dtype="{dtype}")
text, buffers = p.to_wire(program, [np.ones((3, 3, 3, 4), "{dtype}")])
program, weights = p.from_wire(text, buffers, 10**6)
outputs = {engine}().prepare(program, weights)([np.ones((1, 5, 5, 3), "{dtype}")])
assert outputs[0, 2, 2, 0] == 27
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("module", "engine", "dtype", "unwanted"),
    [
        ("light", "LightEngine", "float32", {"keras", "tensorflow"}),
        ("numpy", "NumPyEngine", "float64", {"keras", "tensorflow", "ai_edge_litert"}),
    ],
)
def test_an_engine_brings_what_it_needs_alone(
    module: str, engine: str, dtype: str, unwanted: set[str]
) -> None:
    code = _ALONE.format(module=module, engine=engine, dtype=dtype)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not unwanted & set(done.stdout.split())
    assert done.stderr == ""  # nothing for a user to wonder about


def test_all_engines_can_be_imported_without_what_they_compute_with() -> None:
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'ai_edge_litert', 'flatbuffers'):\n"
        "    sys.modules[name] = None\n"
        "from fcdcc_keras.worker.engines import light, numpy, tensorflow\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=250)


def test_a_prepared_program_names_its_program() -> None:
    weights = [np.zeros(shape, np.float32) for shape in _CONV.weights]
    prepared = NumPyEngine().prepare(_CONV, weights)
    assert isinstance(prepared, Prepared)
    assert prepared.program is _CONV
