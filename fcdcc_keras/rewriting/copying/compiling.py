"""Compiling a copy as its original is."""

from __future__ import annotations

import inspect
from typing import Any
from warnings import warn

import keras

from fcdcc_keras.rewriting.copying.remake import at_home, remake_object
from fcdcc_keras.rewriting.copying.stand_ins import compile_configuration
from fcdcc_keras.rewriting.keras_internals import compile_arguments
from fcdcc_keras.text import text_of

_STATEFUL = (keras.optimizers.Optimizer, keras.metrics.Metric)
_OWN = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


def compile_like(copy: keras.Model, model: keras.Model) -> None:
    """Compiles a copy as the model is, with an optimizer and metrics of its own.

    A copy that cannot be compiled so is not compiled, with a warning that says why.
    """
    if not model.compiled:
        return
    try:
        why = _compile_like(copy, model) or _copy_optimizer(copy, model)
    except Exception as error:
        why = text_of(error)
    if why:
        copy.compiled = False
        warn(
            f"The coded copy of {model.name!r} is not compiled: {why}. Compile it "
            "before it is trained or evaluated, or give the class of the model "
            "`get_compile_config` and `compile_from_config`.",
            stacklevel=2,
        )


def _compile_like(copy: Any, model: Any) -> str:
    """Compiles the copy, or returns why it cannot be."""
    kind, plain = type(model), keras.Model
    if kind.compile_from_config is not plain.compile_from_config:
        config, functions = compile_configuration(model)
        with at_home(model), keras.saving.custom_object_scope(functions):
            copy.compile_from_config(config)
        return "" if copy.compiled else "its `compile_from_config` does not compile it"
    own = _arguments(kind) - _arguments(plain)
    if own:
        names = ", ".join(f"`{name}`" for name in sorted(own))
        return f"{kind.__name__}.compile takes {names}, which it does not give again"
    arguments = compile_arguments(model)
    copy.compile(**_anew(arguments))
    if not _alike(arguments, compile_arguments(copy)):
        return f"{kind.__name__}.compile changes what it is given, which was changed"
    return ""


def _arguments(kind: Any) -> set[str]:
    parameters = inspect.signature(kind.compile).parameters.values()
    return {p.name for p in parameters if p.kind in _OWN}


def _anew(arguments: Any) -> Any:
    """Returns arguments of ``compile`` with all that has a state made again."""
    return keras.tree.map_structure(
        lambda x: remake_object(x, type(x)) if isinstance(x, _STATEFUL) else x,
        arguments,
    )


def _alike(one: Any, other: Any) -> bool:
    """Returns whether two models were compiled with the same."""

    def known(x: Any) -> Any:
        return type(x) if isinstance(x, _STATEFUL) else x

    one, other = ({**x, "jit_compile": None} for x in (one, other))
    mine, others = (keras.tree.flatten(x) for x in (one, other))
    return len(mine) == len(others) and all(
        known(x) is known(y) or known(x) == known(y)
        for x, y in zip(mine, others, strict=True)
    )


def _copy_optimizer(copy: Any, model: Any) -> str:
    """Has training go on where the model's stopped."""
    if model.optimizer is not None and model.optimizer.built:
        copy.optimizer.build(copy.trainable_variables)
        state: dict[str, Any] = {}
        model.optimizer.save_own_variables(state)
        copy.optimizer.load_own_variables(state)
    return ""
