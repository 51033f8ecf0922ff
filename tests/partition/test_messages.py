"""What is said of what cannot be, word for word."""

import pytest

from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import ConvGeometry

MESSAGES = [
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), kind="local"),
        PlanError,
        "`kind` must be one of ('conv', 'depthwise', 'separable', 'transposed',"
        " 'dense'). Received: kind='local'. Choose one of them.",
    ),
    (
        lambda: ConvGeometry((8, 8), 0, 4, (3, 3)),
        PlanError,
        "`channels` must be an integer of at least 1. Received: channels=0. "
        "Give a positive number.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), groups=0),
        PlanError,
        "`groups` must be an integer of at least 1. Received: groups=0. Give a "
        "positive number.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, True, (3, 3)),
        PlanError,
        "`filters` must be an integer of at least 1. Received: filters=True. "
        "Give a positive number.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), depth_multiplier=1.5),
        PlanError,
        "`depth_multiplier` must be an integer of at least 1. Received: "
        "depth_multiplier=1.5. Give a positive number.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (9, 3)),
        PlanError,
        "The input must be at least as large as the dilated kernel. Received: "
        "input_size=(8, 8), dilated kernel (9, 3), padding='valid'. Use larger "
        "inputs or padding='same'.",
    ),
    (
        lambda: ConvGeometry((8,), 3, 4, (3, 3)),
        PlanError,
        "`input_size` must be two integers of at least 1. Received: "
        "input_size=(8,), with kernel_size=(3, 3). Give one length for each "
        "dimension.",
    ),
    (
        lambda: ConvGeometry((8, 8, 8, 8), 3, 4, (3, 3, 3, 3)),
        PlanError,
        "`input_size` must be one to three integers of at least 1. Received: "
        "input_size=(8, 8, 8, 8), with kernel_size=(3, 3, 3, 3). Give one "
        "length for each dimension.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, 3),
        PlanError,
        "`input_size` must be one to three integers of at least 1. Received: "
        "input_size=(8, 8), with kernel_size=3. Give one length for each "
        "dimension.",
    ),
    (
        lambda: ConvGeometry((8,), 3, 4, (3,), (0,)),
        PlanError,
        "`strides` must be one integer of at least 1. Received: strides=(0,), "
        "with kernel_size=(3,). Give one length for each dimension.",
    ),
    (
        lambda: ConvGeometry((8, 8, 8), 3, 4, (3, 3, 3), (1, 1)),
        PlanError,
        "`strides` must be three integers of at least 1. Received: strides=(1, "
        "1), with kernel_size=(3, 3, 3). Give one length for each dimension.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), (1, 1), (1, True)),
        PlanError,
        "`dilation_rate` must be two integers of at least 1. Received: "
        "dilation_rate=(1, True), with kernel_size=(3, 3). Give one length for "
        "each dimension.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), groups=2),
        PlanError,
        "Channels and filters must divide into the groups of a convolution. "
        "Received: channels=3, filters=4, 2 groups. Choose multiples.",
    ),
    (
        lambda: ConvGeometry((8, 8), 4, 3, (3, 3), groups=2),
        PlanError,
        "Channels and filters must divide into the groups of a convolution. "
        "Received: channels=4, filters=3, 2 groups. Choose multiples.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), kind="depthwise"),
        PlanError,
        "Channels and filters must divide into the groups of a convolution. "
        "Received: channels=3, filters=4, 3 groups. Choose multiples.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), padding="causal"),
        PlanError,
        "`padding` must be 'valid' or 'same', or the zeros before and after "
        "each dimension as pairs. Received: padding='causal'. Choose one of "
        "these.",
    ),
    (
        lambda: ConvGeometry((8,), 3, 4, (3,), padding="full"),
        PlanError,
        "`padding` must be 'valid' or 'same' or 'causal', or the zeros before "
        "and after each dimension as pairs. Received: padding='full'. Choose "
        "one of these.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), padding=((1, 1),)),
        PlanError,
        "`padding` must be 'valid' or 'same', or the zeros before and after "
        "each dimension as pairs. Received: padding=((1, 1),). Choose one of "
        "these.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), padding=((1, 1), (1, -1))),
        PlanError,
        "`padding` must be 'valid' or 'same', or the zeros before and after "
        "each dimension as pairs. Received: padding=((1, 1), (1, -1)). Choose "
        "one of these.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), padding=((1, 1), (1, 1, 1))),
        PlanError,
        "`padding` must be 'valid' or 'same', or the zeros before and after "
        "each dimension as pairs. Received: padding=((1, 1), (1, 1, 1)). Choose"
        " one of these.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), padding=((1, 1), [1, 1])),
        PlanError,
        "`padding` must be 'valid' or 'same', or the zeros before and after "
        "each dimension as pairs. Received: padding=((1, 1), [1, 1]). Choose "
        "one of these.",
    ),
    (
        lambda: ConvGeometry((8, 8), 3, 4, (3, 3), padding=((1, 1), (1, 0.5))),
        PlanError,
        "`padding` must be 'valid' or 'same', or the zeros before and after "
        "each dimension as pairs. Received: padding=((1, 1), (1, 0.5)). Choose "
        "one of these.",
    ),
]


@pytest.mark.parametrize(("make", "kind", "message"), MESSAGES)
def test_messages(make, kind, message):
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value) == message
