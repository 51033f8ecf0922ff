"""Rewriting models: every kind of graph keeps its outputs, names and weights."""

import keras
import numpy as np
import pytest

import fcdcc_keras as fk


def conv(filters, **options):
    return keras.layers.Conv2D(filters, 3, padding="same", **options)


def functional():
    inputs = keras.Input((12, 12, 3))
    x = conv(6, activation="relu", name="first")(inputs)
    shortcut = keras.layers.Conv2D(6, 1, strides=2, name="shortcut")(x)
    x = keras.layers.BatchNormalization()(conv(6, strides=2, name="main")(x))
    return keras.Model(inputs, keras.layers.add([x, shortcut]), name="functional")


def sequential():
    return keras.Sequential(
        [keras.Input((12, 12, 3)), conv(5), keras.layers.MaxPool2D(), conv(4)]
    )


def named_inputs():
    inputs = {k: keras.Input((12, 12, 3), name=k) for k in ("left", "right")}
    return keras.Model(inputs, keras.layers.add([conv(2)(inputs[k]) for k in inputs]))


def nested():
    inner = keras.Sequential([keras.Input((12, 12, 6)), conv(6), conv(3)], name="inner")
    outer_in = keras.Input((12, 12, 6))
    outer = keras.Model(outer_in, inner(conv(6)(outer_in)), name="outer")
    inputs = keras.Input((12, 12, 3))
    return keras.Model(inputs, keras.layers.Flatten()(outer(conv(6)(inputs))))


def shared_layer():
    twice = conv(3, name="twice")
    inputs = keras.Input((12, 12, 3))
    small = keras.layers.MaxPool2D()(twice(inputs))
    return keras.Model(inputs, [twice(twice(inputs)), twice(small)])


def shared_across_models():
    layer = conv(3, name="everywhere")
    inner_in = keras.Input((12, 12, 3))
    inner = keras.Model(inner_in, layer(inner_in), name="inner")
    inputs = keras.Input((12, 12, 3))
    return keras.Model(inputs, layer(inner(layer(inputs))))


def model_used_twice():
    tower = keras.Sequential([keras.Input((12, 12, 3)), conv(4)], name="tower")
    a, b = keras.Input((12, 12, 3)), keras.Input((12, 12, 3))
    return keras.Model([a, b], keras.layers.subtract([tower(a), tower(b)]))


MODELS = {  # name: (model, convolutions run in one pass, distinct layers)
    functional: (3, 3),
    sequential: (2, 2),
    named_inputs: (2, 2),
    nested: (4, 4),
    shared_layer: (4, 1),
    shared_across_models: (3, 1),
    model_used_twice: (2, 1),
}


def inputs_of(model, batch=2):
    rng = np.random.default_rng(3)
    arrays = [
        rng.normal(size=(batch, *x.shape[1:])).astype("float32") for x in model.inputs
    ]
    if len(arrays) > 1 and isinstance(model.input, dict):
        return dict(zip(model.input, arrays, strict=True))
    return arrays[0] if len(arrays) == 1 else arrays


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_coded_model_equals_the_original(make):
    keras.utils.set_random_seed(0)
    convolutions, layers = MODELS[make]
    model = make()
    before = model.get_weights()
    coded = fk.distribute(model, fk.LocalExecutor(4), fallback="raise")
    assert len(fk.report(coded).converted) == layers
    x = inputs_of(model)
    with fk.trace(coded) as trace:
        outputs = keras.tree.flatten(coded.predict(x, verbose=0))
    assert trace.distributed_convolutions == convolutions
    expected = keras.tree.flatten(model.predict(x, verbose=0))
    for output, value in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output, value, atol=1e-5)
    assert [w.shape for w in coded.weights] == [w.shape for w in model.weights]
    for a, b, c in zip(coded.weights, model.weights, before, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(b, c)
    assert [layer.name for layer in coded.layers] == [x.name for x in model.layers]
    assert not any(isinstance(layer, fk.CodedConv2D) for layer in model.layers)


def test_paths_name_the_models_around_a_layer():
    model = nested()
    plan = fk.plan(model, workers=4)
    tails = [layer.path.split("/")[:-1] for layer in plan.layers]
    assert tails == [[], ["outer"], ["outer", "inner"], ["outer", "inner"]]


def test_everything_that_is_not_converted_has_a_reason():
    inputs = keras.Input((12, 12, 4))
    x = conv(4, name="plain")(inputs)
    x = keras.layers.Conv2D(4, 3, groups=2, name="grouped")(x)
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = keras.layers.Conv2DTranspose(4, 3, name="transposed")(x)
    model = keras.Model(inputs, keras.layers.Flatten(name="flat")(x))
    report = fk.report(fk.distribute(model, fk.LocalExecutor(3)))
    assert report.converted == ("plain", "grouped", "depthwise", "transposed")
    reasons = report.not_converted
    assert reasons["flat"] == "it has no convolution"
    assert all(reasons.values())
    assert all(layer.path in str(report) for layer in report.layers)


def test_other_classes_are_named():
    class Odd(keras.layers.Conv2D):
        def call(self, inputs):
            return -super().call(inputs)

    model = keras.Sequential([keras.Input((8, 8, 3)), Odd(3, 3, name="odd"), conv(2)])
    plan = fk.plan(model, workers=3)
    assert dict(plan.not_coded).keys() == {"odd"}
    assert "Odd has its own `call`" in dict(plan.not_coded)["odd"]


def test_layers_are_chosen_by_name_path_and_function():
    model = nested()
    inner = model.get_layer("outer").get_layer("inner").layers[0].name
    plan = fk.plan(model, workers=4, layers=[f"outer/inner/{inner}"])
    assert [layer.path for layer in plan.layers] == [f"outer/inner/{inner}"]
    assert len(plan.not_coded) == 3
    assert fk.plan(model, workers=4, layers=inner).layers == plan.layers
    by_function = fk.plan(model, workers=4, layers=lambda layer: layer.filters == 3)
    assert len(by_function.layers) == 1


def test_planning_tells_of_each_layer():
    told = []
    plan = fk.plan(nested(), workers=4, progress=lambda *both: told.append(both))
    many = len(plan.layers)
    assert told == [(done, many) for done in range(many + 1)]


def test_compiled_model_is_compiled_the_same_and_without_xla():
    model = sequential()
    model.compile("adam", loss="mse", metrics=["mae"], jit_compile=True)
    with pytest.warns(UserWarning, match="Proceeding with `jit_compile=False`"):
        coded = fk.distribute(model, fk.LocalExecutor(3))
    assert coded.compiled
    assert not coded.jit_compile
    assert type(coded.optimizer) is type(model.optimizer)
    x, y = inputs_of(model), np.zeros((2, 6, 6, 4), "float32")
    with fk.trace(coded) as trace:
        scores = coded.evaluate(x, y, verbose=0, return_dict=True)
    assert trace.distributed_convolutions == 2
    assert scores == pytest.approx(
        model.evaluate(x, y, verbose=0, return_dict=True), rel=1e-5
    )


def test_coded_model_can_be_distributed_again():
    model = sequential()
    once = fk.distribute(model, fk.LocalExecutor(3))
    name = model.layers[0].name
    twice = fk.distribute(once, fk.LocalExecutor(5), stragglers=2, layers=[name])
    assert fk.report(twice).converted == (name,)
    x = inputs_of(model)
    np.testing.assert_allclose(twice(x), model(x), atol=1e-5)


def test_weights_set_later_are_used_by_the_next_prediction():
    model = functional()
    coded = fk.distribute(model, fk.LocalExecutor(4))
    x = inputs_of(model)
    coded.predict(x, verbose=0)
    keras.utils.set_random_seed(5)
    other = functional()
    coded.set_weights(other.get_weights())
    with fk.trace(coded) as trace:
        y = coded.predict(x, verbose=0)
    assert trace.distributed_convolutions == 3
    np.testing.assert_allclose(y, other.predict(x, verbose=0), atol=1e-5)
    executor = coded.layers[1].session.executor
    assert len(executor.placements) == 3  # the old shares are gone


def operations():
    inputs = keras.Input((12, 12, 3))
    x = keras.ops.relu(conv(4)(inputs)) * 2.0 + 1.0
    return keras.Model(inputs, keras.ops.concatenate([x, keras.ops.sigmoid(x)]))


def preprocessing():
    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(3, 5, (64, 12, 12, 3)))
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Rescaling(1 / 3)(normalization(inputs))
    x = keras.layers.CenterCrop(8, 8)(keras.layers.ZeroPadding2D(1)(x))
    return keras.Model(inputs, conv(4)(x))


def lambdas():
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Lambda(lambda t: t * 2 - 1)(inputs)
    return keras.Model(inputs, conv(4)(x))


@pytest.mark.parametrize("make", [operations, preprocessing, lambdas])
def test_whatever_surrounds_the_convolutions_is_kept(make):
    keras.utils.set_random_seed(0)
    model = make()
    coded = fk.distribute(model, fk.LocalExecutor(4), fallback="raise")
    x = inputs_of(model)
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(coded.predict(x, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected)


def test_models_of_own_losses_and_metrics_stay_compiled():
    def loss(y, predicted):
        return keras.ops.mean((y - predicted) ** 2, axis=-1)

    class Largest(keras.metrics.MeanMetricWrapper):
        def __init__(self):
            super().__init__(lambda y, p: keras.ops.max(abs(p - y)), name="largest")

        def get_config(self):
            return {}

    model = sequential()
    model.compile(keras.optimizers.SGD(0.1), loss=loss, metrics=[Largest(), "mae"])
    coded = fk.distribute(model, fk.LocalExecutor(3))
    assert model.compiled
    assert coded.optimizer is not model.optimizer
    x, y = inputs_of(model), np.zeros((2, 6, 6, 4), "float32")
    scores = model.evaluate(x, y, verbose=0, return_dict=True)
    assert scores.keys() == {"loss", "largest", "mae"}
    assert coded.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(
        scores, rel=1e-5
    )


def test_layer_that_cannot_be_made_again_is_named():
    class Stubborn(keras.layers.Layer):
        def __init__(self, factor):
            super().__init__(name="stubborn")
            self.factor = factor

        def call(self, x):
            return x * self.factor

    twice = Stubborn(np.float32(2.0))
    model = keras.Sequential([keras.Input((8, 8, 3)), conv(3), twice])
    with pytest.raises(fk.PlanError, match=r"(?s)Received: 'stubborn'.*get_config"):
        fk.distribute(model, fk.LocalExecutor(3))
