"""VGG16 and ResNet50, layer by layer: how near the answer is, for all survivors."""

from dataclasses import replace
from itertools import combinations, product
from threading import Lock

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.coding.compute import convolve
from fcdcc_keras.execution.executors.local import LOST
from fcdcc_keras.execution.forward.coded_convolution import CodedConvolution
from fcdcc_keras.programs.exactness import plain_error
from fcdcc_keras.worker.weights import Weights

BOUND = {"float32": 4e-6, "float64": 1e-13}
"""Deviation from what is plain, in units of the largest output."""
OF_PLAIN = 4.0
"""The same in units of the plain float32 model's own error, which on some CPUs is ten
times that on others."""
OF_CERTIFIED = 3.0
"""Deviation of a layer from the plain one, which rounds as well, in units of its
certified error; by measurement up to 2.05 of it."""
LAST_MAP = {"VGG16": "block5_conv3", "ResNet50": "conv5_block3_out"}
SURVIVORS = list(combinations(range(6), 4))
ENGINES = {
    ("VGG16", "float32"): ("tensorflow", "light"),
    ("VGG16", "float64"): ("tensorflow",),
    ("ResNet50", "float32"): ("light",),
    ("ResNet50", "float64"): ("tensorflow",),
}
"""What the workers compute with: each network by both engines."""
SIDE = {"float32": 224, "float64": 112}
"""Of the images: full size once, which float64 takes longest for. Of how many terms an
output is the sum, on which its error depends, is the same in smaller ones."""


class Once(fk.LocalExecutor):
    """Has each worker answer each input of a layer once, whoever is lost then."""

    def __init__(self, monkeypatch):
        super().__init__(6)
        self._inputs, self._answers = {}, {}

        def answer(share, *arguments):
            if id(share) not in self._answers:
                self._answers[id(share)] = run(share, *arguments)
            return self._answers[id(share)]

        run = Weights.run
        monkeypatch.setattr(Weights, "run", answer)

    def answer_again(self, engine):
        self.engine = engine
        self._answers.clear()

    def forget(self):
        self._inputs.clear()

    def run(self, job):
        def encode(workers):
            key = tuple(workers)
            if key not in self._inputs:
                self._inputs[key] = job.encode(workers)
            return self._inputs[key]

        return super().run(replace(job, encode=encode))


def all_sets(monkeypatch, executor, engines):
    """Has each layer be computed by every engine, and decoded from every set; returns
    how far each was off, in units of what is allowed.

    The network goes on with the answer from the last of them.
    """
    decode, lock, deviations = CodedConvolution._coded, Lock(), []

    def coded(self, workers, placement, geometry, inputs, kernel, output, record):
        expected = convolve(inputs, kernel, geometry)
        dtype, largest = inputs.dtype.name, abs(expected).max()
        with lock:  # TensorFlow runs branches in several threads
            for engine in engines:
                scale = largest * allowed(self.plan, dtype, geometry, engine)
                executor.answer_again(engine)
                for survivors in SURVIVORS:
                    executor.faults = {w: LOST for w in range(6) if w not in survivors}
                    output[...] = np.nan
                    layer = placement, geometry, inputs, kernel, output, record
                    decode(self, workers, *layer)
                    deviations.append(abs(output - expected).max() / scale)
            executor.forget()

    monkeypatch.setattr(CodedConvolution, "_coded", coded)
    return deviations


def allowed(plan, dtype, geometry, engine):
    """Returns how far a layer may be off, in units of its largest output."""
    if dtype == "float64":
        return BOUND[dtype]
    worst = max(1.0, plan.certificate.amplification_worst)
    return OF_CERTIFIED * worst * plain_error(dtype, geometry.terms, engine)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", LAST_MAP)
def test_last_feature_map_for_every_survivor_set(name, dtype, monkeypatch):
    keras.utils.set_random_seed(0)
    shape = (SIDE[dtype], SIDE[dtype], 3)
    keras.config.set_dtype_policy(dtype)
    try:
        application = getattr(keras.applications, name)
        full = application(weights=None, include_top=False, input_shape=shape)
    finally:
        keras.config.set_dtype_policy("float32")
    plain = keras.Model(full.inputs, full.get_layer(LAST_MAP[name]).output)
    x = np.random.default_rng(0).uniform(-1, 1, size=(1, *shape)).astype(dtype)
    expected = plain.predict_on_batch(x)
    executor = Once(monkeypatch)
    coded = fk.distribute(plain, executor, stragglers=2, fallback="raise")
    convolutions = sum(isinstance(v, keras.layers.Conv2D) for v in plain.layers)
    assert len(fk.report(coded).converted) == convolutions
    bound = max(
        BOUND[dtype], OF_PLAIN * own_error(plain, x) if dtype == "float32" else 0
    )
    engines = ENGINES[name, dtype]
    deviations = all_sets(monkeypatch, executor, engines)
    with fk.trace(coded) as trace:
        y = coded.predict_on_batch(x)
    assert trace.local_convolutions == 0
    assert trace.distributed_convolutions == convolutions
    settings = list(product(engines, SURVIVORS))
    assert len(trace.records) == convolutions * len(settings)
    for i, record in enumerate(trace.records):
        engine, survivors = settings[i % len(settings)]
        # A layer may need fewer than four.
        assert {*record.survivors} <= {*survivors}
        assert {record.subtasks[w].engine for w in record.survivors} == {engine}
    assert y.dtype == dtype
    worst = abs(y - expected).max() / abs(expected).max()
    # A deviation of nothing at all would mean that nothing was coded.
    assert 0 < worst <= bound
    assert 0 < max(deviations) <= 1


def own_error(plain, x):
    """Returns how far the plain float32 model is from the same one in float64."""
    config = plain.get_config()
    for layer in config["layers"]:
        layer["config"]["dtype"] = "float64"
    exact = keras.Model.from_config(config)
    exact.set_weights(plain.get_weights())
    expected = exact.predict_on_batch(x.astype("float64"))
    return abs(plain.predict_on_batch(x) - expected).max() / abs(expected).max()
