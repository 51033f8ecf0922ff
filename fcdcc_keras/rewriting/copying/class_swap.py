"""Class swap: a Keras layer becomes a coded one, or plain again, where it stands.

A coded layer has the attributes, weights and configuration of its plain class, so
that only the class itself is to be exchanged. Whatever refers to the layer, a graph,
a list, a closure, keeps doing so.
"""

from __future__ import annotations

from typing import Any

import keras

from fcdcc_keras.layers import CodedLayer, coded_class, plain_class
from fcdcc_keras.rewriting.walk import walk


def plain_kind(layer: Any) -> Any:
    """Returns the class of a layer; of a coded one, that which it stands for."""
    return plain_class(type(layer))


def make_coded(layer: Any) -> None:
    """Makes a plain layer a coded one that no cluster is behind yet."""
    if not isinstance(layer, CodedLayer):
        object.__setattr__(layer, "__class__", coded_class(type(layer)))
        layer.start()


def coded_layers(model: keras.Model) -> list[Any]:
    """Returns the coded layers of a model, in order."""
    return [layer for _, layer in walk(model) if isinstance(layer, CodedLayer)]
