"""Which layers can be coded, and why the others cannot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras

from fcdcc_keras.errors import PlanError
from fcdcc_keras.layers import (
    CodedLayer,
    changes,
    channels_last,
    coded_class,
    known_class,
)
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.rewriting.copying.remake import obstacle
from fcdcc_keras.rewriting.keras_internals import layers_inside, uses
from fcdcc_keras.rewriting.walk import is_graph, makers, walk

NO_CONVOLUTION = "it has no convolution"
"""The reason for layers that there is nothing to code in."""
ON_REQUEST = "Dense is coded on request only: dense=True, or its name in `layers`"
"""The reason for layers that need not be coded."""


@dataclass(frozen=True)
class Eligibility:
    """Whether one layer can be coded."""

    path: str
    layer: Any
    """The Keras layer."""
    geometry: ConvGeometry | None
    """Sizes of its convolution, or None where it cannot be coded."""
    reason: str = ""
    """Why it cannot be coded."""
    sized: bool = True
    """Whether the geometry's height and width are those of the input. They do not count
    where the input's are not fixed."""
    on_request: bool = False
    """Whether it is coded only where that is asked for."""

    @property
    def convolves(self) -> bool:
        """Whether the layer has a convolution, be it eligible or not."""
        return has_convolution(self.layer)


def examine(model: keras.Model, *, in_place: bool = False) -> list[Eligibility]:
    """Returns the eligibility of every layer of a model, in order.

    Models inside the model have none of their own; their layers have.

    Args:
        model: The model.
        in_place: Whether the model's own layers are to be coded, so far as they are
            coded layers or made by others. Otherwise those of a copy are.

    Raises:
        PlanError: The model is no Keras model, is not built, or cannot be copied.
    """
    check_model(model)
    if not in_place:
        _check_copy(model)
    made_by = makers(model)
    examined = []
    for path, layer in walk(model):
        if is_graph(layer):
            continue
        reason, geometry, sized = _obstacle(layer) or misplaced(layer), None, True
        maker = made_by.get(id(layer))
        if (
            not reason
            and in_place
            and maker is None
            and not isinstance(layer, CodedLayer)
        ):
            reason = "it is not a coded layer; `fk.distribute` makes coded ones"
        if not reason and not in_place and maker is not None:
            reason = obstacle(maker)
        if not reason:
            geometry, sized, reason = _geometry(layer)
        # What is a coded layer in a model that is attached has been asked for.
        asked = in_place and isinstance(layer, CodedLayer)
        on_request = is_dense(layer) and not asked
        examined.append(Eligibility(path, layer, geometry, reason, sized, on_request))
    return examined


def check_model(model: object) -> None:
    """Checks that something is a model with sizes and weights.

    Raises:
        PlanError: It is no Keras model, or not built.
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


def _check_copy(model: keras.Model) -> None:
    why = "" if is_graph(model) else obstacle(model)
    if why:
        raise PlanError(
            "A model of a class of your own must be able to be made again from its "
            "`get_config`, for its copy has the coded layers. Received: "
            f"{model.name!r} of {type(model)}; {why}. Give the class a `get_config` "
            "with all arguments of its `__init__`, or distribute a plain "
            "keras.Model(inputs, outputs)."
        )


def has_convolution(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer convolves by itself, not by layers inside it."""
    known = known_class(type(layer))
    if known is not None:
        return known is not keras.layers.Dense
    # Keras has no public base class for others; their names all say so.
    named = any("Conv" in cls.__name__ for cls in type(layer).__mro__)
    return named and not layers_inside(layer)


def is_dense(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer is a matrix product that can be coded."""
    kind = type(layer)
    return coded_class(kind) is not None and known_class(kind) is keras.layers.Dense


def quantized(layer: keras.layers.Layer) -> str:
    """Returns why a quantized layer is not coded; "" for another."""
    mode = getattr(layer, "quantization_mode", None)
    return "" if mode is None else f"quantized layers are not coded ({mode})"


def _obstacle(layer: keras.layers.Layer) -> str:
    kind = type(layer)
    if not has_convolution(layer) and not is_dense(layer):
        return NO_CONVOLUTION
    known = known_class(kind)
    if known is None:
        return f"{kind.__name__} is not coded; Keras's own convolutions are"
    changed = changes(layer)
    if changed:
        names = ", ".join(f"`{name}`" for name in changed)
        return (
            f"{kind.__name__} has its own {names} in place of those of "
            f"{known.__name__}: what it computes is not known"
        )
    return quantized(layer)


def misplaced(layer: Any) -> str:
    """Returns why a layer's result would not be TensorFlow's own; "" if it would.

    What remains of the input behind the last window is no padding. TensorFlow without
    oneDNN takes it for negative padding, though, and starts half of it too late.
    """
    if known_class(type(layer)) is not keras.layers.Conv3D or layer.padding != "same":
        return ""
    axes = zip(layer.kernel_size, layer.dilation_rate, layer.strides, strict=True)
    if all((k - 1) * d + 1 >= s - 1 for k, d, s in axes):
        return ""
    return (
        "with padding='same' and a stride beyond its kernel by more than one, "
        "TensorFlow's result on a CPU is not the one that is defined"
    )


def _geometry(layer: Any) -> tuple[ConvGeometry | None, bool, str]:
    """Returns a layer's sizes, whether H and W are known, and why there are none."""
    shapes = [channels_last(layer, shape) for shape in _input_shapes(layer)]
    if not shapes:
        return None, False, "it has not been called"
    coded = coded_class(type(layer))
    assert coded is not None
    known = [shape for shape in shapes if None not in shape[1:]]
    if known:
        # A shared layer is planned for its largest input; it works for all of them.
        largest = max(known, key=lambda shape: math.prod(n or 0 for n in shape[1:]))
        return coded.geometry_of(layer, largest), True, ""
    batch, *_, channels = shapes[0]
    if getattr(layer, "kernel_size", None) is None:
        least = [1] * (len(shapes[0]) - 2)
    else:
        spans = zip(layer.kernel_size, layer.dilation_rate, strict=True)
        least = [(k - 1) * d + 1 for k, d in spans]
    return coded.geometry_of(layer, (batch, *least, channels)), False, ""


def _input_shapes(layer: keras.layers.Layer) -> set[tuple[int | None, ...]]:
    """Returns the shapes of what a layer is called with, as far as they are known."""
    shapes = {tuple(tensor.shape) for inputs, _ in uses(layer) for tensor in inputs}
    if shapes:
        return shapes
    # A layer inside another has no part in a graph; it knows its first input.
    config = layer.get_build_config() or {}
    built = config.get("input_shape") or next(
        iter(config.get("shapes_dict", {}).values()), None
    )
    return {tuple(built)} if built else set()
