"""The speculative peer: that it copies, and that its answers are right."""

import keras
import numpy as np

import fcdcc_keras as fk
from benchmarks.figures.speculation import SpeculativeExecutor
from fcdcc_keras.execution.executors.connect import connect


def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(12, 3, padding="same")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(10, 3)(x))


def _hang(seconds):
    """Has a worker's subtasks take long."""
    import time

    from fcdcc_keras.worker.weights import Weights

    kept = Weights.run

    def slow(*args):
        time.sleep(seconds)
        return kept(*args)

    Weights.kept, Weights.run = kept, slow


def _wake():
    from fcdcc_keras.worker.weights import Weights

    Weights.run = Weights.kept


def test_late_subtasks_are_copied_and_answers_are_right(client) -> None:
    plain = model()
    x = np.random.default_rng(0).normal(size=(2, 24, 24, 3)).astype("float32")
    executor, cleanup = connect(client, None, 0, "direct")
    peer = SpeculativeExecutor(executor)
    options = {"stragglers": 0, "code": "uncoded", "fallback": "raise"}
    coded = fk.distribute(plain, peer, **options)
    slow = [peer.addresses[1]]
    try:
        for _ in range(3):
            np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
        client.run(_hang, 1.0, workers=slow)
        before = peer.copies
        with fk.trace(coded) as trace:
            np.testing.assert_allclose(coded(x), plain(x), atol=1e-5)
        assert peer.copies > before
        assert trace.local_convolutions == 0
    finally:
        client.run(_wake, workers=slow)
        fk.close(coded)
        cleanup()
