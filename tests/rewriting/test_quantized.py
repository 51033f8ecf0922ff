"""Models that are quantized, before they are distributed and after."""

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.forward.sized_at_call import SizedAtCall

# Keras says of each layer that has no weights to quantize that it has none.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have a `quantize.*",
    # Nor do its variables know `copy`, of which it makes arrays.
    "ignore:__array__ impl:DeprecationWarning",
)

MODES = ["int8", "float8"]
if "int4" in keras.src.dtype_policies.QUANTIZATION_MODES:
    MODES.append("int4")
WIDTHS = {"fixed": 8, "unknown": None}


def model(width=8, **options):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, width, 3)),
            keras.layers.Conv2D(4, 3, name="convolution"),
            keras.layers.Dense(6, activation="relu", name="hidden"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, name="head", **options),
        ]
    )


def images():
    return np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize(
    ("mode", "dense"), [("int8", False), *((mode, True) for mode in MODES)]
)
def test_before_distributing(mode, dense):
    plain = model()
    plain.quantize(mode)
    coded = fk.distribute(plain, fk.LocalExecutor(4), dense=dense, fallback="raise")
    np.testing.assert_allclose(
        coded.predict(images(), verbose=0), plain(images()), atol=1e-5
    )
    report = fk.report(coded)
    assert report.converted == ("convolution",)
    if dense:
        assert (
            report.not_converted["head"] == f"quantized layers are not coded ({mode})"
        )


PAIRS = [
    *(("int8", True, "fixed"), ("int8", False, "unknown")),
    *(("float8", False, "fixed"), ("float8", True, "unknown")),
    ("int4", True, "unknown"),
]
"""Each mode with Dense coded or not; both of these with either width."""


@pytest.mark.parametrize(
    ("mode", "dense", "width"), [case for case in PAIRS if case[0] in MODES]
)
def test_after_distributing(mode, dense, width):
    plain = model(WIDTHS[width])
    executor = fk.LocalExecutor(4)
    coded = fk.distribute(plain, executor, dense=dense, fallback="raise")
    coded.predict(images(), verbose=0)
    holding = len(executor.placements)
    if dense:
        with pytest.warns(RuntimeWarning, match="^Layer '.*' was quantized") as warned:
            coded.quantize(mode)
        ours = [w for w in warned if w.category is RuntimeWarning]
        assert len(ours) == 2  # of each layer
    else:
        coded.quantize(mode)
    plain.quantize(mode)
    assert coded.get_layer("head").quantization_mode == mode
    with fk.trace(coded) as trace:
        outputs = coded.predict(images(), verbose=0)
    np.testing.assert_allclose(outputs, plain(images()), atol=1e-5)
    assert (trace.distributed_convolutions, trace.local_convolutions) == (1, 0)
    assert len(executor.placements) == holding - 2 * dense
    report = fk.report(coded)
    assert report.converted == ("convolution",)
    if dense:
        for name in ("head", "hidden"):
            why = f"quantized layers are not coded ({mode})"
            assert report.not_converted[name] == why
    if width == "unknown":
        assert isinstance(coded.get_layer("convolution").coded, SizedAtCall)


def test_what_keras_does_not_quantize_is_coded_as_before():
    coded = fk.distribute(model(), fk.LocalExecutor(4), fallback="raise")
    with pytest.raises(NotImplementedError, match="quantize"):
        coded.get_layer("convolution").quantize("int8")
    assert fk.report(coded).converted == ("convolution",)
