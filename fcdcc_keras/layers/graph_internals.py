"""All that is used of how Keras runs a graph, beyond its documentation.

- ``Functional.call`` runs its graph by ``_run_through_graph(inputs, operation_fn)``,
  with the inputs as tensors in their order, and ``operation_fn`` giving what each
  operation is called by; that returns what has the structure of ``Functional.output``.
- ``Model.predict`` and ``predict_on_batch`` call ``make_predict_function(force)``,
  and then, with a list of what iterators yield, what that has left as
  ``predict_function``. Whatever changes how a model is run sets this to None.
- ``keras.src.backend.common``: whether variables have other values for now.
- A tensor's mask is its attribute ``_keras_mask``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fcdcc_keras.undocumented import changed

_RUN = "_run_through_graph"
_MAKE = "make_predict_function"


def run_by(graph: Any, run: Callable[..., Any]) -> None:
    """Has a function take the place of what runs a functional model's graph.

    Neither the model's class nor its configuration or files know of it.

    Args:
        graph: The model.
        run: Is given inputs, and what gives what each operation is called by.
    """
    _own(graph, _RUN)
    vars(graph)[_RUN] = run  # not by Keras, which would look for layers in it


def runner(graph: Any) -> Any:
    """Returns whose method runs a model's graph, if it is not the model's; or None."""
    return getattr(vars(graph).get(_RUN), "__self__", None)


def run_plainly(graph: Any, *args: Any, **kwargs: Any) -> Any:
    """Runs a model's graph by its own method, whatever has taken its place."""
    return _own(graph, _RUN)(graph, *args, **kwargs)


def predict_by(model: Any, made: Callable[[Callable[..., Any]], Any]) -> None:
    """Has a model predict by what a function makes of its own way to do so.

    Args:
        model: The model.
        made: Is given what the model's class would have it call.
    """
    own = _own(model, _MAKE)
    if _MAKE in vars(model):
        return  # it does so already, or the caller has it do otherwise

    def make(force: bool = False) -> Any:
        if model.predict_function is None or force:
            own(model, force=True)
            model.predict_function = made(model.predict_function)
        return model.predict_function

    vars(model)[_MAKE] = make


def in_scope() -> bool:
    """Returns whether variables have other values for now, as in `stateless_call`."""
    try:
        from keras.src.backend.common.stateless_scope import in_stateless_scope
    except ImportError as error:
        raise changed("keras", f"`in_stateless_scope` is there ({error})") from error
    return bool(in_stateless_scope())


def is_masked(tensor: Any) -> bool:
    """Returns whether layers are told to leave something of a tensor out."""
    return getattr(tensor, "_keras_mask", None) is not None


def _own(model: Any, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] | None = getattr(type(model), name, None)
    if found is None:
        raise changed("keras", f"`{type(model).__name__}.{name}` is how it is run")
    return found
