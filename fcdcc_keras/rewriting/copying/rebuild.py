"""Making a model again: the same classes, weights and outputs, nothing in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from warnings import warn

import keras

from fcdcc_keras.errors import PlanError
from fcdcc_keras.rewriting.copying.remake import pairs, partners, remake
from fcdcc_keras.rewriting.copying.state import copy_state
from fcdcc_keras.rewriting.keras_internals import layers_inside, origin
from fcdcc_keras.rewriting.walk import is_graph, walk


def rebuild(model: keras.Model) -> tuple[keras.Model, dict[str, keras.layers.Layer]]:
    """Returns a copy of a model, without coded layers.

    Graphs are copied layer by layer. A layer or model that makes its own layers is
    made again from its configuration, and so makes them again.

    Args:
        model: The model; it is not changed.

    Returns:
        The copy, with the model's weights and other state, not compiled; and its layers
        by the paths of those that they are copies of. A layer that the copy's code did
        not make again is not among them.

    Raises:
        PlanError: A layer cannot be made again from its configuration.
    """
    copier = _Copier()
    with _not_compiled(model):
        copy = copier.copy(model)
    if not copy.built:
        _build_like(copy, model)
    copier.copy_beside_graphs()
    copy_state(copier.made_again, copier.graphs)
    _check_ties(copy, model)
    copies: dict[int, Any] = {}
    for original, made in copier.made_again:
        # Of what was shared, and is not in the copy, the first place has the layer.
        for x, y in ((original, made), *pairs(original, made)):
            copies.setdefault(id(x), y)
    copies |= {id(original): made for original, made in copier.graphs}
    paths = ((path, copies.get(id(layer))) for path, layer in walk(model))
    return copy, {path: layer for path, layer in paths if layer is not None}


class _Copier:
    """Copies layers, each once, however often and deep it occurs."""

    def __init__(self) -> None:
        self.made_again: list[tuple[Any, Any]] = []
        """Layers and their copies from the configuration."""
        self.graphs: list[tuple[Any, Any]] = []
        """Models and their copies from copies of their layers."""
        self._made: dict[int, Any] = {}

    def copy(self, layer: Any) -> Any:
        """Returns the copy of a layer, an operation, or a nested model."""
        if id(layer) not in self._made:
            graph = is_graph(layer)
            made = self._copy_graph(layer) if graph else remake(layer)
            self._made[id(layer)] = made
            if isinstance(layer, keras.layers.Layer):
                (self.graphs if graph else self.made_again).append((layer, made))
        return self._made[id(layer)]

    def copy_beside_graphs(self) -> None:
        """Notes what models hold beside their graphs; their classes made it again."""
        for model, copy in self.graphs:
            for layer, made in partners(model, copy):
                if id(layer) not in self._made:
                    self._made[id(layer)] = made
                    self.made_again.append((layer, made))

    def _copy_graph(self, model: keras.Model) -> keras.Model:
        if not isinstance(model, keras.Sequential):
            return keras.models.clone_model(
                model,
                input_tensors=keras.tree.map_structure(_input_like, model.input),
                clone_function=self.copy,
            )
        # Cloning would make a plain Sequential of a user's class.
        layers = [self.copy(layer) for layer in model.layers]
        first = layers_inside(model)[0]
        if isinstance(first, keras.layers.InputLayer):
            layers.insert(0, _input_like(first.output))
        return type(model)(layers, name=model.name)


def _input_like(tensor: Any) -> Any:
    """Returns a new input under the old name, by which users pass dictionaries."""
    layer = origin(tensor)
    # Keras 3.7 leaves out of the configuration whether it is optional.
    config = layer.get_config() | {"optional": layer.optional}
    return keras.layers.InputLayer(**config).output


def _build_like(copy: keras.Model, model: keras.Model) -> None:
    """Builds a copy for the shapes that the model was built for."""
    shapes = model.get_build_config()
    copy.build_from_config(shapes)
    copy.built = True
    if len(copy.weights) < len(model.weights):
        raise PlanError(
            "A model must be able to be built again from the shapes that it was built "
            f"for. Received: {model.name!r} of {type(model)}, built for {shapes}. Give "
            "its class `get_build_config` and `build_from_config`."
        )


def _check_ties(copy: keras.Model, model: keras.Model) -> None:
    """Warns where the copy has a weight several times that the model has once."""
    more = len(copy.weights) - len(model.weights)
    if more > 0:
        warn(
            f"The coded copy of {model.name!r} computes the same, but trains {more} "
            "weights apart that are shared in the model: the copy has a layer several "
            "times that several configurations name. Share it in a functional model, "
            "or have the layer around them make it in its `__init__`.",
            stacklevel=2,
        )


@contextmanager
def _not_compiled(model: keras.Model) -> Iterator[None]:
    """Keeps Keras from compiling copies through JSON, which loses user functions."""
    compiled = [m for _, m in walk(model) if getattr(m, "compiled", False)]
    compiled += [model] if model.compiled else []
    for m in compiled:
        m.compiled = False
    try:
        yield
    finally:
        for m in compiled:
            m.compiled = True
