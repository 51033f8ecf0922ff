"""Whatever changes weights, the next prediction is that of the plain model."""

import keras
import numpy as np
import pytest

import fcdcc_keras as fk

EXACT = {"rtol": 1e-11, "atol": 1e-11}


def model(seed=0):
    keras.utils.set_random_seed(seed)
    wide = {"dtype": "float64"}
    inputs = keras.Input((12, 12, 3), **wide)
    x = keras.layers.Conv2D(6, 3, activation="relu", name="one", **wide)(inputs)
    x = keras.layers.Conv2D(4, 3, name="two", **wide)(x)
    x = keras.layers.Flatten(**wide)(x)
    outputs = keras.layers.Dense(2, **wide)(x)
    made = keras.Model(inputs, outputs)
    made.compile("sgd", "mse")
    return made


def images(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(4, 12, 12, 3)).astype("float64")


def targets():
    return np.random.default_rng(9).normal(size=(4, 2)).astype("float64")


def assign(changed, tmp_path):
    changed.get_layer("one").kernel.assign(model(5).get_layer("one").kernel)


def assign_in_place(changed, tmp_path):
    changed.get_layer("two").kernel.assign_add(np.full((3, 3, 6, 4), 0.25, "float64"))


def set_weights(changed, tmp_path):
    changed.set_weights(model(6).get_weights())


def load_weights(changed, tmp_path):
    path, other = str(tmp_path / "other.weights.h5"), model(7)
    if isinstance(changed.get_layer("one"), fk.CodedConv2D):
        # Keras finds weights in such a file by the names of the layers' classes.
        other = fk.distribute(other, fk.LocalExecutor(4))
    other.save_weights(path)
    changed.load_weights(path)


def one_bit(changed, tmp_path):
    kernel = changed.get_layer("one").kernel.numpy()
    kernel.reshape(-1).view("u8")[0] ^= 1 << 40
    changed.get_layer("one").kernel.assign(kernel)


def train_step(changed, tmp_path):
    changed.train_on_batch(images(3), targets())


def fit(changed, tmp_path):
    changed.fit(images(3), targets(), epochs=2, batch_size=2, shuffle=False, verbose=0)


def enable_lora(changed, tmp_path):
    layer = changed.get_layer("two")
    layer.enable_lora(2)
    shape = layer.lora_kernel_b.shape
    layer.lora_kernel_a.assign(np.full(layer.lora_kernel_a.shape, 0.5, "float64"))
    layer.lora_kernel_b.assign(np.random.default_rng(1).normal(size=shape) / 10)
    changed.compile("sgd", "mse")  # as Keras asks for: traced functions are made anew


def enable_lora_and_train(changed, tmp_path):
    enable_lora(changed, tmp_path)
    changed.train_on_batch(images(3), targets())


WAYS = [
    *(assign, assign_in_place, set_weights, load_weights, one_bit),
    *(train_step, fit, enable_lora, enable_lora_and_train),
]


def predictions(changed):
    x = images()
    return [changed(x).numpy(), changed.predict_on_batch(x)]


# Keras writes weights so that NumPy 2 warns.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_weights_change(tmp_path, way):
    check_that_predictions_follow(fk.LocalExecutor(4), way, tmp_path)


# That they changed is seen by the layer; who holds the shares is another's business.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")
@pytest.mark.parametrize("way", [one_bit, fit, enable_lora])
def test_weights_change_on_a_cluster(client, tmp_path, way):
    check_that_predictions_follow(client, way, tmp_path)


def check_that_predictions_follow(cluster, way, tmp_path):
    plain = model()
    coded = fk.distribute(plain, cluster, fallback="raise")
    before = predictions(coded)
    for y, expected in zip(before, predictions(plain), strict=True):
        np.testing.assert_allclose(y, expected, **EXACT)
    for changed in (plain, coded):
        way(changed, tmp_path)
    with fk.trace(coded) as trace:
        after = predictions(coded)
    assert trace.distributed_convolutions == 4
    for y, old, expected in zip(after, before, predictions(plain), strict=True):
        assert abs(expected - old).max() > 1e-7  # or nothing is shown
        np.testing.assert_allclose(y, expected, **EXACT)
    fk.close(coded)
