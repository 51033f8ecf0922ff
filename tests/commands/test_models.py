"""What a model may be named by."""

import keras
import numpy as np
import pytest

from fcdcc_keras.commands.models import load
from fcdcc_keras.errors import FcdccError

# Keras's `save` asks TensorFlow's variables for their values in NumPy 1's way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


def small(classes=4, size=8):
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes)(x))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    model = small()
    model.save(root / "small.keras")
    model.save_weights(root / "small.weights.h5")
    return model, root


def same(a, b):
    pairs = zip(a.get_weights(), b.get_weights(), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_a_file(saved) -> None:
    model, root = saved
    found = load(str(root / "small.keras"))
    assert same(found.model, model)
    assert found.shape(None) == (8, 8, 3)
    images = np.ones((1, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(found.prepare(images, 255.0), images)


def test_a_function_of_a_module_in_this_folder(saved, tmp_path, monkeypatch) -> None:
    model, root = saved
    (tmp_path / "fcdcc_mine.py").write_text(
        "import keras\n"
        f"def build(): return keras.models.load_model({str(root / 'small.keras')!r})\n"
        "def nothing(): return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert same(load("fcdcc_mine:build").model, model)
    with pytest.raises(FcdccError, match=r"return a keras.Model. Received: 3"):
        load("fcdcc_mine:nothing")
    for name in ("fcdcc_mine:missing", "fcdcc_no_such:build"):
        with pytest.raises(FcdccError, match=rf"can be imported. Received: '{name}'"):
            load(name)


def test_an_application_with_its_preprocessing() -> None:
    found = load("MobileNetV2", "random", side=32)
    assert found.shape(32) == (32, 32, 3)
    white = found.prepare(np.ones((1, 32, 32, 3), np.float32), peak=1.0)
    assert white.min() == white.max() == 1.0  # MobileNetV2 wants [-1, 1]
    black = found.prepare(np.zeros((1, 32, 32, 3), np.float32), peak=255.0)
    assert black.min() == black.max() == -1.0


def test_weights_that_cannot_be_had(monkeypatch) -> None:
    def fail(weights, **more):
        raise Exception("URL fetch failure -- no route to host")

    fail.__name__ = "VGG16"
    monkeypatch.setattr(keras.applications, "VGG16", fail)
    with pytest.raises(FcdccError, match=r"imagenet: URL fetch.*--weights random"):
        load("VGG16")


def test_weights_of_a_file(saved) -> None:
    model, root = saved
    weights = str(root / "small.weights.h5")
    found = load(str(root / "small.keras"), weights)
    assert same(found.model, model)
    with pytest.raises(FcdccError, match="must be a file that fits the model"):
        load("digits-vgg", weights)
    with pytest.raises(FcdccError, match=r"Received: --weights imagenet"):
        load(str(root / "small.keras"), "imagenet")


@pytest.mark.parametrize("name", ["VGG61", "vgg16", "digits-lenet"])
def test_unknown_names_list_what_there_is(name: str) -> None:
    with pytest.raises(FcdccError, match=rf"Received: '{name}'.*mnist-resnet"):
        load(name)


def test_a_file_that_is_none(tmp_path) -> None:
    with pytest.raises(FcdccError, match=r"Keras can load. Received: "):
        load(str(tmp_path / "none.keras"))


def test_only_classifiers_can_be_judged(tmp_path) -> None:
    small(classes=1).save(tmp_path / "one.keras")
    with pytest.raises(FcdccError, match=r"two classes or more.*\(None, 1\)"):
        load(str(tmp_path / "one.keras")).shape(None)
    small(size=None).save(tmp_path / "open.keras")
    found = load(str(tmp_path / "open.keras"))
    assert found.shape(16) == (16, 16, 3)
    with pytest.raises(FcdccError, match="Give --image-size"):
        found.shape(None)
