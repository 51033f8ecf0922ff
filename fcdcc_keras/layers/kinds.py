"""The coded layers, each a Keras layer of the same arguments, weights and outputs."""

from __future__ import annotations

from typing import Any

import keras

from fcdcc_keras.layers.coded import CodedLayer
from fcdcc_keras.layers.families import (
    Connected,
    Convolving,
    Depthwise,
    Separable,
    Transposed,
)

_register = keras.saving.register_keras_serializable
_of: dict[type, type] = {}
_plain: dict[type, type] = {}


def _coded(kind: type) -> type:
    """Registers a coded layer with Keras, and with the Keras layer that it replaces."""
    plain = kind.__bases__[1]
    _of[plain] = kind
    name, kind.__name__ = kind.__name__, plain.__name__
    # Keras names weights in files by a layer's class: with the name of the Keras layer
    # each reads what the other wrote.
    for registered in (_register("fcdcc_keras")(kind), _named_as_before(kind, name)):
        _plain[registered] = plain
    return kind


def _named_as_before(kind: type, name: str) -> type:
    """Returns a layer by the name of ours that it had in files of older versions."""

    def load_own_variables(layer: Any, store: Any) -> None:
        object.__setattr__(layer, "__class__", kind)  # it has been found in the file
        layer.load_own_variables(store)

    before = type(name, (kind,), {"load_own_variables": load_own_variables})
    registered: type = _register("fcdcc_keras")(before)
    return registered


def coded_class(kind: type) -> type[CodedLayer] | None:
    """Returns the coded layer that replaces a Keras layer, itself for a coded one.

    None for any other class, derived ones among them: what they change is not known.
    """
    return _of.get(plain_class(kind))


def plain_class(kind: type) -> type:
    """Returns the Keras layer that a coded layer stands for, or the class itself."""
    return _plain.get(kind, kind)


@_coded
class CodedConv1D(Convolving, keras.layers.Conv1D):
    """A ``keras.layers.Conv1D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedConv2D(Convolving, keras.layers.Conv2D):
    """A ``keras.layers.Conv2D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedConv3D(Convolving, keras.layers.Conv3D):
    """A ``keras.layers.Conv3D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedDepthwiseConv1D(Depthwise, keras.layers.DepthwiseConv1D):
    """A ``keras.layers.DepthwiseConv1D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedDepthwiseConv2D(Depthwise, keras.layers.DepthwiseConv2D):
    """A ``keras.layers.DepthwiseConv2D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedSeparableConv1D(Separable, keras.layers.SeparableConv1D):
    """A ``keras.layers.SeparableConv1D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedSeparableConv2D(Separable, keras.layers.SeparableConv2D):
    """A ``keras.layers.SeparableConv2D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedConv1DTranspose(Transposed, keras.layers.Conv1DTranspose):
    """A ``keras.layers.Conv1DTranspose`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedConv2DTranspose(Transposed, keras.layers.Conv2DTranspose):
    """A ``keras.layers.Conv2DTranspose`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedConv3DTranspose(Transposed, keras.layers.Conv3DTranspose):
    """A ``keras.layers.Conv3DTranspose`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedDense(Connected, keras.layers.Dense):
    """A ``keras.layers.Dense`` that workers compute; see ``CodedLayer``."""
