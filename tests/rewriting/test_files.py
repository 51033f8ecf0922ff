"""Coded models in files: saved, loaded, attached; checkpoints; configurations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from tests.rewriting.saved_models import distributed, images, mixed, subclassed

# Keras, as it saves, makes arrays of TensorFlow's variables, which do not know `copy`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")


def convolutions(coded):
    """How many convolutions the workers ran for one batch, and how many the client."""
    with fk.trace(coded) as trace:
        coded.predict(images(), verbose=0)
    return trace.distributed_convolutions, trace.local_convolutions


CASES = {mixed: (5, ("first", "inner/deep", "inner/deeper")), subclassed: (5, ())}


# Either function loads either model: the first the one, the second at last both.
@pytest.mark.parametrize(("make", "way"), [(mixed, "fk"), (subclassed, "keras")])
def test_saved_and_loaded_it_computes_locally_until_attached(make, way, tmp_path):
    count, in_graphs = CASES[make]
    plain = make()
    plain.compile("adam", loss="mse")
    coded = distributed(plain)
    coded.train_on_batch(images(), np.zeros(coded(images()).shape, "float32"))
    expected = coded.predict(images(), verbose=0)
    path = tmp_path / "coded.keras"
    coded.save(path)
    load = keras.models.load_model if way == "keras" else fk.load_model
    loaded = load(path)
    # Layers that a class of the user's makes are plain until they are attached.
    paths = [p for p in fk.report(coded).converted if p in in_graphs]
    assert len(paths) == len(in_graphs)
    if in_graphs:
        report = fk.report(loaded)
        assert report.converted == ()
        for p in in_graphs:
            assert report.not_converted[p] == "it is not attached to a cluster"
    np.testing.assert_allclose(loaded.predict(images(), verbose=0), expected, atol=1e-5)
    assert loaded.optimizer.iterations.numpy() == 1
    executor = fk.LocalExecutor(6)
    assert fk.attach(loaded, executor, stragglers=2, fallback="raise") is loaded
    assert convolutions(loaded) == (count, 0)
    assert len(fk.report(loaded).converted) == count
    np.testing.assert_allclose(loaded.predict(images(), verbose=0), expected, atol=1e-5)
    fk.close(loaded)
    assert executor.placements == []
    again = fk.load_model(path, executor, stragglers=1)
    assert convolutions(again) == (count, 0)


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_checkpoints_go_both_ways(make, tmp_path):
    path = tmp_path / "one.weights.h5"
    first, second = make(seed=1), distributed(make(seed=2))
    first.save_weights(path)
    second.load_weights(path)
    assert convolutions(second) == (5, 0)
    np.testing.assert_allclose(second(images()), first(images()), atol=1e-5)
    coded, third = distributed(make(seed=3)), make(seed=4)
    coded.save_weights(path)
    third.load_weights(path)
    np.testing.assert_allclose(third(images()), coded(images()), atol=1e-5)
    assert any(isinstance(x, fk.CodedConv2D) for x in coded._flatten_layers())


def test_checkpoint_callbacks_write_what_the_plain_model_reads(tmp_path):
    path = tmp_path / "best.weights.h5"
    coded = distributed(mixed())
    coded.compile("sgd", loss="mse")
    saver = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    target = np.zeros(coded(images()).shape, "float32")
    coded.fit(images(), target, callbacks=[saver], verbose=0)
    plain = mixed(seed=5)
    plain.compile("sgd", loss="mse")
    plain.load_weights(path)
    np.testing.assert_allclose(plain(images()), coded(images()), atol=1e-5)


def test_exported_model_is_the_plain_one(tmp_path):
    coded = distributed(mixed())
    x = images()
    with fk.trace(coded) as trace:
        coded.export(tmp_path / "exported", verbose=False)
    assert trace.distributed_convolutions == 0
    exported = tf.saved_model.load(tmp_path / "exported")
    fk.close(coded)
    np.testing.assert_allclose(exported.serve(x), coded(x), atol=1e-5)
    names = {
        op.name for op in exported.serve.get_concrete_function(x).graph.get_operations()
    }
    assert not [name for name in names if "PyFunc" in name]


def test_clone_model_json_and_summary():
    plain = mixed()
    coded = distributed(plain)
    for copy in (
        keras.models.clone_model(coded),
        keras.models.model_from_json(coded.to_json()),
        keras.Model.from_config(coded.get_config()),
    ):
        copy.set_weights(coded.get_weights())
        np.testing.assert_allclose(copy(images()), plain(images()), atol=1e-5)
        assert isinstance(copy.get_layer("first"), fk.CodedConv2D)
        assert fk.report(copy).converted == ()
    lines = []
    coded.summary(print_fn=lines.append)
    assert "first (Conv2D)" in str(lines)  # as of the plain model
    for model in (coded, plain):
        assert model.count_params() == sum(w.numpy().size for w in plain.weights)


def test_attached_again_to_another_cluster():
    plain = mixed()
    first, second = fk.LocalExecutor(3), fk.LocalExecutor(5)
    coded = fk.distribute(plain, first)
    coded.predict(images(), verbose=0)
    fk.attach(coded, second, stragglers=2, layers=["first", "inner/deep"])
    assert first.placements == []
    assert len(second.placements) == 2
    report = fk.report(coded)
    assert report.converted == ("first", "inner/deep")
    assert report.not_converted["inner/deeper"] == "it was not chosen by `layers`"
    assert convolutions(coded) == (2, 3)
    np.testing.assert_allclose(
        coded.predict(images(), verbose=0),
        plain.predict(images(), verbose=0),
        atol=1e-5,
    )


@pytest.mark.parametrize("chosen", ["all", ["first"]], ids=str)
@pytest.mark.parametrize("width", [12, None])
def test_attaching_a_part_leaves_the_rest_where_it_is(chosen, width):
    inputs = keras.Input((12, width, 3))
    x = keras.layers.Conv2D(4, 3, name="first")(inputs)
    x = keras.layers.Conv2D(4, 3, name="second")(x)
    plain = keras.Model(inputs, keras.layers.Conv2D(4, 3, name="third")(x))
    first, second = fk.LocalExecutor(3), fk.LocalExecutor(5)
    coded = fk.distribute(plain, first, fallback="raise")
    coded.predict(images(), verbose=0)
    part = keras.Model(coded.input, coded.get_layer("second").output)
    fk.attach(part, second, layers=chosen, fallback="raise")
    here = 2 if chosen == "all" else 1
    for _ in range(2):
        with fk.trace(coded) as trace:
            y = coded.predict(images(), verbose=0)
        assert trace.distributed_convolutions == 1 + here
        np.testing.assert_allclose(y, plain(images()), atol=1e-5)
    # Each cluster holds what it computes, and nothing else.
    assert (len(first.placements), len(second.placements)) == (1, here)
    assert len(fk.report(coded).converted) == 1 + here
    if here == 1:
        why = fk.report(coded).not_converted["second"]
        assert why == "it was not chosen by `layers`"
    old = coded.get_layer("third").session
    assert not old.closed
    # It is closed when its last layer has left.
    fk.attach(coded, second, fallback="raise")
    assert old.closed
    assert first.placements == []


def test_errors_after_attaching_are_those_of_the_new_policy():
    from fcdcc_keras.execution.executors.local import LOST

    coded = fk.distribute(mixed(), fk.LocalExecutor(3))
    fk.attach(coded, fk.LocalExecutor(3, {0: LOST, 1: LOST}), fallback="raise")
    with pytest.raises(fk.NotEnoughWorkersError, match="needs the results of"):
        coded.predict(images(), verbose=0)


def test_failed_attaching_leaves_the_model_as_it_was():
    coded = distributed(mixed())
    with pytest.raises(fk.PlanError, match="less than `workers`"):
        fk.attach(coded, fk.LocalExecutor(3), stragglers=3)
    with pytest.raises(fk.ClusterError, match="must be a distributed"):
        fk.attach(coded, 7)
    assert convolutions(coded) == (5, 0)


def test_what_cannot_be_attached(tmp_path):
    plain = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    with pytest.raises(fk.PlanError, match=r"must have coded layers. Received: 'seq"):
        fk.attach(plain, fk.LocalExecutor(3))
    with pytest.raises(TypeError, match=r"Received: turbo. Use one of workers"):
        fk.attach(plain, fk.LocalExecutor(3), turbo=True)
    with pytest.raises(fk.PlanError, match=r"Received: cluster=None, workers"):
        fk.load_model(tmp_path / "no.keras", workers=3)


def test_dense_layers_that_were_coded_are_attached(tmp_path):
    layers = [keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
    plain = keras.Sequential([keras.Input((12, 12, 3)), *layers])
    distributed(plain, dense=True).save(tmp_path / "dense.keras")
    loaded = fk.load_model(tmp_path / "dense.keras", fk.LocalExecutor(4))
    assert convolutions(loaded) == (2, 0)
    np.testing.assert_allclose(loaded(images()), plain(images()), atol=1e-5)
    assert convolutions(distributed(loaded)) == (1, 0)


def test_plain_layers_of_a_graph_stay_plain_when_attached():
    coded = distributed(mixed(), layers=["first"])
    fk.attach(coded, fk.LocalExecutor(4))
    report = fk.report(coded)
    assert "inner/deep" not in report.converted
    assert "`fk.distribute` makes coded ones" in report.not_converted["inner/deep"]
