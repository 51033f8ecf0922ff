"""What is assumed of Keras beyond its documentation; one test for each assumption."""

from collections import Counter

import keras
import numpy as np
import pytest

from fcdcc_keras.layers import graph_internals
from fcdcc_keras.rewriting import keras_internals


class Preset(keras.layers.Conv2D):
    def __init__(self, width, **options):
        super().__init__(2 * width, 3, **options)


class Holding(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.held = keras.layers.Dense(1)
        self.listed = [self.held]


def sequential():
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3)])


def test_a_functional_model_of_keras_has_the_class():
    x = keras.Input((2,))
    kind = type(keras.Model(x, x))
    assert kind is keras_internals.Functional, "keras: `keras.src.models.Functional`"

    class Own(kind):
        def __init__(self, size):
            x = keras.Input((size,))
            super().__init__(x, x)

    assert keras_internals.takes_graph(kind)
    assert not keras_internals.takes_graph(Own)


def test_configurations_of_keras_with_code_are_read_in_a_scope():
    config = keras.saving.serialize_keras_object(keras.layers.Lambda(lambda x: 2 * x))
    read = keras.saving.deserialize_keras_object
    with pytest.raises(ValueError, match="lambda"):
        read(config, safe_mode=True)
    kind, config = keras.layers.Lambda, config["config"]
    with keras_internals.trusting():
        assert kind.from_config(config).function(3) == 6


def test_keras_lists_the_layers_inside():
    model = sequential()
    conv = model.layers[0]
    first, *others = keras_internals.layers_inside(model)
    # Of what is built the input comes first, which `layers` leaves out.
    assert isinstance(first, keras.layers.InputLayer)
    assert others[0] is conv
    around = keras.Sequential([keras.Input((4, 4, 1)), model])
    assert conv not in keras_internals.layers_inside(around)
    assert conv in keras_internals.layers_inside(around, recursive=True)
    holding = Holding()
    assert keras_internals.layers_inside(holding) == [holding.held]


def test_keras_lists_what_attributes_have_in_its_own_lists():
    holding = Holding()
    where = [
        name
        for name, value in vars(holding).items()
        if value is holding.held or (isinstance(value, list) and holding.held in value)
    ]
    found = Counter(keras_internals.is_own_list(name) for name in where)
    assert found[False] == 2, f"keras: {where} have the layer"
    assert {"held", "listed"} <= set(where)


def test_keras_notes_each_use_of_a_layer():
    layer = keras.layers.Conv2D(2, 3)
    for size in (4, 6):
        layer(keras.Input((size, size, 1)))
    shapes = [(i.shape[1], o.shape[1]) for (i,), (o,) in keras_internals.uses(layer)]
    assert shapes == [(4, 2), (6, 4)], "keras: `Layer._inbound_nodes`"


def test_keras_notes_what_an_operator_was_given():
    inputs = keras.Input((2,))
    outputs = [inputs * 3.0, 3.0 - inputs, inputs + inputs]
    for output, expected in zip(
        outputs, [[inputs, 3.0], [3.0, inputs], [inputs, inputs]], strict=True
    ):
        given = keras_internals.arguments(keras_internals.origin(output), output)
        assert [id(g) if g is inputs else g for g in given] == [
            id(e) if e is inputs else e for e in expected
        ], "keras: `Operation._inbound_nodes` with `arguments`"


def test_keras_notes_how_a_layer_was_called():
    x, dropout, add = keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Add()
    y = dropout(x, training=True)
    args, kwargs = keras_internals.called_with(dropout, y)
    assert (id(args[0]), kwargs) == (id(x), {"training": True})
    (given,), _ = keras_internals.called_with(add, add([x, y]))
    assert [id(one) for one in given] == [id(x), id(y)]


@pytest.mark.parametrize("training", [None, False, True])
def test_keras_runs_a_graph_by_a_method_of_the_model(training):
    inputs = {name: keras.Input((2,), name=name) for name in ("b", "a")}
    outputs = {"sum": inputs["a"] + inputs["b"], "twice": [2 * inputs["b"]]}
    model = keras.Model(inputs, outputs)
    seen = []

    class Told(keras.layers.Layer):
        def call(self, inputs, training=None):
            seen.append(training)
            return inputs

    class Runner:
        def run(self, inputs, operation_fn=None, **options):
            # In the order of `Model.inputs`; the structure is that of `Model.output`.
            given = dict(
                zip(map(id, model.inputs), keras.tree.flatten(inputs), strict=True)
            )
            assert [given[id(inputs)][0, 0] for inputs in model.inputs] == [
                float(one.name == "b") for one in model.inputs
            ]
            operation_fn(Told())(model_inputs["a"])
            found = [keras.ops.zeros(()), keras.ops.ones(())]
            assert not options
            return keras.tree.pack_sequence_as(model.output, found)

    model_inputs = {"a": keras.ops.zeros((1, 2)), "b": keras.ops.ones((1, 2))}
    runner = Runner()
    assert graph_internals.runner(model) is None
    graph_internals.run_by(model, runner.run)
    assert graph_internals.runner(model) is runner
    found = model(model_inputs, training=training)
    assert seen == [training]
    assert (float(found["sum"]), float(found["twice"][0])) == (0, 1)
    plain = graph_internals.run_plainly(
        model, [model_inputs[k] for k in inputs], lambda operation: operation
    )
    assert plain["twice"][0].shape == (1, 2)


@pytest.mark.parametrize("change", [{}, {"force": True}])
def test_keras_predicts_by_a_function_that_a_method_makes(change):
    model, told = sequential(), []

    def made(own):
        def predict(data):
            told.append([isinstance(one, tuple) for one in data])
            return own(data)

        return predict

    graph_internals.predict_by(model, made)
    images = np.zeros((2, *model.input_shape[1:]), np.float32)
    expected = np.asarray(model(images))
    for _ in range(2):
        np.testing.assert_allclose(model.predict_on_batch(images), expected, 1e-6)
        np.testing.assert_allclose(model.predict(images, verbose=0), expected, 1e-6)
        first = model.predict_function
        assert model.make_predict_function() is first
        model.compile(loss="mse")
        assert model.predict_function is None
        model.make_predict_function(**change)
        assert model.predict_function is not first
    # A tuple of images, or nothing but images.
    assert told == [[True], [False]] * 2
    made_before = model.predict_function
    assert model.make_predict_function(force=True) is not made_before


def test_a_sequential_model_of_keras_is_run_by_a_functional_one():
    model = sequential()
    inside = keras_internals.functional(model)
    assert type(inside) is keras_internals.Functional
    assert inside.inputs[0] is model.inputs[0]
    assert inside.outputs[0] is model.outputs[0]
    assert keras_internals.functional(inside) is inside
    model.add(keras.layers.ReLU())
    assert keras_internals.functional(model) is not inside


def test_keras_tells_whether_variables_have_other_values():
    said = []

    class Told(keras.layers.Layer):
        def call(self, inputs):
            said.append(graph_internals.in_scope())
            return inputs

    model = keras.Sequential([keras.Input((2,)), Told()])
    said.clear()
    model(np.zeros((1, 2)))
    model.stateless_call([], [], np.zeros((1, 2)))
    assert said == [False, True]


def test_a_mask_of_keras_is_with_its_tensor():
    given = keras.ops.ones((1, 3, 2))
    assert not graph_internals.is_masked(given)
    assert graph_internals.is_masked(keras.layers.Masking()(given))


def test_a_tensor_of_keras_knows_its_layer():
    layer = keras.layers.Dense(1)
    inputs = keras.Input((2,))
    assert keras_internals.origin(layer(inputs)) is layer
    assert isinstance(keras_internals.origin(inputs), keras.layers.InputLayer)


def test_example_networks_have_layers_of_their_own():
    model = keras.applications.ConvNeXtTiny(weights=None, include_top=False)
    own = {keras_internals.example_layer(type(layer)) for layer in model.layers}
    assert own == {"", "LayerScale"}, "keras: `keras.src.applications`"


def test_keras_notes_the_arguments_of_layers_and_compile():
    layer = Preset(3, activation="relu")
    assert keras_internals.noted_arguments(layer) == {"width": 3, "activation": "relu"}
    assert keras_internals.noted_arguments(Preset(3, bias_constraint=abs)) is None
    model = sequential()

    def loss(y, z):
        return y - z

    model.compile("sgd", loss)
    assert keras_internals.compile_arguments(model)["loss"] is loss


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv2D(2, 3, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(1, kernel_regularizer="l2"),
        keras.layers.Bidirectional(keras.layers.LSTM(2)),
    ],
    ids=lambda layer: layer.name,
)
def test_a_configuration_of_keras_is_read_from_attributes(layer):
    double = object.__new__(type(layer))
    vars(double).update(vars(layer))
    assert double.get_config() == layer.get_config()


def test_keras_wraps_no_other_methods_of_layers():
    layer = keras.layers.Conv2D(2, 3)
    own = {name for name, x in vars(layer).items() if callable(x)}
    methods = {name for name in own if callable(getattr(type(layer), name, None))}
    assert methods <= {"build", "quantize"}, "keras: wrapped methods of a layer"
