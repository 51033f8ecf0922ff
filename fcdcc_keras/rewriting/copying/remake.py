"""Making one layer again from its configuration, as a layer like it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import keras

from fcdcc_keras.errors import PlanError
from fcdcc_keras.rewriting.copying.class_swap import plain_kind
from fcdcc_keras.rewriting.copying.stand_ins import configurations
from fcdcc_keras.rewriting.keras_internals import (
    Functional,
    is_own_list,
    layers_inside,
    noted_arguments,
    trusting,
)
from fcdcc_keras.rewriting.walk import walk
from fcdcc_keras.text import text_of

_BASES = (
    keras.Operation,
    keras.layers.Layer,
    keras.Model,
    Functional,
    keras.Sequential,
)
_OF_EVERY_LAYER = ("name", "trainable", "dtype")
"""What every layer's configuration has, and can be seen to afterwards."""


def remake(layer: Any) -> Any:
    """Returns a new layer, operation or model of the same class and configuration.

    Args:
        layer: Anything that a graph can hold. A coded layer is made again as a plain
            one.

    Raises:
        PlanError: Its class cannot be made again from its ``get_config``.
    """
    kind = plain_kind(layer)
    why = obstacle(layer)
    try:
        if why:
            raise NotImplementedError(why)
        made = _make(layer, kind)
    except Exception as error:
        raise PlanError(
            "Every layer of a model must be able to be made again from its "
            f"`get_config`. Received: {layer.name!r} of {kind}, which says "
            f"{text_of(error)}. Give its class a `get_config` with all "
            "arguments of its `__init__`."
        ) from error
    made.name = layer.name
    if hasattr(layer, "output_padding"):  # Keras up to 3.12 leaves it out
        made.output_padding = layer.output_padding
    if isinstance(layer, keras.layers.Layer):
        _check_type(layer, made)
        name_alike(layer, made)
    return made


def obstacle(layer: Any) -> str:
    """Returns why something cannot be made again from its configuration, or ""."""
    kind = plain_kind(layer)
    if not _own_config(kind):
        # Keras notes the arguments of layers, where they are plain data; of models
        # it notes the defaults.
        unknown = _left_out(kind, {}) if isinstance(layer, keras.Model) else []
        if unknown or noted_arguments(layer) is None:
            arguments = ", ".join(unknown) or "what it was made with"
            return f"{kind.__name__} has no `get_config` that gives {arguments}"
        return ""
    try:
        (config, *_), _ = configurations(layer)
    except Exception as error:
        text = text_of(error).partition("\n")[0]
        return f"{kind.__name__}.get_config raises {text}"
    missing = _left_out(kind, config)
    if missing and not _presets(layer, kind):
        return f"{kind.__name__}.get_config leaves out {', '.join(missing)}"
    return ""


def remake_object(thing: Any, kind: Any) -> Any:
    """Returns a new object of a class from the configuration of another object.

    Args:
        thing: A layer, an optimizer, a metric.
        kind: The class.

    Raises:
        Exception: Whatever the class raises, where that cannot be done.
    """
    with at_home(thing):
        configs, functions = configurations(thing)
        if not functions:
            return kind.from_config(*configs)
        for config in configs:
            with suppress(Exception), keras.saving.custom_object_scope(functions):
                return kind.from_config(config)
    # The class looks names up by itself, and does not know those given to functions.
    with at_home(thing):
        return kind.from_config(thing.get_config())


@contextmanager
def at_home(thing: Any) -> Iterator[None]:
    """Lets configurations be read that are of the user's own, which are alive.

    Their code needs no safe mode, and their classes no registration.
    """
    with trusting(), _classes_in(thing):
        yield


def pairs(layer: Any, made: Any) -> Iterator[tuple[Any, Any]]:
    """Yields each layer inside a layer with that in its copy; see ``partners``."""
    seen: set[tuple[int, int]] = set()

    def within(layer: Any, made: Any) -> Iterator[tuple[Any, Any]]:
        for inner, copy in partners(layer, made):
            if (id(inner), id(copy)) not in seen:
                seen.add((id(inner), id(copy)))
                yield inner, copy
                yield from within(inner, copy)

    if isinstance(layer, keras.layers.Layer):
        yield from within(layer, made)


def partners(layer: Any, made: Any) -> Iterator[tuple[Any, Any]]:
    """Yields each layer that a layer holds itself with that in its copy.

    They are of the same class, and in the same place: an attribute, an element of a
    list. A layer in several places is yielded with its copy in each. One that has no
    partner is left out.
    """
    copies = _places(made)
    for place, inner in _places(layer).items():
        copy = copies.get(place)
        if copy is not None and plain_kind(inner) is plain_kind(copy):
            yield inner, copy


def name_alike(layer: keras.layers.Layer, made: keras.layers.Layer) -> None:
    """Names the layers inside a copy as those inside the original.

    Names that Keras counts on would differ, and with them the paths in plans.
    """
    for original, copy in pairs(layer, made):
        copy.name = original.name


def _places(layer: keras.layers.Layer) -> dict[tuple[Any, ...], keras.layers.Layer]:
    """Returns the layers that a layer holds itself, by attribute and place in it."""
    held = layers_inside(layer)
    wanted = {id(inner) for inner in held}
    found: dict[tuple[Any, ...], keras.layers.Layer] = {}

    def look(value: Any, place: tuple[Any, ...]) -> None:
        if isinstance(value, keras.layers.Layer):
            # Keras 3.7 does not count what a model holds beside its graph.
            if id(value) in wanted or isinstance(layer, Functional):
                found[place] = value
        elif isinstance(value, dict):
            for key, inner in value.items():
                look(inner, (*place, key))
        elif isinstance(value, (list, tuple)):
            for i, inner in enumerate(value):
                look(inner, (*place, i))

    for name, value in vars(layer).items():
        # Keras's and TensorFlow's own lists have all of them once more.
        if not is_own_list(name):
            look(value, (name,))
    seen = {id(inner) for inner in found.values()}
    unseen = [inner for inner in held if id(inner) not in seen]
    return found | {("_layers", i): inner for i, inner in enumerate(unseen)}


def _make(layer: Any, kind: Any) -> Any:
    if not _own_config(kind):
        return kind(**_first_arguments(layer))
    if not _presets(layer, kind):
        return remake_object(layer, kind)
    made = kind(**_first_arguments(layer))
    if _as_configured(made) == _as_configured(layer):
        return made
    missing = _left_out(kind, layer.get_config())
    if missing:
        raise NotImplementedError(f"its configuration leaves out {', '.join(missing)}")
    return remake_object(layer, kind)


def _presets(layer: Any, kind: Any) -> bool:
    """Returns whether a layer's class presets arguments of one of Keras's.

    Then its configuration is that class's, with arguments that it may not take; but
    Keras has noted those that it was made with.
    """
    own = not _kerass(_definer(kind, "__init__"))
    inherited = _kerass(_definer(kind, "get_config"))
    return own and inherited and noted_arguments(layer) is not None


def _as_configured(layer: Any) -> str:
    later = ("name", "trainable")  # which are set afterwards
    config = layer.get_config()
    return str({key: value for key, value in config.items() if key not in later})


def _own_config(kind: Any) -> bool:
    """Returns whether a class says what it is made from, beyond Keras's guess."""
    return _definer(kind, "get_config") not in _BASES


def _first_arguments(layer: Any) -> dict[str, Any]:
    """Returns what a layer without a configuration of its own was made with."""
    arguments = noted_arguments(layer) or {}
    parameters = inspect.signature(type(layer).__init__).parameters.values()
    if any(p.name == "name" or p.kind is p.VAR_KEYWORD for p in parameters):
        arguments["name"] = layer.name
    return arguments


def _left_out(kind: Any, config: dict[str, Any]) -> list[str]:
    """Returns the arguments of a user's ``__init__`` that a configuration lacks.

    With their defaults the layer would be another, in silence.
    """
    if (
        _kerass(_definer(kind, "__init__"))
        or _definer(kind, "from_config") not in _BASES
    ):
        return []
    variable = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    _, *arguments = inspect.signature(kind.__init__).parameters.values()
    return [
        p.name
        for p in arguments
        if p.kind not in variable and p.name not in (*config, *_OF_EVERY_LAYER)
    ]


def _definer(kind: Any, name: str) -> Any:
    """Returns the class of which a class has a method."""
    return next(base for base in kind.__mro__ if name in vars(base))


def _kerass(kind: Any) -> bool:
    return bool(kind.__module__.partition(".")[0] == "keras")


def _check_type(layer: Any, made: Any) -> None:
    if made.dtype_policy.name != layer.dtype_policy.name:
        raise PlanError(
            "A layer that is made again must have its type again. Received: "
            f"{layer.name!r} of {type(layer)} with {layer.dtype_policy.name}, made "
            f"again with {made.dtype_policy.name}. Let its `__init__` take `dtype`, "
            "and pass it on."
        )


def _classes_in(layer: Any) -> Any:
    inside = walk(layer) if isinstance(layer, keras.layers.Layer) else ()
    kinds = [plain_kind(inner) for _, inner in inside]
    # Before Keras 3.8 its own layers, too, are no activations unless they are here.
    kinds.sort(key=_kerass, reverse=True)
    return keras.saving.custom_object_scope({kind.__name__: kind for kind in kinds})
