"""The coded layers, each a Keras layer of the same arguments, weights and outputs."""

from __future__ import annotations

from typing import Any

import keras

from fcdcc_keras.layers.coded import CodedLayer
from fcdcc_keras.layers.families import (
    CodedDepthwise,
    CodedSeparable,
    CodedTransposed,
    Connected,
    Convolving,
)

_register = keras.saving.register_keras_serializable
_of: dict[type, type] = {}
_plain: dict[type, type] = {}
_keras: set[type] = set()
_PRESETS = {"get_config", "from_config"}
"""What a class may override, beside ``__init__``, and compute the same."""
_CALLED = {"__call__", "__new__", "__getattribute__", "__getattr__", "__setattr__"}
"""Python's own methods that may change what is computed."""


def _coded(kind: type) -> type:
    """Registers a coded layer with Keras, and with the Keras layer that it replaces."""
    plain = kind.__bases__[1]
    _of[plain] = kind
    _keras.add(plain)
    name, kind.__name__ = kind.__name__, plain.__name__
    # Keras names weights in files by a layer's class: with the name of the Keras layer
    # each reads what the other wrote.
    for registered in (_register("fcdcc_keras")(kind), _named_as_before(kind, name)):
        _plain[registered] = plain
    return kind


def _named_as_before(kind: type, name: str) -> type:
    """Returns a layer by the name of ours that it had in files of older versions."""

    def load_own_variables(layer: Any, store: Any) -> None:
        object.__setattr__(layer, "__class__", kind)  # it has been found in the file
        layer.load_own_variables(store)

    before = type(name, (kind,), {"load_own_variables": load_own_variables})
    registered: type = _register("fcdcc_keras")(before)
    return registered


def coded_class(kind: type) -> type[CodedLayer] | None:
    """Returns the coded layer that replaces a Keras layer, itself for a coded one.

    A class derived from one of Keras's is replaced by one derived from both, which
    Keras's files name as the user's. None for any other class, and for one that
    computes otherwise than Keras's.
    """
    kind = plain_class(kind)
    known = known_class(kind)
    if kind not in _of and known is not None and not _overridden(kind, known):
        _of[kind] = _derived(kind, _of[known])
    return _of.get(kind)


def known_class(kind: type) -> type | None:
    """Returns the Keras layer that a class is or derives from, if that can be coded."""
    return next((cls for cls in plain_class(kind).__mro__ if cls in _keras), None)


def changes(layer: keras.layers.Layer) -> tuple[str, ...]:
    """Returns what a layer has in place of that of the Keras layer that it is.

    Its class may preset arguments and have more than Keras's; what it overrides of it,
    or sets in place of a method, might compute anything.
    """
    kind = plain_class(type(layer))
    known = known_class(kind)
    assert known is not None
    # Keras wraps these two of every layer.
    wrapped = ("build", "quantize")
    methods = [
        name
        for name in vars(layer)
        if callable(getattr(known, name, None)) and name not in wrapped
    ]
    return (*_overridden(kind, known), *methods)


def _overridden(kind: type, known: type) -> list[str]:
    derived = kind.__mro__[: kind.__mro__.index(known)]
    names = {name for cls in derived for name in vars(cls)}
    kerass = {name for name in names if not name.startswith("__")} - _PRESETS
    return sorted({n for n in kerass if hasattr(known, n)} | names & _CALLED)


def _derived(kind: type, coded: type) -> type:
    """Returns a class coded as another one that is, and derives, a user's."""
    names = {"__module__": kind.__module__, "__doc__": kind.__doc__}
    made = type(kind.__name__, (*coded.__bases__[:1], kind), names)
    _plain[made] = kind
    package, _, name = keras.saving.get_registered_name(kind).rpartition(">")
    if package:
        # Both have the name in files; what is found by it is the user's.
        for cls in (made, kind):
            _register(package, name)(cls)
    return made


def plain_class(kind: type) -> type:
    """Returns the Keras layer that a coded layer stands for, or the class itself."""
    return _plain.get(kind, kind)


@_coded
class CodedConv1D(Convolving, keras.layers.Conv1D):
    """A ``keras.layers.Conv1D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedConv2D(Convolving, keras.layers.Conv2D):
    """A ``keras.layers.Conv2D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedConv3D(Convolving, keras.layers.Conv3D):
    """A ``keras.layers.Conv3D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedDepthwiseConv1D(CodedDepthwise, keras.layers.DepthwiseConv1D):
    """A ``keras.layers.DepthwiseConv1D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedDepthwiseConv2D(CodedDepthwise, keras.layers.DepthwiseConv2D):
    """A ``keras.layers.DepthwiseConv2D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedSeparableConv1D(CodedSeparable, keras.layers.SeparableConv1D):
    """A ``keras.layers.SeparableConv1D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedSeparableConv2D(CodedSeparable, keras.layers.SeparableConv2D):
    """A ``keras.layers.SeparableConv2D`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedConv1DTranspose(CodedTransposed, keras.layers.Conv1DTranspose):
    """A ``keras.layers.Conv1DTranspose`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedConv2DTranspose(CodedTransposed, keras.layers.Conv2DTranspose):
    """A ``keras.layers.Conv2DTranspose`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedConv3DTranspose(CodedTransposed, keras.layers.Conv3DTranspose):
    """A ``keras.layers.Conv3DTranspose`` that workers compute; see ``CodedLayer``."""


@_coded
class CodedDense(Connected, keras.layers.Dense):
    """A ``keras.layers.Dense`` that workers compute; see ``CodedLayer``."""
