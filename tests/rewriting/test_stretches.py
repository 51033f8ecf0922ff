"""Stretches of models: which there are, and that their chains compute the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest

from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition.stretch import Stretch
from fcdcc_keras.rewriting.copying.rebuild import rebuild
from fcdcc_keras.rewriting.graph.stretches import sites
from fcdcc_keras.worker.engines.tensorflow import TensorFlowEngine

_L: Any = keras.layers


def _computed(
    stretch: Stretch, arrays: Sequence[np.ndarray], inputs: np.ndarray
) -> np.ndarray:
    """Returns a stretch's output, cut into as many chains as can be."""
    after, value = None, inputs
    for to, _ in stretch.ends:
        chain = stretch.chain(after, to)
        weights = [arrays[number] for number in chain.weights]
        value = TensorFlowEngine().prepare(chain.program, weights)([value])
        after = to
    return value


def test_a_network_is_one_stretch() -> None:
    keras.utils.set_random_seed(2)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = keras.applications.MobileNetV2(
            weights=None, input_shape=(64, 32, 3), classes=7, alpha=0.35
        )
    finally:
        keras.config.set_dtype_policy(before)
    for layer in model.layers:
        if isinstance(layer, _L.BatchNormalization):
            layer.gamma.assign(layer.gamma * 1.25)
            layer.moving_mean.assign(layer.moving_mean + 0.125)
    (site,) = sites(model)
    assert (site.size, site.dtype) == ((64, 32), "float64")
    assert (site.entry, site.exit) == (model.layers[0].name, model.layers[-1].name)
    assert {layer.name for layer in model.layers[1:]} <= {*site.layers}
    stretch = site.at((64, 32))
    assert {path for path, _ in stretch.ends} <= {layer.name for layer in model.layers}
    found = {path for path, _ in stretch.ends}
    assert {"block_1_expand", "block_2_add"} <= found
    assert not any(path.startswith("block_2_expand") for path in found)
    images = np.random.default_rng(1).random((2, 64, 32, 3), np.float32)
    found = _computed(stretch, site.arrays(), images.astype("float64"))
    expected = model.predict(images, verbose=0)
    assert abs(found - expected).max() < 1e-13 * abs(expected).max()


def _conv(name: str, filters: int = 3, **options: Any) -> Any:
    return _L.Conv2D(filters, 3, padding="same", name=name, **options)


def _between(model: keras.Model) -> list[tuple[str, str, str]]:
    """Returns graph, entry and exit of all stretches."""
    found, copied = (
        [(site.graph, site.entry, site.exit) for site in sites(one)]
        for one in (model, rebuild(model)[0])
    )
    assert copied == found
    return found


def _input(name: str = "x", **options: Any) -> Any:
    return keras.Input((8, 8, 3), name=name, **options)


def test_a_u_net_is_one_stretch_unless_something_else_is_at_its_bottom() -> None:
    def model(bottom: Any) -> keras.Model:
        x = _input()
        kept = _conv("down")(x)
        y = _conv("low")(_L.MaxPooling2D(name="pool")(kept))
        y = _L.UpSampling2D(name="up")(bottom(y))
        y = _L.Concatenate(name="both")([y, kept])
        return keras.Model(x, _L.Dropout(0.5, name="end")(_conv("last")(y)))

    whole = model(_L.ReLU(name="relu"))
    (site,) = sites(whole)
    assert (site.entry, site.exit) == ("x", "end")
    names = ("down", "pool", "low", "relu", "up", "both", "last", "end")
    assert site.layers == names
    # Within, two values cross; what does nothing has the name of its value.
    stretch = site.at((8, 8))
    assert [path for path, _ in stretch.ends] == ["down", "both", "end"]
    parted = _between(model(_L.LayerNormalization(name="norm")))
    assert parted == [("", "x", "down"), ("", "down", "low"), ("", "both", "end")]


def test_products_with_numbers_are_not_sparse() -> None:
    x = _input()
    gate = _L.ReLU(6.0, name="relu")(_conv("a")(x) + 3.0) * (1.0 / 6.0)
    y = _conv("b")(_L.Multiply(name="gated")([x, gate]))
    (site,) = sites(keras.Model(x, y))
    assert site.exit == "b"
    assert "gated" in site.layers
    sparse = keras.Input((4,), sparse=True, name="sparse")
    assert sites(keras.Model(sparse, _L.Dense(2)(sparse))) == []


def test_nobody_outside_reads_what_is_inside() -> None:
    x, other = _input(), _input("other")
    y = _conv("b")(_conv("a")(x))
    aside = _L.LayerNormalization(name="norm")(y)
    z = _conv("d")(_conv("c")(y))
    e = _conv("e")(z)
    model = keras.Model([x, other], [aside, e, z, _L.Add(name="add")([e, other])])
    assert _between(model) == [("", "x", "b"), ("", "b", "d"), ("", "d", "e")]


def test_a_layer_that_is_used_twice_is_no_end() -> None:
    x, shared = _input(), _conv("shared")
    y = _conv("first")(x)
    y = _conv("between")(shared(shared(y)))
    (site,) = sites(keras.Model(x, shared(y)))
    assert site.exit == "between"
    assert site.layers == ("first", "shared", "shared", "between")
    assert [path for path, _ in site.at((8, 8)).ends] == ["first", "between"]
    assert len(site.variables()) == 6


def _square(x: Any) -> Any:
    return x * x


@pytest.mark.parametrize(
    ("layer", "called"),
    [
        (_L.Lambda(_square, name="own"), {}),
        (_L.LayerNormalization(name="own"), {}),
        (_L.Dropout(0.5, name="own"), {"training": True}),
        (_L.ActivityRegularization(0.5, name="own"), {}),
        (_conv("own", activity_regularizer="l2"), {}),
        (_conv("own", dtype="mixed_float16"), {}),
        (_conv("own", data_format="channels_first"), {}),
        (_conv("own", dtype="float64"), {}),
        (_conv("own", activation=_L.PReLU(shared_axes=[1, 2])), {}),  # not built
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_ends_a_stretch(layer: Any, called: dict[str, Any]) -> None:
    x = _input()
    y = _conv("after")(layer(_conv("before")(x), **called))
    first, *others = _between(keras.Model(x, y))
    assert first == ("", "x", "before")
    assert others[-1] == ("", "own", "after")


def test_functions_in_place_of_methods_end_a_stretch() -> None:
    x, own = _input(), _conv("own")
    call = own.call
    own.call = lambda inputs: 2 * call(inputs)
    model = keras.Model(x, _conv("after")(own(_conv("before")(x))))
    found = [(site.entry, site.exit) for site in sites(model)]
    assert found == [("x", "before"), ("own", "after")]


class _Doubling(keras.Model):
    def call(self, inputs: Any, **options: Any) -> Any:
        return 2 * super().call(inputs, **options)


def test_nested_graphs_are_part_of_a_stretch() -> None:
    x = _input()
    block = keras.Sequential([_conv("a"), _L.ReLU(name="b"), _conv("c")], name="block")
    y = _L.Add(name="add")([block(x), x])
    inner = keras.Sequential([_input("i"), _conv("d"), _conv("e")], name="inner")
    (site,) = sites(keras.Model(x, _conv("f")(inner(y) / 2)))
    *layers, operator, last = site.layers
    assert layers == ["block/a", "block/b", "block/c", "add", "inner/d", "inner/e"]
    assert (operator.partition("_")[0], last) == ("true", "f")
    # What Keras names by counting is no end.
    ends = [path for path, _ in site.at((8, 8)).ends]
    assert ends == ["add", "inner/d", "inner/e", "f"]


def test_a_nested_graph_is_cut_where_it_must_be() -> None:
    watched = _conv("b", activity_regularizer="l2")
    inner = keras.Sequential([_input("i"), _conv("a"), watched, _conv("c")], name="in")
    x = _input()
    model = keras.Model(x, _conv("after")(inner(_conv("before")(x))))
    assert _between(model) == [("", "x", "in/a"), ("", "in/b", "after")]
    assert _between(inner) == [("", "i", "a"), ("", "b", "c")]


def test_nested_graphs_that_run_otherwise_have_stretches_of_their_own() -> None:
    x, i = _input(), _input("i")
    doubling = _Doubling(i, _conv("in")(i), name="doubling")
    twice = keras.Sequential([_input("i"), _conv("t")], name="twice")
    y = twice(doubling(_conv("before")(x)))
    y = twice(_L.LayerNormalization(name="norm")(y))
    model = keras.Model(x, _L.Conv2D(2, 1, name="last")(y))
    assert _between(model) == [
        ("", "x", "before"),
        ("", "norm", "last"),
        ("doubling", "doubling/i", "doubling/in"),
        ("twice", "twice/i", "twice/t"),
    ]
    (_, site, *_) = sites(model)
    assert site.layers == ("twice/t", "twice", "last")


@pytest.mark.parametrize(
    ("entry", "exit"), [("x", "in/a"), ("in/a", "in/b"), ("in/b", "c")]
)
def test_parts_of_a_stretch(entry: str, exit: str) -> None:
    inner = keras.Sequential([_input("i"), _conv("a"), _conv("b")], name="in")
    x = _input()
    (site,) = sites(keras.Model(x, _conv("c")(inner(x))))
    part = site.part(entry, exit)
    assert (part.graph, part.entry, part.exit) == ("", entry, exit)
    chain = site.at((8, 8)).chain(None if entry == "x" else entry, exit)
    assert part.at((8, 8)).program == chain.program
    with pytest.raises(PlanError, match="must be cut behind"):
        site.part(exit, entry)
    assert site.part("x", "c") is site


def test_sizes_that_are_not_known() -> None:
    x = keras.Input((None, 9, 3), name="x")
    y = _L.Conv2D(4, 3, strides=2, padding="same", name="a")(x)
    model = keras.Model(x, _L.MaxPooling2D(3, 2, "same", name="b")(y))
    (site,) = sites(model)
    assert site.size is None
    rng = np.random.default_rng(1)
    for rows in (6, 7, 12, 13):
        images = rng.random((2, rows, 9, 3), np.float32)
        found = _computed(site.at((rows, 9)), site.arrays(), images)
        expected = model.predict(images, verbose=0)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_models_without_a_stretch() -> None:
    x = _input()
    assert sites(keras.Model(x, _L.ReLU()(x))) == []
    assert sites(keras.Model(x, x)) == []
    assert sites(keras.Sequential([_conv("a")])) == []
    y = keras.Input((4,), name="x")
    assert _between(keras.Model(y, _L.Dense(3, name="d")(y))) == [("", "x", "d")]


def test_models_of_a_users_class_have_those_of_the_graphs_that_they_hold() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.body = keras.Sequential([_input(), _conv("a")], name="body")
            self.head = _conv("head")

        def call(self, inputs: Any) -> Any:
            return self.head(self.body(inputs))

    model = Own()
    model(np.zeros((1, 8, 8, 3), np.float32))
    assert [(s.graph, s.entry, s.exit) for s in sites(model)] == [
        ("body", "body/x", "body/a")
    ]


def test_weights_are_those_of_given_values() -> None:
    x = _input()
    layers = (
        _conv("a"),
        _L.SeparableConv2D(4, 3, name="b"),
        _L.BatchNormalization(name="c"),
        _L.Conv2D(2, 3, activation=_L.PReLU(shared_axes=[1, 2]), name="d"),
        _L.Dense(3, name="e"),
    )
    y = x
    for layer in layers:
        y = layer(y)
    model = keras.Model(x, y)
    layers[3].activation.build((None, 6, 6, 2))
    layers[0].enable_lora(2)
    layers[4].enable_lora(1)
    (site,) = sites(model)
    rng = np.random.default_rng(1)
    values = [rng.random(v.shape, np.float32) for v in site.variables()]
    assert len(values) == 4 + 3 + 4 + 3 + 4
    before = site.arrays()
    given = site.arrays(values)
    for variable, value in zip(site.variables(), values, strict=True):
        variable.assign(value)
    for found, expected in zip(given, site.arrays(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not any(np.array_equal(a, b) for a, b in zip(before, given, strict=True))
    images = rng.random((2, 8, 8, 3), np.float32)
    found = _computed(site.at((8, 8)), given, images)
    np.testing.assert_allclose(found, model.predict(images, verbose=0), rtol=1e-4)


def test_nested_models_that_are_given_another_type() -> None:
    with_input = keras.Sequential([_input("i"), _conv("a", dtype="float64")], name="in")
    x = _input(dtype="float64")
    y = _conv("b", dtype="float64")(with_input(x))
    # Keras casts to float32 what such a model is given, in one place or another.
    graph, entry, _ = _between(keras.Model(x, y))[0]
    assert (graph, entry) in (("", "in"), ("", "in/a"))


def test_a_weight_is_not_read_to_find_stretches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = _input()
    layers = [_conv("a"), _L.SeparableConv2D(3, 3, name="b"), _L.BatchNormalization()]
    y = x
    for layer in layers:
        y = layer(y)
    model = keras.Model(x, y)

    def read(self: Any) -> Any:
        raise AssertionError("read")

    monkeypatch.setattr(keras.Variable, "value", property(read))
    (site,) = sites(model)
    assert len(site.at((8, 8)).program.weights) == len(site.variables()) - 1
