"""Copies keep what is neither configuration nor weights: inputs, states, seeds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from tests.rewriting.copied_models import (
    SHAPE,
    Maybe,
    Pair,
    Remembering,
    Rows,
    assert_same,
    conv,
    detector,
    distributed,
    images,
    layers,
    sequential,
)

OLD = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 8)
"""Of Keras: it takes no dictionary with None, and loads no TF-IDF."""


def optional(structure):
    here = keras.Input(SHAPE, name="here")
    maybe = keras.Input(SHAPE, optional=True, name="more")
    inputs = {"here": here, "more": maybe} if structure is dict else [here, maybe]
    model = keras.Model(inputs, conv()(Maybe()(here, maybe)))
    if structure != "nested":
        return model
    outer = [keras.Input(SHAPE), keras.Input(SHAPE, optional=True)]
    return keras.Model(outer, model(outer))


@pytest.mark.parametrize("structure", [list, dict, "nested"])
def test_optional_inputs_stay_optional(structure):
    if OLD and structure is dict:
        pytest.skip("Keras itself does not take them")
    model = optional(structure)
    coded = distributed(model)
    for maybe in (None, images() * 2):
        both = [images(), maybe]
        x = dict(zip(("here", "more"), both, strict=True))
        x = x if structure is dict else both
        assert_same(coded(x), model(x))


@pytest.mark.parametrize("kind", ["sparse", "ragged"])
def test_sparse_and_ragged_inputs_stay_so(kind):
    if kind == "ragged" and not hasattr(keras.KerasTensor, "ragged"):
        pytest.skip("this version of Keras knows no ragged inputs")
    special, image = keras.Input((4,), name="it", **{kind: True}), keras.Input(SHAPE)
    model = keras.Model([special, image], [Rows(kind)(special), conv()(image)])
    values = tf.constant([[1.0, 2.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]])
    if kind == "sparse":
        x = tf.sparse.from_dense(values)
    else:
        x = tf.RaggedTensor.from_tensor(values, padding=0.0)
    found, _ = distributed(model)([x, images()])
    np.testing.assert_array_equal(found, [[3.0], [3.0]])


def lookups():
    """Returns adapted layers, and an input for each."""
    words = np.array([["a b", "c"], ["c", "b b"]])
    numbers = np.array([[3, 7], [7, 9]])

    def upper(text):
        return tf.strings.upper(text)

    cases = [
        (layers.StringLookup(), words, "string"),
        (layers.StringLookup(output_mode="tf_idf"), words, "string"),
        (layers.IntegerLookup(num_oov_indices=2), numbers, "int64"),
        (layers.TextVectorization(standardize=upper), words.reshape(-1, 1), "string"),
        (layers.Discretization(num_bins=2), numbers, "float32"),
        (layers.Normalization(axis=None), numbers, "float32"),
        (layers.Hashing(5, salt=7), words, "string"),
    ]
    if OLD:
        del cases[1]
    for layer, data, _ in cases:
        if hasattr(layer, "adapt"):
            layer.adapt(data)
    new = {"string": [["c"], ["new"]], "int64": [[9], [8]], "float32": [[7.5], [1.0]]}
    return [(layer, tf.constant(new[dtype]), dtype) for layer, _, dtype in cases]


def test_adapted_layers_keep_their_vocabularies():
    cases = lookups()
    inputs = [keras.Input((1,), dtype=dtype) for _, _, dtype in cases]
    outputs = [case[0](x) for case, x in zip(cases, inputs, strict=True)]
    image = keras.Input(SHAPE)
    model = keras.Model([*inputs, image], [*outputs, conv()(image)])
    coded = distributed(model)
    x = [*(x for _, x, _ in cases), images()]
    expected = model(x)
    assert int(expected[0][0, 0]) > 0  # "c" is in the vocabulary
    assert_same(coded(x), expected)
    assert_same(coded.predict(x, verbose=0), expected)


def test_vocabularies_that_keras_loses_in_files_are_refused():
    lookup = layers.StringLookup(name="lines")
    lookup.adapt(["one\ntwo", "three"])
    inputs = keras.Input((1,), dtype="string"), keras.Input(SHAPE)
    model = keras.Model(inputs, [lookup(inputs[0]), conv()(inputs[1])])
    with pytest.raises(fk.PlanError, match=r"'lines'.* has an end of a line in it"):
        distributed(model)


def test_layers_that_are_not_adapted_yet_are_copied():
    lookup = layers.StringLookup()
    inputs = keras.Input((1,), dtype="string"), keras.Input(SHAPE)
    model = keras.Model(inputs, [lookup(inputs[0]), conv()(inputs[1])])
    coded = distributed(model)
    for it in (lookup, coded.get_layer(lookup.name)):
        it.adapt(["one", "two", "two"])
    x = [tf.constant([["two"], ["three"]]), images()]
    assert_same(coded(x), model(x))


@pytest.mark.parametrize("inside", [False, True])
def test_what_layers_save_in_a_way_of_their_own_is_copied(inside):
    memory = Remembering(name="memory")

    class Around(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.inner = memory if inside and not memory.count else Remembering()

        def build(self, shape):
            self.inner.build(shape)

        def call(self, x):
            return self.inner(x)

    around = Around() if inside else memory
    memory.count, memory.words = 3, ("one", "two")
    model = sequential(around)
    coded = distributed(model)
    (copy,) = (x for x in coded._flatten_layers() if isinstance(x, Remembering))
    assert copy is not memory
    assert (copy.count, copy.words) == (3, ("one", "two"))
    assert_same(coded(images()), model(images()))


def test_a_state_that_cannot_be_taken_is_refused():
    class Refusing(Remembering):
        def load_own_variables(self, store):
            raise KeyError("count")

    with pytest.raises(fk.PlanError, match=r"take the state.*'refusing'.*KeyError"):
        distributed(sequential(Refusing(name="refusing")))


def test_random_layers_go_on_where_their_originals_are():
    noise = layers.GaussianNoise(1.0), layers.Dropout(0.5, seed=3)
    model = sequential(conv(), *noise, Pair())
    model(images(), training=True)
    coded = distributed(model)
    for _ in range(2):
        assert_same(coded(images(), training=True), model(images(), training=True))


def test_layers_that_are_built_after_the_others_are_copied():
    class Later(layers.Layer):
        """Builds a layer that its call does not use."""

        def __init__(self, **options):
            super().__init__(**options)
            self.conv, self.other = conv(), layers.Dense(2)

        def build(self, shape):
            self.conv.build(shape)

        def call(self, x):
            return self.conv(x)

    later = Later()
    model = sequential(later)
    later.other.build((None, 5))
    copy = distributed(model).layers[0]
    assert_same(copy.other.kernel, later.other.kernel)


def test_what_a_functional_class_holds_beside_its_graph_is_copied():
    class WithHead(keras.Model):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.head = layers.Dense(2)
            self.scale = self.add_weight(name="scale", initializer="random_normal")

        def call(self, x, **options):
            return self.head(super().call(x, **options)) * self.scale

    inputs = keras.Input(SHAPE)
    model = WithHead(inputs, conv()(inputs))
    expected = model(images())
    coded = distributed(model)
    assert coded.head is not model.head
    assert_same(coded(images()), expected)


def test_a_layer_that_the_copy_has_twice_leaves_the_others_coded():
    model = detector()
    coded = distributed(model)
    assert fk.report(coded).converted == fk.plan(model, workers=3).paths
    assert len(fk.report(coded).converted) == 2
    assert_same(coded(images()), model(images()))


def test_weights_that_the_copy_has_twice_are_copied_with_a_warning():
    model = detector(shared=conv(name="shared"))
    with pytest.warns(UserWarning, match=r"'detector'.* trains 2 weights apart"):
        coded = distributed(model)
    assert_same(coded(images()), model(images()))
    report = fk.report(coded)
    assert report.converted == fk.plan(model, workers=3).paths
    # The copy of the second head has one more, by itself.
    (path,) = (p for p in report.not_converted if p.endswith("head4/shared"))
    assert "no layer of its own here" in report.not_converted[path]
    model.boxes.shared.trainable = False
    with pytest.warns(UserWarning, match="apart"):
        coded = distributed(model)
    assert len(coded.trainable_weights) == len(model.trainable_weights) == 4
