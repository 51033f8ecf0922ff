"""A coded model saved by one process, and loaded by another that has other workers."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from tests.lean_keras import LEAN

LOAD = """
import sys
import fcdcc_keras as fk
import keras, numpy as np

folder, address = sys.argv[1:]
saved = np.load(f"{folder}/saved.npz")
model = keras.models.load_model(f"{folder}/coded.keras")
alone = model.predict(saved["images"])
fk.attach(model, address, stragglers=2, fallback="raise")
with fk.trace(model) as trace:
    answers = model.predict(saved["images"])
fk.close(model)
counts = [trace.distributed_convolutions, trace.local_convolutions]
np.savez(f"{folder}/loaded.npz", alone=alone, answers=answers, counts=counts)
"""


def save(folder):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(12, 3, strides=2, activation="relu")(inputs)
    inner = keras.Sequential([keras.Input((11, 11, 12)), keras.layers.Conv2D(8, 3)])
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inner(x)))
    images = np.random.default_rng(0).normal(size=(3, 24, 24, 3)).astype("float32")
    with fk.closing(
        fk.distribute(model, fk.LocalExecutor(3), fallback="raise")
    ) as coded:
        coded.save(f"{folder}/coded.keras")
        answers = coded.predict(images, verbose=0)
    np.savez(f"{folder}/saved.npz", images=images, answers=answers)


# Of Keras, when it saves weights.
@pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")
def test_another_process_with_other_workers_predicts_the_same(client, tmp_path):
    save(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LEAN + LOAD, str(tmp_path), client.scheduler.address],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    saved, loaded = (np.load(tmp_path / f"{x}.npz") for x in ("saved", "loaded"))
    assert loaded["counts"].tolist() == [2, 0]
    scale = abs(saved["answers"]).max()
    for answers in (loaded["alone"], loaded["answers"]):
        np.testing.assert_allclose(answers, saved["answers"], atol=1e-5 * scale)
