"""What a coded model writes to files: checkpoints that the plain model reads too."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import keras

from fcdcc_keras.rewriting.exchange import as_plain, coded_layers
from fcdcc_keras.rewriting.walk import makers


def keep_files_plain(model: keras.Model) -> None:
    """Has a coded model read and write files as the plain model does.

    ``save_weights``, ``load_weights`` and ``export`` are those of the plain model:
    checkpoints go both ways, and an exported model computes locally. ``save`` keeps
    coded layers as such, except those that a layer or model of a user's class made,
    for its configuration knows nothing of them.
    """
    for name in ("save_weights", "load_weights", "export"):
        _replace(model, name, coded_layers)
    _replace(model, "save", _made_by_others)


def _replace(
    model: keras.Model, name: str, plain: Callable[[keras.Model], list[Any]]
) -> None:
    method = getattr(model, name)
    if hasattr(method, "plain"):
        return  # it has been replaced before

    @wraps(method)
    def run(*args: Any, **kwargs: Any) -> Any:
        with as_plain(plain(model)):
            return method(*args, **kwargs)

    run.plain = method  # type: ignore[attr-defined]
    setattr(model, name, run)


def _made_by_others(model: keras.Model) -> list[Any]:
    made = makers(model)
    return [layer for layer in coded_layers(model) if id(layer) in made]
