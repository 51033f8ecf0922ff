"""The photographs of the demonstration."""

import keras
import numpy as np

from fcdcc_keras.commands import demo_run


def test_photographs_are_as_vgg16_wants_them() -> None:
    photos = demo_run.load_photos()
    assert photos.shape == (2, 224, 224, 3)
    assert photos.dtype == np.float32
    images = keras.applications.vgg16.preprocess_input(photos)
    assert -124.0 <= images.min() < -90.0
    assert 90.0 < images.max() <= 152.0
    assert not np.array_equal(images[0], images[1])
