"""The photographs and VGG16 of the demonstration."""

import keras
import numpy as np
import pytest

from fcdcc_keras.commands import demo_run
from fcdcc_keras.errors import FcdccError


def test_photographs_are_as_vgg16_wants_them() -> None:
    images = demo_run.load_photos()
    assert images.shape == (2, 224, 224, 3)
    assert images.dtype == np.float32
    assert -124.0 <= images.min() < -90.0
    assert 90.0 < images.max() <= 152.0
    assert not np.array_equal(images[0], images[1])


def test_failed_download_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**arguments: object) -> None:
        raise Exception("URL fetch failure on vgg16.h5: None -- no route to host")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    with pytest.raises(FcdccError, match=r"no route to host.*--weights random"):
        demo_run.build_vgg16("imagenet")
    with pytest.raises(Exception, match=r"^URL fetch failure"):
        demo_run.build_vgg16("random")
