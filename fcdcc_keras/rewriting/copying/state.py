"""Copying what layers have beside their configuration, from layer to layer.

Weights; what a layer keeps elsewhere, by Keras's own protocol for it, which is that
of its files; seeds; and what is trained, which each layer and weight says for itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from fcdcc_keras.errors import PlanError
from fcdcc_keras.layers import coded_class
from fcdcc_keras.rewriting.copying.remake import name_alike, pairs
from fcdcc_keras.rewriting.keras_internals import layers_inside
from fcdcc_keras.text import text_of

Pair = tuple[Any, Any]


def copy_state(made_again: Iterable[Pair], graphs: Iterable[Pair]) -> None:
    """Gives copies the state of their originals.

    Args:
        made_again: Layers and their copies, which made the layers inside them.
        graphs: Models and their copies, which hold copies of the model's layers.

    Raises:
        PlanError: A copy cannot have the state of its original.
    """
    made_again, graphs = list(made_again), list(graphs)
    every: dict[tuple[int, int], Pair] = {}
    for whole in made_again:
        every |= {(id(x), id(y)): (x, y) for x, y in (whole, *pairs(*whole))}
    for original, made in every.values():
        try:
            if original.built and not made.built:
                made.build_from_config(original.get_build_config())
            _copy_elsewhere(original, made)
        except Exception as error:
            raise PlanError(
                "A layer must take the state of another one of its class and "
                f"configuration. Received: {original.name!r} of {type(original)}, "
                f"which says {text_of(error)}. See to its "
                "`build_from_config`, `load_own_variables` and `load_assets`."
            ) from error
    for original, made in made_again:
        _copy_weights(original, made)
        name_alike(original, made)  # those too that it made while it was built
    for original, made in graphs:
        _copy_own_weights(original, made)
    _copy_trainable([*graphs, *every.values()])
    for original, made in made_again:
        # Those too of layers that have no partner.
        if len(original.weights) == len(made.weights):
            _copy_trained(original.weights, made.weights)


def _copy_elsewhere(original: Any, made: Any) -> None:
    """Copies what a layer saves in files in a way of its own."""
    kind, plain = type(original), keras.layers.Layer
    if coded_class(kind) is None and (
        kind.save_own_variables is not plain.save_own_variables
        or kind.load_own_variables is not plain.load_own_variables
    ):
        # Those that can be coded have weights alone, and would merge LoRA's.
        store = _Store()
        original.save_own_variables(store)
        made.load_own_variables(store)
    if not hasattr(original, "save_assets") or _same_words(original, made):
        return  # Keras does not read an empty vocabulary, which layers begin with
    with TemporaryDirectory() as folder:
        original.save_assets(folder)
        made.load_assets(folder)
    if _same_words(original, made) is False:  # Keras's files have a word a line
        raise ValueError("a word of its vocabulary has an end of a line in it")


def _same_words(original: Any, made: Any) -> bool | None:
    """Returns whether two layers have the same vocabulary; None if they have none."""
    if not hasattr(original, "get_vocabulary"):
        return None
    return bool(original.get_vocabulary() == made.get_vocabulary())


class _Store(dict[str, Any]):
    """Where a layer saves its variables; gives arrays back, as files do."""

    def __setitem__(self, key: str, value: Any) -> None:
        value = value.numpy() if hasattr(value, "numpy") else value
        super().__setitem__(key, np.asarray(value))


def _copy_weights(original: Any, made: Any) -> None:
    shapes = [w.shape for w in original.weights]
    quantized = any(
        map(_is_quantized, [original, *layers_inside(original, recursive=True)])
    )
    if not quantized and shapes == [w.shape for w in made.weights]:
        for weight, copy in zip(original.weights, made.weights, strict=True):
            copy.assign(weight)
    elif not _copied_one_by_one(original, made):
        raise PlanError(
            "A layer that is made again from its `get_config` must have the same "
            f"weights. Received: {original.name!r} of {type(original)} with weights of "
            f"{shapes}, made again with {[w.shape for w in made.weights]}. Give its "
            "class a `get_config` with all arguments of its `__init__`."
        )
    seeds, copies = _seeds(original), _seeds(made)
    if len(seeds) == len(copies):
        for seed, copy in zip(seeds, copies, strict=True):
            copy.assign(seed)


def _copied_one_by_one(original: Any, made: Any) -> bool:
    """Copies weights between the layers inside; returns whether that were all."""
    copied: set[int] = set()
    for inner, copy in [(original, made), *pairs(original, made)]:
        copied |= _copy_own_weights(inner, copy)
    return copied == {id(weight) for weight in made.weights}


def _copy_own_weights(original: Any, made: Any) -> set[int]:
    """Copies what no layer inside has; returns the ``id`` of each copied weight."""
    weights, copies = _own_weights(original), _own_weights(made)
    if [w.shape for w in weights] != [w.shape for w in copies]:
        return set()
    for weight, copy in zip(weights, copies, strict=True):
        copy.assign(weight)
    return {id(copy) for copy in copies}


def _own_weights(layer: Any) -> list[Any]:
    inside = layers_inside(layer)
    others = {id(weight) for inner in inside for weight in inner.weights}
    own = [weight for weight in layer.weights if id(weight) not in others]
    # Built as a quantized one, a layer has its weights in another order.
    return sorted(own, key=lambda w: w.name) if _is_quantized(layer) else own


def _is_quantized(layer: Any) -> bool:
    return getattr(layer, "quantization_mode", None) is not None


def _seeds(layer: Any) -> list[Any]:
    weights = {id(weight) for weight in layer.weights}
    return [v for v in layer.variables if id(v) not in weights]


def _copy_trainable(every: list[Pair]) -> None:
    # Setting it sets it for all inside, too: so those come later.
    every.sort(key=lambda pair: -len(layers_inside(pair[1], recursive=True)))
    for original, made in every:
        if made.trainable != original.trainable:
            made.trainable = original.trainable
    for original, made in every:
        weights, copies = _own_weights(original), _own_weights(made)
        if len(weights) == len(copies):
            _copy_trained(weights, copies)


def _copy_trained(weights: list[Any], copies: list[Any]) -> None:
    for weight, copy in zip(weights, copies, strict=True):
        copy.trainable = weight.trainable
