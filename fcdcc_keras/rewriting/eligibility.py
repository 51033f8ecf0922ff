"""Which layers can be coded, and why the others cannot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras.src.models import Functional

from fcdcc_keras.errors import PlanError
from fcdcc_keras.layers import CodedDense, channels_last, coded_class
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.rewriting.walk import is_graph, walk

NO_CONVOLUTION = "it has no convolution"
"""The reason for layers that there is nothing to code in."""
ON_REQUEST = "Dense is coded on request only: dense=True, or its name in `layers`"
"""The reason for layers that need not be coded."""


@dataclass(frozen=True)
class Verdict:
    """Whether one layer can be coded."""

    path: str
    layer: Any
    """The Keras layer."""
    geometry: ConvGeometry | None
    """Sizes of its convolution, or None where it cannot be coded."""
    reason: str = ""
    """Why it cannot be coded."""

    @property
    def convolves(self) -> bool:
        """Whether the layer has a convolution, be it eligible or not."""
        return has_convolution(self.layer)

    @property
    def on_request(self) -> bool:
        """Whether it is coded only where that is asked for."""
        return is_dense(self.layer)


def examine(model: keras.Model) -> list[Verdict]:
    """Returns a verdict on every layer of a model, in order.

    Models inside the model have none of their own; their layers have.

    Raises:
        PlanError: The model is not a built Functional or Sequential Keras model.
    """
    check_model(model)
    verdicts = []
    reachable = _exchangeable(model)
    for path, layer in walk(model):
        if is_graph(layer) and id(layer) in reachable:
            continue
        reason = _obstacle(layer, id(layer) in reachable)
        geometry = None
        if not reason:
            geometry, reason = _geometry(layer)
        verdicts.append(Verdict(path, layer, geometry, reason))
    return verdicts


def check_model(model: object) -> None:
    """Checks that a model can be distributed at all.

    Raises:
        PlanError: The model is not a built Functional or Sequential Keras model.
    """
    if not isinstance(model, keras.Model):
        raise PlanError(
            f"`model` must be a keras.Model. Received: {type(model)}. Pass the model "
            "itself, for example keras.applications.VGG16()."
        )
    if not model.built:
        raise PlanError(
            "The model must be built, for its layers have no weights and sizes "
            f"before. Received: {model.name!r}, not built. Give it a keras.Input, "
            "call model.build(input_shape), or call it once."
        )
    if not is_graph(model):
        raise PlanError(
            "The model must be Functional or Sequential: the layers of a subclassed "
            f"model cannot be exchanged. Received: {type(model)}. Rebuild it as "
            "keras.Model(inputs, outputs), or distribute the Functional part of it."
        )
    for layer in (model, *(layer for _, layer in walk(model) if is_graph(layer))):
        _check_not_overridden(layer)


def _check_not_overridden(model: keras.Model) -> None:
    plain = keras.Sequential if isinstance(model, keras.Sequential) else Functional
    for method in ("call", "predict_step", "test_step", "train_step"):
        if getattr(type(model), method) is not getattr(plain, method):
            raise PlanError(
                "A model must not override what Keras makes of its graph, for the "
                f"copy would lose it. Received: {model.name!r} of {type(model)}, which "
                f"overrides `{method}`. Distribute a plain keras.Model(model.inputs, "
                "model.outputs) of its layers."
            )


def has_convolution(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer convolves by itself, not by layers inside it."""
    # Keras has no public base class for all of them; KerasHub and users derive
    # theirs from Keras's, whose names all say so.
    return any("Conv" in cls.__name__ for cls in type(layer).__mro__)


def is_dense(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer is a matrix product that can be coded."""
    return coded_class(type(layer)) is CodedDense


def _exchangeable(model: keras.Model) -> set[int]:
    """Returns the ids of layers that cloning the model visits."""
    found: set[int] = set()
    for layer in model.layers:
        found.add(id(layer))
        if is_graph(layer):
            found |= _exchangeable(layer)
    return found


def _obstacle(layer: keras.layers.Layer, exchangeable: bool) -> str:
    kind = type(layer)
    if not has_convolution(layer) and not is_dense(layer):
        return NO_CONVOLUTION
    if coded_class(kind) is None:
        known = next((cls for cls in kind.__mro__ if coded_class(cls)), None)
        if known is None:
            return f"{kind.__name__} is not coded; Keras's own convolutions are"
        return (
            f"{kind.__name__} changes what {known.__name__} does in a way that is not "
            "known"
        )
    if not exchangeable:
        return "it is inside a layer that makes its own sublayers"
    if getattr(layer, "quantization_mode", None) is not None:
        return f"quantized layers are not coded ({layer.quantization_mode})"
    return ""


def _geometry(layer: Any) -> tuple[ConvGeometry | None, str]:
    shapes = {
        channels_last(layer, tuple(tensor.shape))
        for node in layer._inbound_nodes
        for tensor in node.input_tensors
    }
    known = [shape for shape in shapes if None not in shape[1:]]
    if not known:
        return None, (
            "its input's height and width are not fixed "
            f"({', '.join(map(str, sorted(shapes, key=str))) or 'no input known'})"
        )
    # A shared layer is planned for its largest input; it works for all of them.
    largest = max(known, key=lambda shape: math.prod(n or 0 for n in shape[1:]))
    coded = coded_class(type(layer))
    assert coded is not None
    return coded.geometry_of(layer, largest), ""
