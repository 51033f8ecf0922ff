"""Functions, layers and classes of users' own in convolutions: coded all the same."""

import functools
import operator

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.layers import CodedLayer
from tests.rewriting.copied_models import (
    SHAPE,
    Conv3x3,
    Larger,
    Narrow,
    Pair,
    assert_same,
    conv,
    distributed,
    images,
    layers,
    sequential,
)

# Keras, as it saves, makes arrays of TensorFlow's variables, which do not know `copy`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")

FACTOR = -2.0


def relu(x):
    """Has the name of one of Keras's, and is another."""
    return keras.ops.minimum(x, 0.0)


class Scale:
    """A thing that can be called, and has no configuration."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return x * self.factor


class Halved(keras.constraints.Constraint):
    """Is not registered."""

    def __call__(self, w):
        return w / 2.0


class Leaning(keras.regularizers.Regularizer):
    """Has no configuration either."""

    def __call__(self, x):
        return FACTOR * keras.ops.sum(x)


class Softer(layers.Layer):
    """A layer with a weight, of a class that is not registered."""

    def build(self, shape):
        self.slope = self.add_weight(shape=(shape[-1],), initializer="random_normal")

    def call(self, x):
        return keras.ops.tanh(x * self.slope)


ACTIVATIONS = {
    "layer": lambda: layers.LeakyReLU(negative_slope=0.3),
    "layer with weights": lambda: layers.PReLU("random_normal"),
    "own layer": Softer,
    "lambda": lambda: lambda x: keras.ops.sin(x) * FACTOR,
    "partial": lambda: functools.partial(keras.ops.leaky_relu, negative_slope=0.3),
    "partial of an operator": lambda: functools.partial(operator.mul, FACTOR),
    "function": lambda: relu,
    "method": lambda: Scale(3.0).__call__,
    "callable": lambda: Scale(3.0),
}


@pytest.mark.parametrize("case", ACTIVATIONS)
def test_activations_of_all_kinds(case):
    activation = ACTIVATIONS[case]()
    image = keras.Input(SHAPE)
    x = conv(4, activation=activation, name="alone")(image)
    films = keras.ops.stack([x, x], axis=1)
    each = conv(activation=ACTIVATIONS[case](), name="each")
    timed = layers.TimeDistributed(each, name="t")
    model = keras.Model(image, [x, timed(films)])
    model(images())  # Keras builds activations at the first call alone
    coded = distributed(model)
    assert fk.report(coded).converted == ("alone", "t/each")
    assert_same(coded(images()), model(images()))
    # As they are given, not by what they are called.
    if not isinstance(activation, layers.Layer):
        assert coded.get_layer("alone").activation is activation


def test_users_functions_in_other_places():
    model = sequential(
        layers.Lambda(lambda x, training=None: x * (FACTOR if training else 1.0)),
        Pair(activation=lambda x: x * FACTOR),
        conv(
            kernel_initializer=lambda shape, dtype: np.full(shape, 0.1, dtype),
            kernel_regularizer=Leaning(),
            bias_constraint=Halved(),
        ),
    )
    coded = distributed(model)
    for training in (False, True):
        found = coded(images(), training=training)
        assert_same(found, model(images(), training=training))
    assert_same(coded.losses, model.losses)
    assert coded.layers[-1].bias_constraint is model.layers[-1].bias_constraint


class Named(layers.Layer):
    """Writes the name of its function into its configuration, and reads it itself."""

    def __init__(self, function="relu", **options):
        super().__init__(**options)
        self.function = {"relu": relu}[function]

    def call(self, x):
        return self.function(x)

    def get_config(self):
        return {**super().get_config(), "function": self.function.__name__}


def test_classes_that_find_their_functions_by_name():
    model = sequential(Named(), conv())
    coded = distributed(model)
    assert coded.layers[0].function is relu
    assert_same(coded(images()), model(images()))


def test_models_without_convolutions_say_so():
    dense = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    with pytest.raises(fk.PlanError, match="Dense is coded on request only"):
        fk.plan(dense, workers=3)
    flat = keras.Sequential([keras.Input(SHAPE), layers.Flatten()])
    with pytest.raises(fk.PlanError, match="'all'; it has no convolution"):
        fk.plan(flat, workers=3)


PRESETS = {
    Conv3x3: lambda: Conv3x3(4, activation="relu", name="own"),
    Narrow: lambda: Narrow(4, name="own"),
    Larger: lambda: Larger(4, name="own"),
}


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [  # Conv3x3 does not take what its configuration has: Keras cannot load it
        (Conv3x3, ".weights.h5"),
        (Narrow, ".weights.h5"),
        (Narrow, ".keras"),
        (Larger, ".keras"),
    ],
)
def test_classes_that_preset_arguments_are_coded(kind, suffix, tmp_path):
    def make():
        return sequential(PRESETS[kind](), conv(name="plain"))

    model, x = make(), images()
    model.layers[0].trainable = False
    coded = distributed(model)
    assert fk.report(coded).converted == ("own", "plain")
    own = coded.layers[0]
    assert isinstance(own, kind)
    assert isinstance(own, CodedLayer)
    assert not own.trainable
    with fk.trace(coded) as trace:
        assert_same(coded(x), model(x))
    assert trace.distributed_convolutions == 2
    path = tmp_path / f"coded{suffix}"
    if suffix == ".keras":
        coded.save(path)
        # A class that is registered is found without help.
        known = {"Larger": Larger} if kind is Larger else {}
        loaded = keras.models.load_model(path, custom_objects=known)
    else:
        coded.save_weights(path)
        loaded = make()
        loaded.load_weights(path)
    assert type(loaded.layers[0]) is kind
    assert_same(loaded(x), model(x))
    again = distributed(coded)
    assert fk.report(again).converted == ("own", "plain")
    assert_same(again(x), model(x))


def test_derived_dense_layers_are_coded_on_request():
    class Ten(layers.Dense):
        def __init__(self, **options):
            super().__init__(10, **options)

    model = sequential(layers.Flatten(), Ten(name="ten"))
    coded = fk.distribute(model, fk.LocalExecutor(3), dense=True, fallback="raise")
    assert fk.report(coded).converted == ("ten",)
    assert_same(coded(images()), model(images()))


def test_attributes_and_methods_beside_kerass_are_kept():
    coded = distributed(sequential(Conv3x3(4, name="own")))
    assert coded.layers[0].described() == "4 wide"


CHANGED = {
    "call": lambda self, inputs: -layers.Conv2D.call(self, inputs),
    "convolution_op": lambda self, inputs, kernel: inputs,
    "kernel": property(lambda self: self._kernel * 2.0),
    "build": lambda self, shape: layers.Conv2D.build(self, shape),
    "__call__": lambda self, x: -layers.Conv2D.__call__(self, x),
}


@pytest.mark.parametrize("name", CHANGED)
def test_classes_that_change_what_is_computed_are_not(name):
    kind = type("Odd", (layers.Conv2D,), {name: CHANGED[name]})
    model = sequential(kind(3, 3, padding="same", name="odd"), conv())
    coded = distributed(model)
    reason = fk.report(coded).not_converted["odd"]
    assert reason.startswith(f"Odd has its own `{name}` in place of those of Conv2D")
    assert_same(coded(images()), model(images()))


def test_layers_with_a_method_of_their_own_are_not_coded():
    model = sequential(conv(name="odd"), conv())
    odd = model.layers[0]
    odd.convolution_op = lambda inputs, kernel: inputs
    ((path, reason),) = fk.plan(model, workers=3).not_coded
    assert path == "odd"
    assert reason.startswith("Conv2D has its own `convolution_op`")
