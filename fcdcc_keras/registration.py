"""Telling Keras of the coded layers as soon as both are there.

Keras loads a ``.keras`` file only if the classes in it are registered, and imports no
module of others to find them. This package imports no Keras before it is needed: so it
registers its layers when Keras is imported, be that before or after.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_LAYERS = "fcdcc_keras.layers"


def register_with_keras() -> None:
    """Registers the coded layers now, or when Keras will have been imported."""
    if hasattr(sys.modules.get("keras"), "layers"):
        _register()
    else:
        sys.meta_path.insert(0, _AfterKeras())


class _AfterKeras(MetaPathFinder):
    """Finds nothing itself; has whatever finds Keras call us once it is loaded."""

    _looking = False

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "keras" or self._looking:
            return None
        self._looking = True
        try:
            spec = find_spec(name)  # by the finders after this one
        finally:
            self._looking = False
        # Finding is not loading: TensorFlow looks where Keras is, and loads it later.
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                _register()

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def _register() -> None:
    backend = import_module("keras").backend.backend()
    # With another backend our layers cannot be used, and need not be loaded.
    if backend == "tensorflow":
        import_module(_LAYERS)
