"""Backbones of KerasHub, where it is installed.

It is no test dependency: it needs tensorflow-text, which brings a whole TensorFlow, and
would install it over tensorflow-cpu. By hand, `pip install --no-deps keras-hub` and its
other dependencies suffice.
"""

import keras
import numpy as np
import pytest

import fcdcc_keras as fk

# Keras, as it saves, makes arrays of TensorFlow's variables, which do not know `copy`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")

hub = pytest.importorskip("keras_hub", exc_type=ImportError)
models = hub.models


def vgg():
    return models.VGGBackbone(
        stackwise_num_repeats=[1, 2], stackwise_num_filters=[8, 12]
    )


def resnet(block="basic_block", **options):
    return models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 72],
        stackwise_num_blocks=[1, 2],
        stackwise_num_strides=[1, 2],
        block_type=block,
        image_shape=(32, 32, 3),
        **options,
    )


def mobilenet():
    return models.MobileNetBackbone(
        stackwise_expansion=[[40, 56], [64]],
        stackwise_num_blocks=[2, 1],
        stackwise_num_filters=[[16, 16], [24]],
        stackwise_kernel_size=[[3, 3], [5]],
        stackwise_num_strides=[[2, 1], [1]],
        stackwise_se_ratio=[[None, None], [0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish"]],
        stackwise_padding=[[1, 1], [2]],
        output_num_filters=32,
        input_activation="hard_swish",
        output_activation="hard_swish",
        input_num_filters=16,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=32,
        squeeze_and_excite=0.5,
        image_shape=(32, 32, 3),
    )


def classifier():
    backbone = resnet("bottleneck_block")
    return models.ImageClassifier(backbone, num_classes=4, activation="softmax")


def images():
    return np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize("make", [vgg, resnet, mobilenet, classifier])
def test_backbones(make, tmp_path):
    keras.utils.set_random_seed(0)
    plain = make()
    coded = fk.distribute(plain, fk.LocalExecutor(4), fallback="raise")
    assert type(coded) is type(plain)
    inside = plain._flatten_layers()
    eligible = [x for x in inside if type(x) is keras.layers.Conv2D and x.groups == 1]
    with fk.trace(coded) as trace:
        found = coded.predict(images(), verbose=0)
    assert len(fk.report(coded).converted) >= len(eligible) > 2
    assert trace.distributed_convolutions >= len(eligible)
    assert trace.local_convolutions == 0
    expected = plain.predict(images(), verbose=0)
    for a, b in zip(*map(keras.tree.flatten, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * abs(b).max())
    path = tmp_path / "one.weights.h5"
    coded.save_weights(path)
    other = make()
    other.load_weights(path)
    for a, b in zip(other.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
