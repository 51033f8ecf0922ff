"""Training a coded network: its gradients, and what it learns."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcdcc_keras as fk
from fcdcc_keras.commands.networks import build_resnet, train
from fcdcc_keras.commands.samples import load_digits

WORKERS, STRAGGLERS = 4, 1


@pytest.fixture(scope="module")
def data():
    return load_digits(seed=0)


def networks():
    """A small ResNet on digits, and its coded copy."""
    keras.utils.set_random_seed(0)
    plain = build_resnet(8)
    executor = fk.LocalExecutor(WORKERS)
    return plain, fk.distribute(
        plain, executor, stragglers=STRAGGLERS, fallback="raise"
    )


def test_gradients_are_those_of_the_plain_network(data):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, y = data.train_images[:32], data.train_labels[:32]

    @tf.function
    def gradients(model):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        return tape.gradient(value, model.trainable_variables)

    plain, coded = networks()
    with fk.trace(coded) as trace:
        found = gradients(coded)
    assert trace.distributed_convolutions == 11
    assert trace.local_convolutions == 0
    expected = gradients(plain)
    assert len(found) == len(plain.trainable_variables)
    for g, exact in zip(found, expected, strict=True):
        assert np.linalg.norm(g - exact) <= 1e-4 * np.linalg.norm(exact)


def test_two_epochs_on_digits_give_the_same_accuracy(data):
    accuracies = []
    for model in networks():
        keras.utils.set_random_seed(1)  # the order of the images
        train(model, data, epochs=2)
        predicted = model.predict(data.test_images, verbose=0).argmax(-1)
        accuracies.append(float((predicted == data.test_labels).mean()))
    plain, coded = accuracies
    assert plain > 0.9
    assert abs(coded - plain) <= 0.01
