"""The small models are trained once, and again when their making changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fcdcc_keras.commands import shipped
from fcdcc_keras.errors import FcdccError

# Keras's `save` asks TensorFlow's variables for their values in NumPy 1's way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)

NAME = "digits-vgg"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    quick = replace(shipped.RECIPES[NAME], epochs=1)
    monkeypatch.setitem(shipped.RECIPES, NAME, quick)
    return tmp_path / "fcdcc_keras"


def test_a_model_is_trained_once(cache) -> None:
    epochs = []
    first = shipped.shipped_model(NAME, lambda: epochs.append(1))
    (file,) = cache.iterdir()
    assert file.name.startswith(f"{NAME}-")
    again = shipped.shipped_model(NAME, lambda: epochs.append(1))
    assert len(epochs) == 1
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    file.write_bytes(b"half a model")
    with pytest.raises(FcdccError, match=r"saved there whole. Received: .*Delete"):
        shipped.shipped_model(NAME)


def test_whatever_weights_depend_on_is_in_the_name(monkeypatch) -> None:
    recipe = shipped.RECIPES[NAME]
    samples = shipped.DATA["digits"](shipped.SEED)
    mark = shipped._fingerprint(recipe, samples)
    assert mark == shipped._fingerprint(recipe, samples)
    darker = replace(samples, train_images=samples.train_images / 2)
    others = [
        shipped._fingerprint(replace(recipe, epochs=99), samples),
        shipped._fingerprint(shipped.RECIPES["digits-resnet"], samples),
        shipped._fingerprint(recipe, darker),
    ]
    monkeypatch.setattr(shipped.inspect, "getsource", lambda module: "def train(): ...")
    others.append(shipped._fingerprint(recipe, samples))
    assert len({mark, *others}) == 5


def test_the_cache_is_the_users(monkeypatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert shipped.cache_folder() == Path("/home/somebody/.cache/fcdcc_keras")
