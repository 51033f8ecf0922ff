"""VGG16 and ResNet50 at full size: how near the coded answer is, for all survivors."""

from itertools import combinations

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.local import LOST

BOUND = {"float32": 4e-6, "float64": 1e-13}
"""Deviation from the plain model, in units of the largest output."""
OF_PLAIN = 4.0
"""The same in units of the plain float32 model's own error, which on some CPUs is ten
times that on others."""
LAST_MAP = {"VGG16": "block5_conv3", "ResNet50": "conv5_block3_out"}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", LAST_MAP)
def test_last_feature_map_for_every_survivor_set(name, dtype):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(dtype)
    try:
        full = getattr(keras.applications, name)(weights=None)
    finally:
        keras.config.set_dtype_policy("float32")
    plain = keras.Model(full.inputs, full.get_layer(LAST_MAP[name]).output)
    x = np.random.default_rng(0).uniform(-1, 1, size=(1, 224, 224, 3)).astype(dtype)
    expected = plain.predict_on_batch(x)
    executor = fk.LocalExecutor(6)
    coded = fk.distribute(plain, executor, stragglers=2, fallback="raise")
    convolutions = sum(isinstance(v, keras.layers.Conv2D) for v in plain.layers)
    assert len(fk.report(coded).converted) == convolutions
    bound = max(
        BOUND[dtype], OF_PLAIN * own_error(plain, x) if dtype == "float32" else 0
    )
    worst = 0.0
    for survivors in combinations(range(6), 4):
        executor.faults = {w: LOST for w in range(6) if w not in survivors}
        with fk.trace(coded) as trace:
            y = coded.predict_on_batch(x)
        assert trace.distributed_convolutions == convolutions
        assert trace.local_convolutions == 0
        assert {r.survivors for r in trace.records} <= set(_subsets(survivors))
        assert y.dtype == dtype
        worst = max(worst, abs(y - expected).max() / abs(expected).max())
    assert worst <= bound
    # A deviation of nothing at all would mean that nothing was coded.
    assert worst > 0


def own_error(plain, x):
    """Returns how far the plain float32 model is from the same one in float64."""
    config = plain.get_config()
    for layer in config["layers"]:
        layer["config"]["dtype"] = "float64"
    exact = keras.Model.from_config(config)
    exact.set_weights(plain.get_weights())
    expected = exact.predict_on_batch(x.astype("float64"))
    return abs(plain.predict_on_batch(x) - expected).max() / abs(expected).max()


def _subsets(survivors):
    """A layer may need fewer than four."""
    return [s for k in (1, 2, 3, 4) for s in combinations(survivors, k)]
