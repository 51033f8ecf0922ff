"""The networks of the experiments, untrained: how long they take is the same.

VGG16 and ResNet50 are those of ``keras.applications``. LeNet-5 is that of LeCun et al.
(1998) with every channel of C3 connected to all of S2: 61,706 parameters. AlexNet is
that of Krizhevsky et al. (2012) in one tower, without local response normalisation,
which has no weights: 62,378,344 parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

SIDES = {"LeNet-5": 32, "AlexNet": 227, "VGG16": 224, "ResNet50": 224}
"""Height and width of each network's images, in pixels."""


def build(network: str, side: int | None = None, *, top: bool = False) -> keras.Model:
    """Returns a network with random weights, the same each time.

    Args:
        network: One of ``SIDES``.
        side: Height and width of its images; default: ``SIDES``.
        top: Whether it has its dense layers, which are not coded.
    """
    import keras

    side = side or SIDES[network]
    keras.utils.set_random_seed(0)
    if network in ("VGG16", "ResNet50"):
        application = getattr(keras.applications, network)
        return application(weights=None, include_top=top, input_shape=(side, side, 3))
    made, channels = (_lenet5, 1) if network == "LeNet-5" else (_alexnet, 3)
    body, head = made()
    layers = [keras.Input((side, side, channels)), *body, *(head if top else [])]
    return keras.Sequential(layers, name=network.lower())


def image(model: keras.Model) -> np.ndarray:
    """Returns one random image for a network, (1, H, W, C), of values from −1 to 1."""
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (1, *model.input_shape[1:])).astype("float32")


def _lenet5() -> tuple[list[keras.Layer], list[keras.Layer]]:
    from keras import layers

    body = [
        layers.Conv2D(6, 5, activation="tanh", name="c1"),
        layers.AveragePooling2D(2, name="s2"),
        layers.Conv2D(16, 5, activation="tanh", name="c3"),
        layers.AveragePooling2D(2, name="s4"),
        layers.Conv2D(120, 5, activation="tanh", name="c5"),
    ]
    head = [
        layers.Flatten(),
        layers.Dense(84, activation="tanh", name="f6"),
        layers.Dense(10, activation="softmax", name="output"),
    ]
    return body, head


def _alexnet() -> tuple[list[keras.Layer], list[keras.Layer]]:
    from keras import layers

    def conv(number: int, filters: int, size: int, strides: int = 1) -> keras.Layer:
        return layers.Conv2D(
            filters,
            size,
            strides,
            padding="valid" if strides > 1 else "same",
            activation="relu",
            name=f"conv{number}",
        )

    body = [
        conv(1, 96, 11, strides=4),
        layers.MaxPooling2D(3, 2, name="pool1"),
        conv(2, 256, 5),
        layers.MaxPooling2D(3, 2, name="pool2"),
        conv(3, 384, 3),
        conv(4, 384, 3),
        conv(5, 256, 3),
        layers.MaxPooling2D(3, 2, name="pool5"),
    ]
    head = [
        layers.Flatten(),
        layers.Dense(4096, activation="relu", name="fc6"),
        layers.Dropout(0.5),
        layers.Dense(4096, activation="relu", name="fc7"),
        layers.Dropout(0.5),
        layers.Dense(1000, activation="softmax", name="fc8"),
    ]
    return body, head
