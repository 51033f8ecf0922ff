"""Images from folders, from packages and from tensorflow_datasets."""

import sys
from types import ModuleType, SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from fcdcc_keras.commands import data
from fcdcc_keras.commands.data import find_images, fit, open_data
from fcdcc_keras.errors import FcdccError


def folder(root, names, side=6):
    for i, name in enumerate(names):
        (root / name).mkdir()
        for j in range(3):
            pixels = np.full((side, side, 3), 20 * i + j, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{j}.png")
        (root / name / "notes.txt").write_text("no image")
    return str(root)


def everything(dataset, size=4):
    batches = list(dataset.batches(size))
    assert [len(labels) for _, labels in batches[:-1]] == [size] * (len(batches) - 1)
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert len(images) == len(labels) == dataset.images
    assert images.dtype == np.float32
    return images, labels


def test_classes_are_the_folders_in_order(tmp_path) -> None:
    found = open_data(folder(tmp_path, ["cat", "dog", "bee"]), (6, 6, 3))
    assert (found.images, found.classes, found.peak) == (9, 3, 255.0)
    images, labels = everything(found)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]  # bee, cat, dog
    assert images[:, 0, 0, 0].tolist() == [40, 41, 42, 0, 1, 2, 20, 21, 22]


def test_a_few_images_are_of_all_classes(tmp_path) -> None:
    found = open_data(folder(tmp_path, ["a", "b", "c"]), (6, 6, 1), limit=3)
    assert everything(found)[1].tolist() == [0, 1, 2]


def test_numbers_name_the_classes(tmp_path) -> None:
    folder(tmp_path, ["7", "03", "12"])
    found = find_images(tmp_path)
    assert found.classes is None
    assert {label for _, label in found.images} == {3, 7, 12}


def test_wordnet_names_are_imagenets(tmp_path, monkeypatch) -> None:
    def decode(scores, top):
        assert (scores.shape, top) == ((1, 1000), 1000)
        order = np.argsort(-scores[0])
        return [[(f"n{i:08d}", "word", scores[0][i]) for i in order]]

    utils = keras.applications.imagenet_utils
    monkeypatch.setattr(utils, "decode_predictions", decode)
    folder(tmp_path, ["n00000999", "n00000003"])
    assert {label for _, label in find_images(tmp_path).images} == {3, 999}

    def fail(scores, top):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(utils, "decode_predictions", fail)
    with pytest.raises(FcdccError, match=r"list of classes.*URL fetch failure"):
        find_images(tmp_path)


def test_folders_without_images_are_refused(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FcdccError, match=r"a folder for each class.*with 1 folders"):
        open_data(str(tmp_path), (6, 6, 3))
    (tmp_path / "empty" / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(FcdccError, match=r"must be readable. Received: .*broken\.png"):
        everything(open_data(str(tmp_path), (6, 6, 3)))


@pytest.mark.parametrize(("given", "wanted"), [(1, 1), (3, 1), (1, 3), (4, 3)])
def test_colours_are_those_of_the_model(given: int, wanted: int) -> None:
    images = np.full((2, 5, 5, given), 200, np.uint8)
    found = fit(images, (5, 5, wanted))
    assert found.shape == (2, 5, 5, wanted)
    np.testing.assert_allclose(found, 200, rtol=1e-6)


def test_sizes_are_those_of_the_model() -> None:
    images = np.zeros((1, 8, 16, 1))
    images[:, :, 4:12] = 1.0  # the middle square; the rest is cut off
    np.testing.assert_array_equal(fit(images, (4, 4, 1)), np.ones((1, 4, 4, 1)))


def test_the_shipped_digits() -> None:
    found = open_data("digits", (8, 8, 1), limit=50)
    assert (found.images, found.classes, found.peak) == (50, 10, 1.0)
    images, _ = everything(found, 32)
    assert images.max() == 1.0


def test_without_tensorflow_datasets_the_way_out_is_named() -> None:
    with pytest.raises(FcdccError, match=r"Received: 'cifar10'.*pip install tensorf"):
        open_data("cifar10", (32, 32, 3))


@pytest.fixture
def datasets(monkeypatch):
    """Stands in for tensorflow_datasets, with one set of seven images."""

    class Loaded(list):
        def take(self, count):
            return self[:count]

    def load(name, split, as_supervised, with_info):
        assert as_supervised
        assert with_info
        if name != "seven":
            raise ConnectionError("no route to host")
        pairs = [(np.full((9, 9, 3), i, np.uint8), i % 3) for i in range(7)]
        label = SimpleNamespace(num_classes=3)
        split_info = SimpleNamespace(num_examples=len(pairs))
        info = SimpleNamespace(features={"label": label}, splits={split: split_info})
        return Loaded(pairs), info

    module = ModuleType("tensorflow_datasets")
    module.load, module.as_numpy = load, iter
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(data, "find_spec", lambda name: module)


@pytest.mark.usefixtures("datasets")
def test_tensorflow_datasets() -> None:
    found = open_data("seven", (9, 9, 1), split="validation", limit=6)
    assert (found.name, found.classes) == ("seven, validation", 3)
    images, labels = everything(found)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_allclose(images[:, 0, 0, 0], range(6), rtol=1e-6)
    with pytest.raises(FcdccError, match=r"'eight', split='test': ConnectionError"):
        open_data("eight", (9, 9, 1))
