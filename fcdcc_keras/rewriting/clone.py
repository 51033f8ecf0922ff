"""Making the coded model: the same architecture and weights, coded layers in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.saving.serialization_lib import SafeModeScope

from fcdcc_keras.errors import PlanError
from fcdcc_keras.layers import CodedLayer, coded_class, plain_class
from fcdcc_keras.planning import Plan
from fcdcc_keras.rewriting.walk import walk


def clone_with_coded_layers(
    model: keras.Model, plan: Plan
) -> tuple[keras.Model, dict[str, CodedLayer]]:
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
    clones: list[tuple[Any, Any]] = []
    coded: dict[str, CodedLayer] = {}

    def clone(layer: Any) -> Any:
        path = paths.get(id(layer))
        kind: Any = plain_class(type(layer))
        if path in planned:
            kind = coded_class(kind)
        try:
            # The layer is the user's own, alive: its code needs no safe mode.
            with SafeModeScope(safe_mode=False):
                copy = kind.from_config(layer.get_config())
        except Exception as error:
            raise PlanError(
                "Every layer of a model must be able to be made again from its "
                f"`get_config`. Received: {layer.name!r} of {kind}, which says "
                f"{type(error).__name__}: {error}. Give its class a `get_config`."
            ) from error
        clones.append((layer, copy))
        if path is not None and path in planned:
            coded[path] = copy
        return copy

    with _not_compiled(model):
        copy = keras.models.clone_model(
            model,
            input_tensors=_inputs_like(model),
            clone_function=clone,
            recursive=True,
        )
    for original, cloned in clones:
        _copy_weights(original, cloned)
    if model.compiled:
        copy.compile(**_compile_arguments(model))
    return copy, coded


def _copy_weights(original: Any, cloned: Any) -> None:
    if getattr(original, "weights", None):  # operations have none
        cloned.set_weights(original.get_weights())
        for layer in cloned._flatten_layers():
            # Preprocessing layers derive constants from their weights, once.
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()


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


def _compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Returns what a model was compiled with, with an optimizer and metrics anew."""
    stateful = (keras.optimizers.Optimizer, keras.metrics.Metric)

    def anew(value: Any) -> Any:
        if isinstance(value, stateful):
            return type(value).from_config(value.get_config())
        return value

    arguments = dict(model._compile_config.config)
    return {
        name: keras.tree.map_structure(anew, value) for name, value in arguments.items()
    }


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
