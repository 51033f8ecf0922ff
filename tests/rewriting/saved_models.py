"""Models that tests save: nested ones, and some of classes of users."""

import keras
import numpy as np

import fcdcc_keras as fk


@keras.saving.register_keras_serializable("fcdcc_tests")
class Pair(keras.layers.Layer):
    """Two convolutions in a list, which files name by their class."""

    def __init__(self, **options):
        super().__init__(**options)
        self.both = [keras.layers.Conv2D(4, 3, padding="same") for _ in range(2)]

    def build(self, shape):
        for layer in self.both:
            layer.build((*shape[:-1], 4))

    def call(self, x):
        return self.both[1](self.both[0](x))


@keras.saving.register_keras_serializable("fcdcc_tests")
class Net(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.stem = keras.layers.Conv2D(4, 3)
        self.pairs = [Pair(), Pair()]

    def call(self, x):
        x = self.stem(x)
        for pair in self.pairs:
            x = pair(x)
        return x

    def get_config(self):
        return keras.Model.get_config(self)


def mixed(seed=0):
    """A nested model in which some convolutions are coded, and some inside a layer."""
    keras.utils.set_random_seed(seed)
    inner = keras.Sequential(
        [
            keras.Input((12, 12, 4)),
            keras.layers.Conv2D(4, 3, name="deep"),
            keras.layers.SeparableConv2D(5, 3, name="deeper"),
        ],
        name="inner",
    )
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="first")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(Pair(name="pair")(x))
    return keras.Model(inputs, inner(x), name="mixed")


def subclassed(seed=0):
    keras.utils.set_random_seed(seed)
    model = Net(name="net")
    model(images())
    return model


def images(batch=2):
    rng = np.random.default_rng(3)
    return rng.normal(size=(batch, 12, 12, 3)).astype("float32")


def distributed(model, workers=4, **options):
    return fk.distribute(
        model, fk.LocalExecutor(workers), **{"fallback": "raise", **options}
    )
