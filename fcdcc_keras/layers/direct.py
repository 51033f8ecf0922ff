"""Predictions that never enter TensorFlow's graph: of models that are one stretch.

To have a graph of many variables run takes longer than a small model does. What Keras
calls to predict is asked by ``Model.predict`` and ``predict_on_batch`` for one batch
after another; ``Model.__call__``, and whatever trains or evaluates, go Keras's way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fcdcc_keras.layers import graph_internals
from fcdcc_keras.layers.chained import ChainedGraph

Predict = Callable[[Sequence[Any]], Any]
"""Of a list of what iterators yield, as Keras has it."""

_KINDS = "fiu"
"""Of numbers that become floating-point ones as they are."""


def predict_directly(
    model: keras.Model, chained: Callable[[], ChainedGraph | None]
) -> None:
    """Has a model predict without TensorFlow's graph, where that can be.

    Args:
        model: The model, whose class predicts as Keras's does.
        chained: Gives what runs its graph now.
    """

    def made(traced: Predict) -> Predict:
        graph = chained()
        stretch = None if graph is None else graph.whole
        if graph is None or stretch is None or not stretch.readable:
            return traced
        if not stretch.source.unchanged():
            return traced
        if model.run_eagerly or tf.distribute.has_strategy():
            return traced
        return DirectPrediction(graph, traced)

    graph_internals.predict_by(model, made)


class DirectPrediction:
    """Predicts one batch after another."""

    def __init__(self, graph: ChainedGraph, traced: Predict) -> None:
        """Takes what predicts.

        Args:
            graph: What runs the model's graph.
            traced: Keras's own way, for all else.
        """
        self._graph, self._traced = graph, traced

    def __call__(self, data: Sequence[Any]) -> Any:
        """Returns the predictions, as Keras has them."""
        batch, *others = data
        if isinstance(batch, tuple) and len(batch) == 1:
            (batch,) = batch
        outputs = None if others else self._directly(batch)
        return self._traced(data) if outputs is None else outputs

    def _directly(self, inputs: Any) -> Any:
        """Returns the predictions for images; None where that cannot be."""
        stretch = self._graph.whole
        if stretch is None or graph_internals.in_scope():
            return None
        array = _images(inputs, stretch.entry)
        if array is None:
            return None
        return self._graph.packed(stretch.at_once(array))


def _images(inputs: Any, like: Any) -> np.ndarray | None:
    """Returns images that stay as they are; None where Keras has to see to them.

    Args:
        inputs: What a model is called with.
        like: The symbolic tensor of its input.
    """
    if isinstance(inputs, np.ndarray):
        array = inputs
    elif isinstance(inputs, tf.Tensor) and tf.executing_eagerly():
        if not inputs.dtype.is_numpy_compatible or graph_internals.is_masked(inputs):
            return None
        array = np.asarray(inputs)
    else:
        return None
    fits = array.size > 0 and array.ndim == len(like.shape)
    fits = fits and all(
        b in (None, a) for a, b in zip(array.shape, like.shape, strict=True)
    )
    if not fits or array.dtype.kind not in _KINDS:
        return None
    # Workers may be sent the caller's images, late ones after the caller has others.
    same = array.dtype == like.dtype and array.flags.c_contiguous
    return (
        array
        if same and inputs is not array
        else np.array(array, like.dtype, order="C")
    )
