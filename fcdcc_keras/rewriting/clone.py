"""Making the coded model: the same architecture and weights, coded layers in it."""

from __future__ import annotations

from typing import Any

import keras

from fcdcc_keras.layers import CodedConv2D
from fcdcc_keras.planning import Plan
from fcdcc_keras.rewriting.walk import walk


def clone_with_coded_layers(
    model: keras.Model, plan: Plan
) -> tuple[keras.Model, dict[str, CodedConv2D]]:
    """Returns a copy of a model in which the planned layers are coded ones.

    Args:
        model: The model; it is not changed.
        plan: Names the layers to exchange.

    Returns:
        The copy, with the model's weights and compiled as the model is, and its
        coded layers by path.
    """
    paths = {id(layer): path for path, layer in walk(model)}
    planned = {layer.path for layer in plan.layers}
    clones: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []
    coded: dict[str, CodedConv2D] = {}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind, config = type(layer), layer.get_config()
        path = paths.get(id(layer))
        if path in planned:
            kind = CodedConv2D
        elif kind is CodedConv2D:
            kind = keras.layers.Conv2D
        copy = kind.from_config(config)
        clones.append((layer, copy))
        if path is not None and path in planned:
            coded[path] = copy
        return copy

    copy = keras.models.clone_model(
        model,
        input_tensors=_inputs_like(model),
        clone_function=clone,
        recursive=True,
    )
    for original, cloned in clones:
        if original.weights:
            cloned.set_weights(original.get_weights())
    return copy, coded


def _inputs_like(model: keras.Model) -> Any:
    """Returns new inputs under the old names, by which users pass dictionaries."""
    if isinstance(model, keras.Sequential):
        return None  # cloning keeps the name of its one input
    return keras.tree.map_structure(
        lambda tensor: keras.Input(
            batch_shape=tensor.shape,
            dtype=tensor.dtype,
            sparse=tensor.sparse,
            name=tensor._keras_history.operation.name,
        ),
        model.input,
    )
