"""Users' functions in configurations, which can carry names alone.

A lambda, a ``functools.partial``, a function that nobody registered, or that has the
name of another one: Keras writes a name or nothing, and finds another or nothing by it.
Within one process no names are needed. A double of the layer has a stand-in for each
such function, with a name of its own, by which the function itself is found.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import keras

from fcdcc_keras.rewriting.keras_internals import Functional

_WITH_CONFIG = (keras.Operation, keras.optimizers.Optimizer, keras.metrics.Metric)


def configurations(thing: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Returns the configuration of a layer, an optimizer or a metric.

    Returns:
        Its configurations: where it gives functions as such, one that has them, and one
        that names them; classes take one or the other. And the functions by name, for
        ``keras.saving.custom_object_scope``; none where users' functions are not held.
    """
    doubles = _Doubles(thing)
    double = doubles.of(thing)
    if doubles.functions:
        with suppress(Exception):  # which the original may not raise
            config = double.get_config()
            name = keras.saving.serialize_keras_object
            given = doubles.replaced(config, lambda x: doubles.functions[x.__name__])
            return [given, doubles.replaced(config, name)], doubles.functions
    return [thing.get_config()], {}


def compile_configuration(model: keras.Model) -> tuple[Any, dict[str, Any]]:
    """Returns how a model was compiled, as Keras writes it, and functions by name."""
    doubles = _Doubles(model)
    config = doubles.of(model).get_compile_config()
    return keras.saving.serialize_keras_object(config), doubles.functions


class _Doubles:
    """Makes the doubles of a layer and of what it holds, each once."""

    def __init__(self, top: Any) -> None:
        self.functions: dict[str, Any] = {}
        self._top = top
        self._made: dict[int, Any] = {}
        self._stand_ins: list[Any] = []

    def of(self, value: Any) -> Any:
        """Returns what a double has for what an original has."""
        if isinstance(value, _WITH_CONFIG):
            if value is self._top or isinstance(value, _WITH_CONFIG[1:]):
                return self._double(value)
            # The configuration of a graph goes by the identity of its layers.
            graph = isinstance(self._top, Functional) or isinstance(value, Functional)
            return value if graph else self._double(value)
        if isinstance(value, list):
            return [self.of(x) for x in value]
        if isinstance(value, dict):
            return {key: self.of(x) for key, x in value.items()}
        if type(value) is tuple:
            return tuple(self.of(x) for x in value)
        return self._stand_in(value) if _users_function(value) else value

    def replaced(self, config: Any, by: Callable[[Any], Any]) -> Any:
        """Returns a configuration with other things in place of stand-ins."""
        if isinstance(config, dict):
            return {key: self.replaced(x, by) for key, x in config.items()}
        if type(config) in (list, tuple):
            return type(config)(self.replaced(x, by) for x in config)
        return by(config) if any(config is x for x in self._stand_ins) else config

    def _double(self, thing: Any) -> Any:
        if id(thing) not in self._made:
            kind = type(thing)
            double = self._made[id(thing)] = object.__new__(kind)
            for name, value in vars(thing).items():
                method = callable(getattr(kind, name, None))  # that Keras has wrapped
                vars(double)[name] = value if method else self.of(value)
        return self._made[id(thing)]

    def _stand_in(self, function: Callable[..., Any]) -> Any:
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        stand_in.__name__ = f"users_function_{len(self.functions)}"
        self.functions[stand_in.__name__] = function
        self._stand_ins.append(stand_in)
        return stand_in


def _users_function(value: Any) -> bool:
    if not callable(value) or isinstance(value, type):
        return False
    module = getattr(value, "__module__", None) or ""
    return str(module).partition(".")[0] not in ("keras", "fcdcc_keras")
