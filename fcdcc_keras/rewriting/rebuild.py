"""Making a model again: the same classes, weights and outputs, nothing in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from fcdcc_keras.errors import PlanError
from fcdcc_keras.rewriting.remake import alike, name_alike, remake
from fcdcc_keras.rewriting.walk import is_graph, walk


def rebuild(model: keras.Model) -> tuple[keras.Model, dict[str, keras.layers.Layer]]:
    """Returns a copy of a model, without coded layers.

    Graphs are copied layer by layer. A layer or model that makes its own layers is
    made again from its configuration, and so makes them again.

    Args:
        model: The model; it is not changed.

    Returns:
        The copy, with the model's weights, not compiled; and its layers by the paths
        of those that they are copies of. A layer that the copy's code did not make
        again is not among them.

    Raises:
        PlanError: A layer cannot be made again from its configuration.
    """
    copier = _Copier()
    with _not_compiled(model):
        copy = copier.copy(model)
    if not copy.built:
        _build_like(copy, model)
    for original, made in copier.pairs:
        _copy_weights(original, made)
    copies: dict[int, Any] = {}
    for original, made in copier.pairs:
        copies |= {id(x): y for x, y in alike(original, made)}
        copies[id(original)] = made
    paths = ((path, copies.get(id(layer))) for path, layer in walk(model))
    return copy, {path: layer for path, layer in paths if layer is not None}


class _Copier:
    """Copies layers, each once, however often and deep it occurs."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Any, Any]] = []
        """Originals and copies of all that is no graph."""
        self._made: dict[int, Any] = {}

    def copy(self, layer: Any) -> Any:
        """Returns the copy of a layer, an operation, or a nested model."""
        if id(layer) not in self._made:
            if is_graph(layer):
                self._made[id(layer)] = self._copy_graph(layer)
            else:
                self._made[id(layer)] = remake(layer)
                self.pairs.append((layer, self._made[id(layer)]))
        return self._made[id(layer)]

    def _copy_graph(self, model: keras.Model) -> keras.Model:
        if not isinstance(model, keras.Sequential):
            return keras.models.clone_model(
                model, input_tensors=_inputs_like(model), clone_function=self.copy
            )
        # Cloning would make a plain Sequential of a user's class.
        layers = [self.copy(layer) for layer in model.layers]
        first = model._layers[0]
        if isinstance(first, keras.layers.InputLayer):
            layers.insert(0, keras.layers.InputLayer.from_config(first.get_config()))
        return type(model)(layers, name=model.name, trainable=model.trainable)


def _build_like(copy: keras.Model, model: keras.Model) -> None:
    """Builds a copy for the shapes that the model was built for."""
    shapes = model.get_build_config()
    copy.build_from_config(shapes)
    copy.built = True
    if len(copy.weights) != len(model.weights):
        raise PlanError(
            "A model must be able to be built again from the shapes that it was built "
            f"for. Received: {model.name!r} of {type(model)}, built for {shapes}. Give "
            "its class `get_build_config` and `build_from_config`."
        )


def _copy_weights(original: Any, made: Any) -> None:
    if not getattr(original, "weights", None):  # operations have none
        return
    values = original.get_weights()
    if getattr(original, "quantization_mode", None) is not None:
        # Built as a quantized one, a layer has its weights in another order.
        named = {w.name: v for w, v in zip(original.weights, values, strict=True)}
        values = [named[weight.name] for weight in made.weights]
    try:
        made.set_weights(values)
    except ValueError as error:
        raise PlanError(
            "A layer that is made again from its `get_config` must have the same "
            f"weights. Received: {original.name!r} of {type(original)}; {error} Give "
            "its class a `get_config` with all arguments of its `__init__`."
        ) from error
    name_alike(original, made)  # those too that it made while it was built
    for layer in made._flatten_layers():
        # Preprocessing layers derive constants from their weights, once.
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def compile_like(copy: keras.Model, model: keras.Model) -> None:
    """Compiles a copy as the model is, with an optimizer and metrics of its own."""
    if model.compiled:
        copy.compile(**_compile_arguments(model))


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
    return keras.tree.map_structure(
        lambda tensor: keras.Input(
            batch_shape=tensor.shape,
            dtype=tensor.dtype,
            sparse=tensor.sparse,
            name=tensor._keras_history.operation.name,
        ),
        model.input,
    )
