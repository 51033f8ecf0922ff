"""Models whose graphs are computed as chains are the models that they were."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from fcdcc_keras.partition.stretch import Stretch
from fcdcc_keras.planning.chains.plan import ChainPlan, StretchPlan
from fcdcc_keras.rewriting.chains import chained_graphs
from fcdcc_keras.rewriting.graph.stretches import sites
from fcdcc_keras.rewriting.walk import walk
from tests.rewriting.chained_models import WORKERS, chained, chained_plan, chains_of
from tests.rewriting.copied_models import assert_same

# Keras, as it saves, makes arrays of TensorFlow's variables, which do not know `copy`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")

_L: Any = keras.layers
_SHAPE = (12, 10, 3)


def _conv(name: str, filters: int = 4, **options: Any) -> Any:
    return _L.Conv2D(filters, 3, padding="same", name=name, **options)


def _block(x: Any, name: str) -> Any:
    y = _L.BatchNormalization(name=f"{name}_norm")(_conv(name, x.shape[-1])(x))
    return _L.Add(name=f"{name}_sum")([_L.ReLU(name=f"{name}_relu")(y), x])


def residual() -> keras.Model:
    """Forks, normalization, dropout, a head."""
    x = keras.Input(_SHAPE, name="x")
    y = _block(_block(_conv("stem", activation="relu")(x), "first"), "second")
    y = _L.Dropout(0.4, seed=3, name="drop")(_L.MaxPooling2D(name="pool")(y))
    y = _L.Flatten(name="flat")(y)
    return keras.Model(x, _L.Dense(5, activation="softmax", name="out")(y), name="res")


def sequential() -> keras.Model:
    """As users write it."""
    layers = (
        _conv("a"),
        _L.ReLU(name="r"),
        _conv("b"),
        _L.GlobalMaxPooling2D(name="g"),
    )
    return keras.Sequential([keras.Input(_SHAPE), *layers], name="seq")


def nested() -> keras.Model:
    """A model inside, and what no program has inside of that."""
    inner = keras.Sequential(
        [
            *(keras.Input((12, 10, 4)), _conv("a"), _conv("b")),
            *(_L.LayerNormalization(name="n"), _conv("c")),
        ],
        name="inner",
    )
    x = keras.Input(_SHAPE, name="x")
    return keras.Model(x, _conv("after", 2)(inner(_conv("before")(x))), name="nested")


def several() -> keras.Model:
    """Several inputs by name, several outputs, a model used twice."""
    inputs = {name: keras.Input(_SHAPE, name=name) for name in ("left", "right")}
    tower = keras.Sequential(
        [keras.Input(_SHAPE), _conv("t"), _conv("u")], name="tower"
    )
    a, b = (tower(one) for one in inputs.values())
    y = _L.Concatenate(name="both")([a, _block(b, "block")])
    outputs = {"sum": _conv("d", 2)(_conv("c")(y)), "other": a * 2.0}
    return keras.Model(inputs, outputs, name="several")


@keras.saving.register_keras_serializable("test_chained_models")
class Holding(keras.Model):
    """A class of a user's that holds a graph."""

    def __init__(self, filters: int, **options: Any) -> None:
        super().__init__(**options)
        self.filters = filters
        self.body = sequential()
        self.head = _L.Dense(filters, name="head")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Runs the graph, then a layer."""
        return self.head(self.body(inputs, training=training))

    def get_config(self) -> dict[str, Any]:
        """Returns how to make it again."""
        return {**super().get_config(), "filters": self.filters}


def holding() -> keras.Model:
    """A model of it."""
    model = Holding(3, name="holding")
    model(np.zeros((1, *_SHAPE), np.float32))
    return model


MODELS = (residual, sequential, nested, several, holding)


def _inputs(model: keras.Model, batch: int = 3, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    drawn = rng.random((2, batch, *_SHAPE), np.float32)
    if model.name == "several":
        return dict(zip(("left", "right"), drawn, strict=True))
    return drawn[0]


def _made(make: Callable[[], keras.Model]) -> keras.Model:
    keras.utils.set_random_seed(7)
    return make()


def _on_workers(model: keras.Model) -> int:
    """Returns how many runs of chains workers did, for a batch; the client none."""
    with fk.trace(model) as trace:
        model.predict(_inputs(model), verbose=0)
    assert trace.local_convolutions == 0
    return trace.distributed_convolutions


@pytest.mark.parametrize("make", MODELS)
def test_outputs_and_structure_are_those_of_the_model(
    make: Callable[[], keras.Model],
) -> None:
    plain = _made(make)
    inputs = _inputs(plain)
    model = chained(plain)
    assert type(model) is type(plain)
    ways: tuple[Callable[[keras.Model], Any], ...] = (
        lambda one: one.predict(inputs, verbose=0),
        lambda one: one(inputs),
        lambda one: one(inputs, training=False),
        lambda one: tf.function(one)(inputs),
        lambda one: one.stateless_call(
            [2 * v for v in one.trainable_variables],
            [v.value for v in one.non_trainable_variables],
            inputs,
        )[0],
    )
    for way in ways:
        assert_same(way(model), way(plain))
    assert _on_workers(model) == len(sites(plain))
    assert [v.name for v in model.weights] == [v.name for v in plain.weights]
    assert_same(model.get_weights(), plain.get_weights())
    lines: list[list[str]] = [[], []]
    for one, said in zip((model, plain), lines, strict=True):
        one.summary(print_fn=lambda text, said=said: said.append(text))
    assert lines[0] == lines[1]
    for (path, mine), (same, layer) in zip(walk(model), walk(plain), strict=True):
        assert (path, type(mine).__name__) == (same, type(layer).__name__)
    for layer in plain.layers:
        assert model.get_layer(layer.name).name == layer.name


@pytest.mark.parametrize("make", [residual, nested, holding])
def test_training_is_that_of_the_layers(make: Callable[[], keras.Model]) -> None:
    def trained(model: keras.Model) -> Any:
        inputs, target = _inputs(model, 6), np.ones(model(_inputs(model, 6)).shape)
        model.compile(keras.optimizers.SGD(0.05), "mse", run_eagerly=False)
        first = model.fit(
            inputs, target, epochs=2, batch_size=3, shuffle=False, verbose=0
        )
        middle = model.predict(inputs, verbose=0)
        for layer in model.layers[: len(model.layers) // 2]:
            layer.trainable = False
        model.compile(keras.optimizers.SGD(0.05), "mse")
        second = model.train_on_batch(inputs, target)
        found = model.evaluate(inputs, target, verbose=0)
        return first.history["loss"], middle, second, found, model.get_weights()

    plain = _made(make)
    model = chained(plain)
    before = model.get_weights()
    assert_same(trained(model), trained(plain), 1e-4)
    assert not np.array_equal(before[0], model.get_weights()[0])


@pytest.mark.parametrize("traced", [False, True])
def test_gradients_at_inference_are_those_of_the_layers(traced: bool) -> None:
    def gradients(model: keras.Model) -> Any:
        def of(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(model(x) ** 2)
            variables = [v.value for v in model.trainable_variables]
            return tape.gradient(loss, [x, *variables])

        x = tf.constant(_inputs(model))
        return (tf.function(of) if traced else of)(x)

    plain = _made(residual)
    model = chained(plain)
    assert_same(gradients(model), gradients(plain), 1e-4)


def test_changed_weights_are_noticed(tmp_path: Any) -> None:
    plain = _made(residual)
    model = chained(plain)
    inputs = _inputs(plain)
    eager, graph = model, tf.function(lambda x: model(x))

    def check() -> None:
        expected = plain.predict(inputs, verbose=0)
        for found in (eager(inputs), graph(inputs), model.predict(inputs, verbose=0)):
            assert_same(found, expected)

    check()
    for scale, change in (
        (1.5, lambda m, w: m.set_weights(w)),
        (0.5, lambda m, w: [v.assign(x) for v, x in zip(m.weights, w, strict=True)]),
        (2.0, lambda m, w: m.load_weights(tmp_path / "w.weights.h5")),
    ):
        weights = [w * scale for w in plain.get_weights()]
        if scale == 2.0:
            plain.set_weights(weights)
            plain.save_weights(tmp_path / "w.weights.h5")
        for one in (plain, model):
            change(one, weights)
        check()
    kernel = model.get_layer("stem").kernel

    @tf.function
    def doubled(x: Any) -> Any:
        before = model(x)
        kernel.assign(2 * kernel.value)
        return before, model(x)

    found = doubled(tf.constant(inputs))
    expected = [plain.predict(inputs, verbose=0)]
    plain.get_layer("stem").kernel.assign(2 * plain.get_layer("stem").kernel)
    expected.append(plain.predict(inputs, verbose=0))
    assert_same(found, expected)


@pytest.mark.parametrize("make", [residual, nested, several, holding])
def test_files_are_those_of_the_plain_model(
    make: Callable[[], keras.Model], tmp_path: Any
) -> None:
    plain = _made(make)
    model = chained(plain)
    inputs = _inputs(plain)
    expected = plain.predict(inputs, verbose=0)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    copies = (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model)))
    for one in copies:
        assert type(one) is type(plain)
        assert not any(graph.attached for graph in chained_graphs(one))
        assert_same(one.predict(inputs, verbose=0), expected)
    assert _on_workers(model) == len(sites(plain))
    # With every convolution coded, as chains again, and on no cluster.
    executor = fk.LocalExecutor(WORKERS)
    fk.attach(loaded, executor, fallback="raise")
    coded = fk.report(loaded).converted
    assert coded
    assert not fk.report(loaded).chains
    assert_same(loaded.predict(inputs, verbose=0), expected)
    fk.attach(loaded, executor, plan=chained_plan(loaded), fallback="raise")
    assert len(fk.report(loaded).chains) == 2 * len(sites(plain))
    assert _on_workers(loaded) == len(sites(plain))
    fk.attach(loaded, executor, fallback="raise")
    assert fk.report(loaded).converted == coded
    assert_same(loaded.predict(inputs, verbose=0), expected)
    fk.close(loaded)
    assert executor.placements == []
    assert_same(loaded.predict(inputs, verbose=0), expected)


def test_what_was_traced_goes_on_after_the_model_has_other_chains() -> None:
    plain = _made(residual)
    model = chained(plain)
    inputs = tf.constant(_inputs(plain))
    traced = tf.function(lambda x: model(x))
    expected = traced(inputs)
    assert_same(expected, plain(inputs))
    executor = fk.LocalExecutor(WORKERS)
    fk.attach(model, executor, plan=chained_plan(model, ["workers"] * 3))
    with fk.trace(model) as trace:
        assert_same(traced(inputs), expected)
    assert trace.distributed_convolutions
    fk.attach(model, executor)
    assert_same(traced(inputs), expected)
    fk.close(model)
    assert_same(traced(inputs), expected)
    assert executor.placements == []


def test_what_is_exported_needs_no_workers(tmp_path: Any) -> None:
    plain = _made(residual)
    model = chained(plain)
    inputs = tf.constant(_inputs(plain))
    tf.saved_model.save(model, tmp_path / "saved")
    loaded = tf.saved_model.load(tmp_path / "saved")
    fk.close(model)
    found = loaded.signatures["serving_default"](inputs)
    assert_same(list(found.values()), [plain(inputs)])


def test_a_model_that_is_gone_holds_nothing() -> None:
    model = chained(_made(residual))
    inputs = _inputs(model)
    alive = weakref.ref(model)
    traced = tf.function(lambda x: alive()(x))
    traced(tf.constant(inputs))
    model.predict(inputs, verbose=0)
    (session,) = {graph.session for graph in chained_graphs(model)}
    held = weakref.ref(session)
    del model, session
    gc.collect()
    assert held() is None


def test_a_sequential_model_that_is_changed_runs_its_layers() -> None:
    plain = _made(sequential)
    model = chained(plain)
    for one in (plain, model):
        one.add(_L.Dense(3, kernel_initializer="ones", name="more"))
    inputs = _inputs(plain)
    assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))
    assert chained_graphs(model) == []
    fk.close(model)


def test_what_is_masked_is_for_the_layers() -> None:
    x = keras.Input((12, 3), name="x")
    before = _L.Dense(3, name="before", activation="relu")(x)
    y = _L.Dense(4, name="dense")(_L.Masking(name="mask")(before))
    plain = keras.Model(x, _L.GlobalAveragePooling1D(name="mean")(y))
    model = chained(plain, ("workers",))
    inputs = np.random.default_rng(1).random((2, 12, 3), np.float32)
    inputs[0, 4:] = 0
    assert [(s.entry, s.exit) for s in sites(plain)] == [
        ("x", "before"),
        ("mask", "dense"),
    ]
    assert _traced(model, lambda: model(inputs)) == 1
    assert_same(model(inputs), plain(inputs))


def _traced(model: keras.Model, run: Callable[[], Any]) -> int:
    with fk.trace(model) as trace:
        run()
    return len(trace.records)


def test_preprocessing_is_part_of_a_chain() -> None:
    inputs = np.random.default_rng(1).random((4, *_SHAPE), np.float32)
    norm = _L.Normalization(name="norm")
    norm.adapt(inputs / 2)
    x = keras.Input(_SHAPE, name="x")
    y = _conv("conv")(norm(_L.Rescaling(0.5, name="half")(x)))
    plain = keras.Model(x, y)
    model = chained(plain)
    assert fk.report(model).converted == ("half", "norm", "conv")
    for way in (lambda one: one.predict(inputs, verbose=0), lambda one: one(inputs)):
        assert_same(way(model), way(plain))
    assert_same(plain.get_weights(), model.get_weights())


def test_what_takes_no_workers() -> None:
    plain = _made(residual)
    model = chained(plain)
    inputs = tf.constant(_inputs(model))
    symbolic = keras.Input(_SHAPE)
    assert model(symbolic).shape == (None, 5)
    assert model.compute_output_shape((4, *_SHAPE)) == (4, 5)
    part = keras.Model(model.input, model.get_layer("first").output)
    assert not _traced(model, lambda: part(inputs))
    around = keras.Sequential([keras.Input(_SHAPE), model])
    assert _traced(model, lambda: around(inputs))
    assert not _traced(model, lambda: model(inputs, training=True))
    plain(inputs, training=True)
    fk.close(model)
    assert_same(model(inputs), plain(inputs))


def test_copies_of_a_model_have_nothing_of_it() -> None:
    plain = _made(residual)
    model = chained(plain)
    inputs = tf.constant(_inputs(plain))
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    executor = fk.LocalExecutor(WORKERS)
    coded = fk.distribute(model, executor, fallback="raise")
    fk.close(model)
    for one in (cloned, coded):
        assert chained_graphs(one) == []
        assert_same(one(inputs), plain(inputs))
    assert len(fk.report(coded).converted) == 3
    fk.close(coded)


def test_a_model_of_products_alone_is_not_compiled_by_xla() -> None:
    x = keras.Input((6,), name="x")
    plain = keras.Model(x, _L.Dense(3, name="b")(_L.Dense(4, name="a")(x)))
    plain.compile("sgd", "mse", jit_compile="auto")
    model = chained(plain)
    inputs = np.random.default_rng(1).random((4, 6), np.float32)
    assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))
    assert len(fk.report(model).converted) == 2
    fk.close(model)


def test_reports() -> None:
    plain = _made(nested)
    first, second = sites(plain)
    plan = replace(
        chained_plan(plain),
        stretches=(chains_of(first), chains_of(second, ("client",))),
    )
    model = fk.distribute(plain, fk.LocalExecutor(WORKERS), plan=plan)
    report = fk.report(model)
    assert report.converted == ("before", "inner/a", "inner/b")
    assert [chain.layers for chain in report.chains] == [
        ("before", "inner/a"),
        ("inner/b",),
        ("inner/c", "after"),
    ]
    assert report.not_converted == {
        "inner/n": "it has no convolution",
        **dict.fromkeys(
            ("inner/c", "after"), "the client's engine computes the chain to after"
        ),
    }
    printed = str(report)
    assert "3 of 6 layers are computed by workers" in printed
    assert "the workers compute the chain to inner/a in tiles, hedged" in printed
    assert "held by each" in printed
    fk.close(model)
    assert fk.report(model).chains == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entry": "other"}, "a stretch from 'other' to 'inner/b', which the model"),
        ({"graph": "inner"}, "of 'inner', which the model does not have"),
        ({"size": (12, 11)}, r"of \(12, 11\), where the model has \(12, 10\)"),
    ],
)
def test_plans_of_another_model(change: dict[str, Any], said: str) -> None:
    plain = _made(nested)
    plan = chained_plan(plain)
    first, second = plan.stretches
    plan = replace(plan, stretches=(replace(first, **change), second))
    with pytest.raises(fk.PlanError, match=said):
        fk.distribute(plain, fk.LocalExecutor(WORKERS), plan=plan)


def test_a_layer_is_computed_by_one() -> None:
    plain = _made(nested)
    plan = chained_plan(plain)
    first, second = plan.stretches
    layers = fk.plan(plain, workers=WORKERS, layers=["inner/b"]).layers
    for twice, said in (
        (
            replace(plan, stretches=(first, first, second)),
            "'before', as has that from 'x'",
        ),
        (replace(plan, layers=layers), "with 'inner/b', which is coded"),
    ):
        with pytest.raises(fk.PlanError, match=said):
            fk.distribute(plain, fk.LocalExecutor(WORKERS), plan=twice)


def test_coded_layers_between_chains() -> None:
    plain = _made(residual)
    (site,) = sites(plain)
    layers = fk.plan(plain, workers=WORKERS, layers=["first"]).layers
    stretches = (
        chains_of(site.part("x", "stem"), ("workers",)),
        chains_of(site.part("first_sum", "out")),
    )
    plan = replace(chained_plan(plain), stretches=stretches, layers=layers)
    model = fk.distribute(plain, fk.LocalExecutor(WORKERS), plan=plan, fallback="raise")
    inputs = _inputs(plain)
    assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))
    report = fk.report(model)
    assert {*report.not_converted} == {"first_norm", "first_relu", "first_sum"}
    assert _on_workers(model) == 3


_POOR = fk.Calibration(
    latency=1.0, bandwidth=1e3, worker_rate=1e3, client_rate=1e12, coding_rate=1e9
)
"""A cluster that nothing gains by."""


def test_where_nothing_pays_the_client_computes_all(tmp_path: Any) -> None:
    plain, executor = _made(residual), fk.LocalExecutor(WORKERS)
    options: Any = {"objective": "latency", "calibration": _POOR}
    with pytest.warns(RuntimeWarning, match="Nothing of 'res' is computed by workers"):
        model = fk.distribute(plain, executor, **options)
    report = fk.report(model)
    assert report.converted == ()
    assert "workers would not be sooner" in report.not_converted["first"]
    inputs = _inputs(plain)
    assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))
    assert executor.placements == []
    # It can be coded all the same, and be left again.
    model.save(tmp_path / "model.keras")
    loaded = fk.load_model(tmp_path / "model.keras", executor, fallback="raise")
    assert len(fk.report(loaded).converted) == 3
    with pytest.warns(RuntimeWarning, match="Nothing of 'res' is computed by workers"):
        fk.attach(loaded, executor, **options)
    assert fk.report(loaded).not_converted == report.not_converted
    assert executor.placements == []
    for one in (model, loaded):
        fk.close(one)


def test_a_model_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned at the first call for each height and width."""
    planned = []

    def at_call(site: Any, options: Any, barred: Any) -> Any:
        def plan(stretch: Stretch) -> StretchPlan:
            planned.append(stretch.size)
            ends = [path for path, _ in stretch.ends]
            cuts = dict.fromkeys((ends[stretch.size[0] % 3], ends[-1]))
            chains = tuple(ChainPlan(cut, "workers") for cut in cuts)
            return StretchPlan(stretch.graph, stretch.entry, stretch.size, chains)

        assert (site.entry, site.exit) == ("x", "mean")
        return plan

    monkeypatch.setattr("fcdcc_keras.rewriting.deploy.plan_stretch_at_call", at_call)
    x = keras.Input((None, None, 3), name="x")
    y = _conv("c", strides=2)(_L.MaxPooling2D(name="p")(_conv("a")(x)))
    plain = keras.Model(x, _L.GlobalAveragePooling2D(name="mean")(y))
    plan = replace(chained_plan(plain), stretches_at_call=(("", "x"),))
    executor = fk.LocalExecutor(WORKERS)
    model = fk.distribute(plain, executor, plan=plan, fallback="raise")
    assert fk.report(model).chains == ()
    assert executor.placements == []
    rng = np.random.default_rng(1)
    sizes = [(12, 10), (13, 11), (12, 10), (14, 9), (15, 9)]
    for size in sizes:
        inputs = rng.random((2, *size, 3), np.float32)
        assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))
        assert_same(model(inputs), plain(inputs))
    # The last is cut as the one before was.
    assert planned == [(12, 10), (13, 11), (14, 9)]
    assert len(fk.report(model).chains) == 3 * 2
    assert len(executor.placements) == 3 * 2
    fk.close(model)
    assert executor.placements == []
    inputs = rng.random((2, 20, 9, 3), np.float32)
    assert_same(model.predict(inputs, verbose=0), plain.predict(inputs, verbose=0))


@pytest.mark.parametrize("change", ["quantize", "enable_lora", "activation"])
def test_changed_layers_are_for_the_client(change: str) -> None:
    def changed(model: keras.Model) -> None:
        layer = model.get_layer("out")
        if change == "quantize":
            layer.quantize("int8")
        elif change == "enable_lora":
            layer.enable_lora(2)
            layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
        else:
            layer.activation = keras.activations.relu

    plain = _made(residual)
    model = chained(plain)
    inputs = tf.constant(_inputs(plain))
    keras.utils.set_random_seed(5)
    changed(plain)
    keras.utils.set_random_seed(5)
    changed(model)
    with pytest.warns(RuntimeWarning, match="layers to 'out' were changed"):
        found = model(inputs)
    assert_same(found, plain(inputs))
    executor = fk.LocalExecutor(WORKERS)
    fk.attach(model, executor, plan=chained_plan(model), fallback="raise")
    assert_same(model(inputs), plain(inputs))
    assert _on_workers(model) == 1


def test_what_goes_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chained(_made(residual))
    inputs = _inputs(model)

    def fail(*_: Any) -> Any:
        raise fk.NotEnoughWorkersError("too few")

    (stretch,) = (s for graph in chained_graphs(model) for s in graph.stretches)
    monkeypatch.setattr(stretch, "compute", fail)
    for run in (lambda: model(inputs), lambda: model.predict(inputs, verbose=0)):
        with pytest.raises(fk.NotEnoughWorkersError, match="too few"):
            run()


def test_on_a_cluster(client: Any, tmp_path: Any) -> None:
    plain = _made(nested)
    plan = replace(chained_plan(plain), workers=4)
    model = fk.distribute(plain, client, plan=plan, fallback="raise")
    inputs = _inputs(plain)
    for scale in (1.0, 1.25):
        weights = [w * scale for w in plain.get_weights()]
        for one in (plain, model):
            one.set_weights(weights)
        expected = plain.predict(inputs, verbose=0)
        assert_same(model.predict(inputs, verbose=0), expected)
        assert_same(model(inputs), expected)
    assert _on_workers(model) == 2
    model.save(tmp_path / "model.keras")
    fk.close(model)
    loaded = fk.load_model(tmp_path / "model.keras", client, fallback="raise")
    assert fk.report(loaded).converted == ("before", *_INNER, "after")
    assert_same(loaded.predict(inputs, verbose=0), expected)
    fk.close(loaded)


_INNER = ("inner/a", "inner/b", "inner/c")
