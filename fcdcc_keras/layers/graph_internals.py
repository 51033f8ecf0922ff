"""All that is used of how Keras runs a graph, beyond its documentation.

- ``Functional.call`` runs its graph by ``_run_through_graph(inputs, operation_fn)``,
  with the inputs as tensors in their order, and ``operation_fn`` giving what each
  operation is called by; that returns what has the structure of ``Functional.output``.
- A tensor's mask is its attribute ``_keras_mask``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fcdcc_keras.undocumented import changed

_RUN = "_run_through_graph"


def run_by(graph: Any, run: Callable[..., Any]) -> None:
    """Has a function take the place of what runs a functional model's graph.

    Neither the model's class nor its configuration or files know of it.

    Args:
        graph: The model.
        run: Is given inputs, and what gives what each operation is called by.
    """
    _own(graph)
    vars(graph)[_RUN] = run  # not by Keras, which would look for layers in it


def runner(graph: Any) -> Any:
    """Returns whose method runs a model's graph, if it is not the model's; or None."""
    return getattr(vars(graph).get(_RUN), "__self__", None)


def run_plainly(graph: Any, *args: Any, **kwargs: Any) -> Any:
    """Runs a model's graph by its own method, whatever has taken its place."""
    return _own(graph)(graph, *args, **kwargs)


def is_masked(tensor: Any) -> bool:
    """Returns whether layers are told to leave something of a tensor out."""
    return getattr(tensor, "_keras_mask", None) is not None


def _own(graph: Any) -> Callable[..., Any]:
    found: Callable[..., Any] | None = getattr(type(graph), _RUN, None)
    if found is None:
        raise changed("keras", f"`Functional.{_RUN}` runs a graph")
    return found
