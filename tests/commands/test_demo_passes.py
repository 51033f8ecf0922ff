"""Passing images through a model and timing it."""

from itertools import accumulate
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from fcdcc_keras.commands import demo_run
from fcdcc_keras.commands.demo_run import DemoModel, logits, seconds_per_image


@pytest.fixture(scope="module")
def subject() -> DemoModel:
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    images = np.arange(20, dtype=np.float32).reshape(5, 2, 2, 1)
    return DemoModel("flat", model, images, None, batch_size=2)


def test_logits_are_those_of_all_images_in_order(subject: DemoModel) -> None:
    done: list[int] = []
    outputs = logits(subject.model, subject, done.append)
    np.testing.assert_array_equal(outputs, subject.images.reshape(5, 4))
    assert done == [1, 2, 3] == list(range(1, subject.batches + 1))


def test_timing_takes_one_batch_more_than_it_times(
    subject: DemoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    clock = accumulate([0, 90, 0, 2, 0, 4, 0, 6, 0, 8])  # began and ended, in turn
    monkeypatch.setattr(demo_run, "time", SimpleNamespace(perf_counter=clock.__next__))
    seconds = seconds_per_image(subject.model, subject, 4, done.append)
    assert done == [1, 2, 3, 4, 5]
    assert seconds == 5 / 2  # the median, an image
