"""Layers of every kind that is coded, and the codes that they can have."""

from __future__ import annotations

from collections.abc import Mapping

import keras

import fcdcc_keras as fk
from fcdcc_keras.codes import CRME, Code

WORKERS = 4

# The Keras layer, the shape of an image, and options of the layer.
CASES = [
    ("Conv1D", (17, 3), {"filters": 5, "kernel_size": 3}),
    ("Conv1D", (17, 3), {"filters": 5, "kernel_size": 4, "strides": 3}),
    ("Conv1D", (17, 3), {"filters": 5, "kernel_size": 3, "padding": "same"}),
    (
        "Conv1D",
        (17, 3),
        {"filters": 5, "kernel_size": 3, "padding": "causal", "dilation_rate": 2},
    ),
    (
        "Conv1D",
        (17, 4),
        {
            "filters": 6,
            "kernel_size": 3,
            "padding": "causal",
            "strides": 2,
            "groups": 2,
        },
    ),
    ("Conv2D", (9, 14, 6), {"filters": 9, "kernel_size": (2, 3), "groups": 3}),
    (
        "Conv2D",
        (14, 9, 4),
        {"filters": 4, "kernel_size": 3, "padding": "same", "groups": 4, "strides": 2},
    ),
    (
        "Conv2D",
        (14, 9, 4),
        {"filters": 8, "kernel_size": 3, "groups": 4, "strides": (2, 3)},
    ),
    (
        "Conv2D",
        (14, 9, 4),
        {"filters": 8, "kernel_size": 3, "groups": 2, "dilation_rate": (2, 1)},
    ),
    (
        "Conv3D",
        (6, 5, 7, 3),
        {"filters": 5, "kernel_size": (2, 3, 1), "strides": (2, 1, 3)},
    ),
    (
        "Conv3D",
        (6, 5, 9, 2),
        {
            "filters": 4,
            "kernel_size": 3,
            "padding": "same",
            "dilation_rate": (1, 2, 3),
        },
    ),
    ("Conv3D", (4, 5, 6, 4), {"filters": 6, "kernel_size": 2, "groups": 2}),
    ("DepthwiseConv1D", (17, 3), {"kernel_size": 3, "strides": 2, "padding": "same"}),
    ("DepthwiseConv1D", (17, 3), {"kernel_size": 3, "depth_multiplier": 2}),
    ("DepthwiseConv1D", (17, 3), {"kernel_size": 3, "dilation_rate": 3}),
    (
        "DepthwiseConv2D",
        (13, 9, 3),
        {"kernel_size": (3, 2), "depth_multiplier": 2, "padding": "same"},
    ),
    ("DepthwiseConv2D", (13, 9, 3), {"kernel_size": 3, "strides": 2}),
    (
        "DepthwiseConv2D",
        (13, 9, 3),
        {"kernel_size": 3, "dilation_rate": (2, 2), "padding": "same"},
    ),
    (
        "SeparableConv1D",
        (17, 3),
        {"filters": 5, "kernel_size": 3, "depth_multiplier": 2, "padding": "same"},
    ),
    ("SeparableConv1D", (17, 3), {"filters": 5, "kernel_size": 3, "strides": 2}),
    (
        "SeparableConv2D",
        (13, 9, 3),
        {"filters": 5, "kernel_size": (3, 2), "depth_multiplier": 2},
    ),
    (
        "SeparableConv2D",
        (13, 9, 3),
        {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same"},
    ),
    (
        "SeparableConv2D",
        (13, 9, 3),
        {"filters": 5, "kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    ),
    ("Conv1DTranspose", (9, 3), {"filters": 4, "kernel_size": 3, "strides": 2}),
    (
        "Conv1DTranspose",
        (9, 3),
        {"filters": 4, "kernel_size": 5, "strides": 2, "padding": "same"},
    ),
    ("Conv1DTranspose", (9, 3), {"filters": 4, "kernel_size": 1, "strides": 3}),
    (
        "Conv1DTranspose",
        (9, 3),
        {"filters": 4, "kernel_size": 3, "strides": 3, "output_padding": 1},
    ),
    (
        "Conv2DTranspose",
        (7, 5, 3),
        {"filters": 4, "kernel_size": (4, 3), "strides": (2, 3), "padding": "same"},
    ),
    ("Conv2DTranspose", (7, 5, 3), {"filters": 4, "kernel_size": (1, 3)}),
    (
        "Conv2DTranspose",
        (7, 5, 3),
        {
            "filters": 4,
            "kernel_size": 3,
            "strides": (2, 3),
            "padding": "same",
            "output_padding": (1, 2),
        },
    ),
    (
        "Conv3DTranspose",
        (3, 4, 5, 2),
        {"filters": 3, "kernel_size": (2, 3, 3), "strides": (2, 1, 3)},
    ),
    (
        "Conv3DTranspose",
        (3, 4, 5, 2),
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
    ),
    ("Dense", (11,), {"units": 7}),
    ("Dense", (5, 4, 11), {"units": 7, "activation": "relu"}),
]


CODES = {
    "input": CRME(6, 1, WORKERS),
    "kernel": CRME(1, 6, WORKERS),
    "both": CRME(2, 6, WORKERS),
}
"""Any three of four workers suffice."""


def codes_for(name: str, options: Mapping[str, object]) -> list[Code]:
    """Returns codes by which a layer can be coded."""
    if name == "Dense":
        return [CODES["kernel"]]
    plain = name in ("Conv1D", "Conv2D", "Conv3D") and "groups" not in options
    return list(CODES.values()) if plain else [CODES["input"]]


def models(
    executor: fk.Executor,
    name: str,
    shape: tuple[int, ...],
    code: Code | None = None,
    **options: object,
) -> tuple[keras.Model, keras.Model]:
    """Returns a model of one layer, and the same distributed over an executor."""
    keras.utils.set_random_seed(1)
    layer = getattr(keras.layers, name)(bias_initializer="normal", **options)
    inputs = keras.Input(shape, dtype=layer.dtype_policy.compute_dtype)
    plain = keras.Model(inputs, layer(inputs))
    code = code or codes_for(name, options)[0]
    return plain, fk.distribute(
        plain, executor, fallback="raise", dense=True, code=code
    )
