"""Walking through a model's layers, nested ones included."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras.src.models import Functional


def walk(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields each layer once with its path, in the model's order.

    A path is the layer's name after the names of the models and layers that it
    stands in, joined by "/". Models and wrapping layers come before what they
    hold.
    """
    yield from _walk(model, "", set())


def _walk(
    parent: keras.layers.Layer, prefix: str, seen: set[int]
) -> Iterator[tuple[str, keras.layers.Layer]]:
    for layer in parent._flatten_layers(include_self=False, recursive=False):
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        path = f"{prefix}{layer.name}"
        yield path, layer
        yield from _walk(layer, f"{path}/", seen)


def is_graph(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer is a model whose layers can be exchanged."""
    return isinstance(layer, keras.Sequential | Functional)
