"""Convolutional Keras models on many weak, unreliable machines at once.

    import fcdcc_keras as fk
    coded = fk.distribute(model, client, stragglers=2)
    coded.predict(photos)          # two workers may hang or die: same answer

What there is stands in the stub beside this file. Nothing is imported until it is used:
Dask's scheduler and workers import parts of this package too, and need neither Keras
nor TensorFlow for that.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

from fcdcc_keras.registration import register_with_keras

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_NEED_KERAS = {name for name in __all__ if name.startswith("Coded")} | {
    "attach",
    "close",
    "closing",
    "distribute",
    "load_model",
    "plan",
    "report",
    "trace",
}


def __getattr__(name: str) -> Any:
    if name in _NEED_KERAS:
        from fcdcc_keras.backend import check_backend

        check_backend()
    return _load(name)


register_with_keras()
