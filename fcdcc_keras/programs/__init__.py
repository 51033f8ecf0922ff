"""Programs: what a worker computes, as plain data."""

from fcdcc_keras.programs.convolutions import (
    Convolution,
    Dense,
    Depthwise,
    Separable,
    Transposed,
)
from fcdcc_keras.programs.elementwise import (
    ACTIVATIONS,
    MERGES,
    Activation,
    BatchNormalization,
    Bias,
    Concatenate,
    Merge,
    Normalization,
    PReLU,
    Rescaling,
    Scale,
)
from fcdcc_keras.programs.operation import Operation, Pair, Reach, Shape
from fcdcc_keras.programs.program import Program
from fcdcc_keras.programs.spatial import (
    AveragePool,
    Crop,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    Reshape,
    Upsample,
    ZeroPad,
)
from fcdcc_keras.programs.wire import KINDS, from_text, from_wire, to_text, to_wire

__all__ = [
    "ACTIVATIONS",
    "KINDS",
    "MERGES",
    "Activation",
    "AveragePool",
    "BatchNormalization",
    "Bias",
    "Concatenate",
    "Convolution",
    "Crop",
    "Dense",
    "Depthwise",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "MaxPool",
    "Merge",
    "Normalization",
    "Operation",
    "PReLU",
    "Pair",
    "Program",
    "Reach",
    "Rescaling",
    "Reshape",
    "Scale",
    "Separable",
    "Shape",
    "Transposed",
    "Upsample",
    "ZeroPad",
    "from_text",
    "from_wire",
    "to_text",
    "to_wire",
]
