"""Coded Keras layers: the only place that crosses the TensorFlow graph."""

from fcdcc_keras.layers.coded import CodedLayer, channels_last
from fcdcc_keras.layers.kinds import (
    CodedConv1D,
    CodedConv1DTranspose,
    CodedConv2D,
    CodedConv2DTranspose,
    CodedConv3D,
    CodedConv3DTranspose,
    CodedDense,
    CodedDepthwiseConv1D,
    CodedDepthwiseConv2D,
    CodedSeparableConv1D,
    CodedSeparableConv2D,
    changes,
    coded_class,
    known_class,
    plain_class,
)

__all__ = [
    "CodedConv1D",
    "CodedConv1DTranspose",
    "CodedConv2D",
    "CodedConv2DTranspose",
    "CodedConv3D",
    "CodedConv3DTranspose",
    "CodedDense",
    "CodedDepthwiseConv1D",
    "CodedDepthwiseConv2D",
    "CodedLayer",
    "CodedSeparableConv1D",
    "CodedSeparableConv2D",
    "changes",
    "channels_last",
    "coded_class",
    "known_class",
    "plain_class",
]
