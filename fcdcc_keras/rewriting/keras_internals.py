"""All that is used of Keras beyond its documentation; see ``undocumented``.

Documented, and so used anywhere: ``keras.Operation``, ``get_config``,
``get_build_config``, ``build_from_config``, ``save_own_variables``, ``supports_jit``.
Used here, for lack of a documented way to what each gives:

- ``keras.src``: the class of functional models, whether a class takes its arguments,
  and the scope in which configurations of a live model are read.
- ``Layer._flatten_layers``: the layers inside a layer, which only models list.
- ``Layer._inbound_nodes``, ``KerasTensor._keras_history``: how a graph uses a layer,
  and with what other arguments; ``Operation.input`` raises for one that is used twice.
- ``keras.src.applications``: the module of the layers that some of Keras's example
  networks have of their own.
- ``Sequential._functional``: the functional model that a sequential one runs.
- ``Operation._auto_config``, ``Model._compile_config``: the arguments of ``__init__``
  where a class has another's ``get_config``, and those of ``compile`` as objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import keras

from fcdcc_keras.undocumented import changed

try:
    from keras.src.models import functional as functionals
    from keras.src.saving.serialization_lib import SafeModeScope
except ImportError as error:
    raise changed("keras", f"`keras.src` has what it had ({error})") from error

Functional = functionals.Functional
"""The class of ``keras.Model(inputs, outputs)``."""


def takes_graph(kind: type) -> bool:
    """Returns whether a class takes just the arguments of a functional model."""
    return bool(functionals.functional_like_constructor(kind))


def trusting() -> AbstractContextManager[None]:
    """Has configurations be read that hold code."""
    scope: AbstractContextManager[None] = SafeModeScope(safe_mode=False)
    return scope


def layers_inside(
    layer: keras.layers.Layer, recursive: bool = False
) -> list[keras.layers.Layer]:
    """Returns the layers that a layer or model holds, in order.

    Args:
        layer: The layer, which is not among them.
        recursive: Whether those that they hold are, too.
    """
    with _assumed("`Layer._flatten_layers(include_self, recursive)` lists layers"):
        inside = layer._flatten_layers(include_self=False, recursive=recursive)
    return list(inside)


def is_own_list(attribute: str) -> bool:
    """Returns whether an attribute of a layer lists what other attributes have."""
    return attribute == "_layers" or attribute.startswith("_self_")


def uses(layer: keras.layers.Layer) -> list[tuple[list[Any], list[Any]]]:
    """Returns for each use of a layer in a graph the tensors in and out."""
    with _assumed("`Layer._inbound_nodes` have `input_tensors` and `output_tensors`"):
        nodes = layer._inbound_nodes
        return [(list(n.input_tensors), list(n.output_tensors)) for n in nodes]


def arguments(operation: Any, tensor: Any) -> list[Any]:
    """Returns what an operation was called with where it yielded a tensor."""
    args, kwargs = called_with(operation, tensor)
    return [*args, *kwargs.values()]


def called_with(operation: Any, tensor: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns the same as it was given, by place and by name."""
    with _assumed("`Operation._inbound_nodes` have `arguments` with `args`"):
        for node in operation._inbound_nodes:
            if any(one is tensor for one in node.output_tensors):
                return tuple(node.arguments.args), dict(node.arguments.kwargs)
        raise TypeError("no node yields it")


def functional(model: Any) -> Any:
    """Returns the functional model that runs a model's graph: itself, or a part."""
    if not isinstance(model, keras.Sequential):
        return model
    with _assumed("`Sequential._functional` is what runs its layers"):
        return model._functional


def origin(tensor: Any) -> Any:
    """Returns the layer or operation whose output a symbolic tensor is."""
    with _assumed("`KerasTensor._keras_history` has the `operation`"):
        return tensor._keras_history.operation


def example_layer(kind: type) -> str:
    """Returns the name of a layer of Keras's example networks alone; "" for others."""
    own = kind.__module__.startswith("keras.src.applications.")
    return kind.__name__ if own else ""


def noted_arguments(layer: Any) -> dict[str, Any] | None:
    """Returns the arguments that a layer or operation was made with.

    None where Keras did not note them, since not all are plain data.
    """
    with _assumed("`Operation._auto_config` has the arguments as its `config`"):
        noted = layer._auto_config
        return None if noted is None else dict(noted.config)


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Returns the arguments that a model was compiled with, as objects."""
    with _assumed("`Model._compile_config` has the arguments as its `config`"):
        return dict(model._compile_config.config)


@contextmanager
def _assumed(what: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, TypeError) as error:
        raise changed("keras", f"{what} ({error})") from error
