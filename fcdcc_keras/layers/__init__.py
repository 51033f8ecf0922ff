"""Coded Keras layers: the only place that crosses the TensorFlow graph."""

from fcdcc_keras.layers.conv2d import CodedConv2D

__all__ = ["CodedConv2D"]
