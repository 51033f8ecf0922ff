"""Every way of saving and loading, between coded and plain models, both ways."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from tests.rewriting.saved_models import distributed, images, mixed, subclassed

pytestmark = pytest.mark.filterwarnings(
    # Keras, as it saves, makes arrays of variables, which do not know `copy`.
    "ignore:__array__ impl:DeprecationWarning",
    # It calls its own older format a legacy.
    "ignore:You are saving your model as an HDF5 file:UserWarning",
)

MODELS = [mixed, subclassed]
BEFORE = Path(__file__).parents[1] / "data" / "coded_before.keras"


@pytest.fixture(scope="module", params=MODELS, ids=lambda make: make.__name__)
def make(request):
    return request.param


@pytest.fixture(scope="module")
def plain(make):
    return make(seed=1)


@pytest.fixture(scope="module")
def coded(plain):
    return distributed(plain)


@pytest.fixture(scope="module")
def expected(plain):
    return plain(images()).numpy()


WHOLE = {
    "model.save": lambda model, path: model.save(path),
    "keras.saving": lambda model, path: keras.saving.save_model(model, path),
    "keras.models": lambda model, path: keras.models.save_model(model, path),
}
LOAD = [keras.saving.load_model, keras.models.load_model, fk.load_model]


@pytest.mark.parametrize("save", WHOLE)
def test_a_saved_model_computes_locally_until_it_is_attached(
    save, make, coded, expected, tmp_path
):
    path = tmp_path / "model.keras"
    WHOLE[save](coded, path)
    for load in LOAD:
        loaded = load(path)
        np.testing.assert_allclose(loaded(images()), expected, atol=1e-5)
    fk.attach(loaded, fk.LocalExecutor(4), fallback="raise")
    assert len(fk.report(loaded).converted) == 5
    np.testing.assert_allclose(loaded(images()), expected, atol=1e-5)
    # The plain model reads the weights out of it.
    other = make(seed=2)
    other.load_weights(path)
    np.testing.assert_allclose(other(images()), expected, atol=1e-5)


def test_older_format_of_keras(make, coded, plain, expected, tmp_path):
    path = tmp_path / "model.h5"
    if make is subclassed:
        pytest.skip("Keras writes no models of users' classes to this format")
    coded.save(path)
    np.testing.assert_allclose(
        keras.models.load_model(path)(images()), expected, atol=1e-5
    )


@pytest.mark.parametrize(
    "way",
    [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, copy.copy],
    ids=["pickle", "deepcopy", "copy"],
)
def test_copies_compute_locally_and_can_be_attached(way, coded, expected):
    made = way(coded)
    assert made is not coded
    np.testing.assert_allclose(made(images()), expected, atol=1e-5)
    fk.attach(made, fk.LocalExecutor(4), fallback="raise")
    assert len(fk.report(made).converted) == 5
    made.predict(images(), verbose=0)
    assert len(coded.weights) == len(made.weights)
    with fk.trace(coded) as trace:
        coded(images())
    assert trace.distributed_convolutions == 5  # the original is not changed


def _sharded(model, path):
    path = path.with_suffix(".json")
    keras.saving.save_weights(model, path, max_shard_size=0.0005)
    return path


WEIGHTS = {
    "method": (
        lambda model, path: model.save_weights(path),
        lambda model, path: model.load_weights(path),
    ),
    "function": (
        lambda model, path: keras.saving.save_weights(model, path),
        lambda model, path: keras.saving.load_weights(model, path),
    ),
    "sharded": (_sharded, lambda model, path: model.load_weights(path)),
}
if "max_shard_size" not in keras.Model.save_weights.__code__.co_varnames:
    WEIGHTS.pop("sharded")


@pytest.mark.parametrize("way", WEIGHTS)
@pytest.mark.parametrize("written_by", ["plain", "coded"])
def test_weights_go_both_ways(way, written_by, make, coded, plain, expected, tmp_path):
    path = tmp_path / "model.weights.h5"
    save, load = WEIGHTS[way]
    path = save(coded if written_by == "coded" else plain, path) or path
    reader = make(seed=3)
    reader(images())
    reader = distributed(reader) if written_by == "plain" else reader
    assert abs(reader(images()) - expected).numpy().max() > 1e-2
    load(reader, path)
    np.testing.assert_allclose(reader(images()), expected, atol=1e-5)


@keras.saving.register_keras_serializable("fcdcc_tests")
class Waiting(keras.layers.Layer):
    """Has whoever saves it wait in the middle."""

    inside, go_on = threading.Event(), threading.Event()
    go_on.set()  # a copy is made by saving and loading, too

    def call(self, x):
        return x

    def save_own_variables(self, store):
        self.inside.set()
        assert self.go_on.wait(60)


@pytest.mark.parametrize("save", ["save", "save_weights"])
def test_saving_leaves_alone_what_another_thread_traces(save, tmp_path):
    convolution = keras.layers.Conv2D(4, 3)
    plain = keras.Sequential([keras.Input((12, 12, 3)), Waiting(), convolution])
    coded = distributed(plain)
    Waiting.inside.clear()
    Waiting.go_on.clear()
    name = {"save": "a.keras", "save_weights": "a.weights.h5"}[save]
    with ThreadPoolExecutor() as pool:
        saving = pool.submit(getattr(coded, save), tmp_path / name)
        try:
            assert Waiting.inside.wait(60)
            coded.predict(images(), verbose=0)
        finally:
            Waiting.go_on.set()
        saving.result()
    with fk.trace(coded) as trace:
        coded.predict(images(), verbose=0)
    assert (trace.distributed_convolutions, trace.local_convolutions) == (1, 0)


def _python_functions(graph):
    return [op for op in graph.get_operations() if "PyFunc" in op.type]


def _archive(model, path):
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", model.call, [tf.TensorSpec((None, 12, 12, 3))])
    archive.write_out(path, verbose=False)


EXPORTS = {
    "model.export": lambda model, path: model.export(path, verbose=False),
    "ExportArchive": _archive,
}


@pytest.mark.parametrize("way", EXPORTS)
def test_what_is_exported_computes_locally(way, coded, expected, tmp_path):
    coded.predict(images(), verbose=0)
    EXPORTS[way](coded, str(tmp_path))
    exported = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(exported.serve(images()), expected, atol=1e-5)
    signature = exported.signatures["serving_default"]
    assert not _python_functions(signature.graph)
    with fk.trace(coded) as trace:
        coded.predict(images(), verbose=0)
        tf.function(coded)(images())
    assert trace.distributed_convolutions == 10  # it itself goes on as before


# TensorFlow says that its interpreter will move.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tflite_converts_what_computes_locally(coded, expected):
    converted = tf.lite.TFLiteConverter.from_keras_model(coded).convert()
    interpreter = tf.lite.Interpreter(model_content=converted)
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(entry["index"], images().shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], images())
    interpreter.invoke()
    np.testing.assert_allclose(
        interpreter.get_tensor(end["index"]), expected, atol=1e-4
    )


# Keras from 3.8 or so takes the one input in older files for a list of one.
@pytest.mark.filterwarnings("ignore:[^$]*The structure of `inputs`:UserWarning")
def test_files_in_which_classes_have_other_names():
    """Written when Keras was told of the coded layers by their own names."""
    expected = np.load(BEFORE.with_suffix(".npy"))
    x = np.linspace(-1, 1, 2 * 6 * 6 * 3, dtype="float32").reshape(2, 6, 6, 3)
    for load in LOAD:
        model = load(BEFORE)
        np.testing.assert_allclose(model(x), expected, atol=1e-6)
    fk.attach(model, fk.LocalExecutor(4), fallback="raise")
    assert len(fk.report(model).converted) == 5
    np.testing.assert_allclose(model(x), expected, atol=1e-5)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(again(x), expected, atol=1e-6)
