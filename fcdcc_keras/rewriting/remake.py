"""Making one layer again from its configuration, as a layer like it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import keras
from keras.src.models import Functional
from keras.src.ops.operation import Operation
from keras.src.saving.serialization_lib import SafeModeScope

from fcdcc_keras.errors import PlanError
from fcdcc_keras.rewriting.exchange import plain_kind
from fcdcc_keras.rewriting.walk import walk

_BASES = (Operation, keras.layers.Layer, keras.Model, Functional, keras.Sequential)
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
        # The layer is the user's own, alive: its code needs no safe mode, and
        # its classes no registration.
        with SafeModeScope(safe_mode=False), _classes_in(layer):
            if _own_config(kind):
                made = kind.from_config(layer.get_config())
            else:
                made = kind(**_first_arguments(layer))
    except Exception as error:
        raise PlanError(
            "Every layer of a model must be able to be made again from its "
            f"`get_config`. Received: {layer.name!r} of {kind}, which says "
            f"{type(error).__name__}: {error}. Give its class a `get_config` with all "
            "arguments of its `__init__`."
        ) from error
    made.name = layer.name
    if hasattr(layer, "output_padding"):  # Keras up to 3.12 leaves it out
        made.output_padding = layer.output_padding
    if isinstance(layer, keras.layers.Layer):
        _check_type(layer, made)
        if made.trainable != layer.trainable:
            made.trainable = layer.trainable
        name_alike(layer, made)
    return made


def obstacle(layer: Any) -> str:
    """Returns why something cannot be made again from its configuration, or ""."""
    kind = plain_kind(layer)
    if not _own_config(kind):
        # Keras notes the arguments of layers, where they are plain data; of models
        # it notes the defaults.
        unknown = _left_out(kind, {}) if isinstance(layer, keras.Model) else []
        if unknown or getattr(layer, "_auto_config", None) is None:
            arguments = ", ".join(unknown) or "what it was made with"
            return f"{kind.__name__} has no `get_config` that gives {arguments}"
        return ""
    try:
        config = layer.get_config()
    except Exception as error:
        text = str(error).strip().partition("\n")[0]
        return f"{kind.__name__}.get_config raises {type(error).__name__}: {text}"
    missing = _left_out(kind, config)
    if missing:
        return f"{kind.__name__}.get_config leaves out {', '.join(missing)}"
    return ""


def alike(layer: Any, made: Any) -> Iterator[tuple[Any, Any]]:
    """Yields each layer inside a layer, and that in its copy; none if they differ."""
    if not isinstance(layer, keras.layers.Layer):
        return
    inside = [inner for _, inner in walk(layer)]
    copies = [inner for _, inner in walk(made)]
    if [plain_kind(inner) for inner in inside] == [plain_kind(c) for c in copies]:
        yield from zip(inside, copies, strict=True)


def name_alike(layer: keras.layers.Layer, made: keras.layers.Layer) -> None:
    """Names the layers inside a copy as those inside the original.

    Names that Keras counts on would differ, and with them the paths in plans.
    """
    for original, copy in alike(layer, made):
        copy.name = original.name


def _own_config(kind: Any) -> bool:
    """Returns whether a class says what it is made from, beyond Keras's guess."""
    return _definer(kind, "get_config") not in _BASES


def _first_arguments(layer: Any) -> dict[str, Any]:
    """Returns what a layer without a configuration of its own was made with."""
    arguments = dict(layer._auto_config.config)
    parameters = inspect.signature(type(layer).__init__).parameters.values()
    if any(p.name == "name" or p.kind is p.VAR_KEYWORD for p in parameters):
        arguments["name"] = layer.name
    return arguments


def _left_out(kind: Any, config: dict[str, Any]) -> list[str]:
    """Returns the arguments of a user's ``__init__`` that a configuration lacks.

    With their defaults the layer would be another, in silence.
    """
    keras_own = _definer(kind, "__init__").__module__.partition(".")[0] == "keras"
    if keras_own or _definer(kind, "from_config") not in _BASES:
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
    kinds = {plain_kind(inner) for _, inner in inside}
    own = {k.__name__: k for k in kinds if k.__module__.partition(".")[0] != "keras"}
    return keras.saving.custom_object_scope(own)
