"""Walking through a model's layers, nested ones included."""

from __future__ import annotations

from collections.abc import Iterator

import keras

from fcdcc_keras.rewriting.keras_internals import Functional, layers_inside, takes_graph

_RUN = ("call", "__call__")


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
    for layer in layers_inside(parent):
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        path = f"{prefix}{layer.name}"
        yield path, layer
        yield from _walk(layer, f"{path}/", seen)


def is_graph(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer is a model that its list of layers describes.

    A model of a user's class is one where the class takes the same arguments as
    Keras's own; others make their layers themselves.
    """
    kind = type(layer)
    if isinstance(layer, keras.Sequential):
        plain = keras.Sequential.__init__
        return bool(
            kind.get_config is keras.Sequential.get_config and kind.__init__ is plain
        )
    if isinstance(layer, Functional):
        return bool(kind.get_config is Functional.get_config and takes_graph(kind))
    return False


def runs_as_kerass(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer runs as its class says, and a graph as Keras runs one.

    A function may stand in place of a layer's method, and a class of models may call
    its graph otherwise than Keras, or not at all.
    """
    own, kind = vars(layer), type(layer)
    if isinstance(layer, keras.Model):
        plain = keras.Sequential if isinstance(layer, keras.Sequential) else Functional
        same = all(getattr(kind, n) is getattr(plain, n) for n in _RUN)
        return same and own.keys().isdisjoint(_RUN)
    # Keras wraps two methods of every layer.
    methods = {name for name in own if callable(getattr(kind, name, None))}
    return methods <= {"build", "quantize"}


def makers(model: keras.Model) -> dict[int, keras.layers.Layer]:
    """Returns, for layers that another layer made, the outermost such layer.

    The configuration of a graph lists its layers; what else a layer or model of a
    user's class holds, its code makes anew from its own configuration.

    Returns:
        The maker by the ``id`` of each layer that has one. A layer that stands in a
        graph too has none.
    """
    in_graphs: set[int] = set()
    found: dict[int, keras.layers.Layer] = {}

    def visit(parent: keras.layers.Layer, maker: keras.layers.Layer | None) -> None:
        if maker is None and not is_graph(parent):
            maker = parent
        for layer in layers_inside(parent):
            if maker is None:
                in_graphs.add(id(layer))
            elif id(layer) in found:
                continue
            else:
                found[id(layer)] = maker
            visit(layer, maker)

    visit(model, None)
    return {key: maker for key, maker in found.items() if key not in in_graphs}
