"""``fk.distribute`` and its opposite, ``fk.close``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras

from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.forward.session import Session
from fcdcc_keras.planning import Plan
from fcdcc_keras.rewriting.chains import chained_graphs
from fcdcc_keras.rewriting.copying.class_swap import coded_layers, make_coded
from fcdcc_keras.rewriting.copying.compiling import compile_like
from fcdcc_keras.rewriting.copying.rebuild import rebuild
from fcdcc_keras.rewriting.deploy import deploy
from fcdcc_keras.rewriting.eligibility import Eligibility, examine
from fcdcc_keras.rewriting.options import Options, takes
from fcdcc_keras.rewriting.walk import walk

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes(Options)
def distribute(
    model: keras.Model, cluster: object = None, **options: Unpack[Options]
) -> keras.Model:
    """Returns a model of the same outputs whose convolutions run on a cluster.

    Each convolution is cut into one coded subtask for each worker, and any
    n − γ of the n answers give the whole result: up to γ workers may hang or die
    at any time. The original model is not changed.

    Args:
        model: A built Keras model: Functional, Sequential, or of a class of your own
            that can be made again from its ``get_config``.
        cluster: A ``distributed.Client``, a scheduler's address, a Dask cluster,
            an executor, or None to start worker processes on this machine, which
            end with the returned model.
        **options: What is to be coded, how, and what to do in trouble.

    Returns:
        The coded model. ``fk.close`` frees what it holds, as does its garbage
        collection.

    Raises:
        PlanError: The model or the numbers are not usable.
        UnsupportedLayerError: A layer that was named cannot be coded.
        ClusterError: The cluster is unreachable, too small, or does not fit.
    """
    copies: list[keras.Model] = []
    examined = examine(model)

    def copy(plan: Plan) -> Mapping[str, Any]:
        made, layers = rebuild(model)
        for path in _to_be_coded(plan, examined):
            if path in layers:
                make_coded(layers[path])
        if plan.stretches or plan.stretches_at_call:
            made.supports_jit = False  # as coded layers, of which it may have none
        # Without XLA, which coded layers cannot have.
        compile_like(made, model)
        for path, layer in walk(model):
            if isinstance(layer, keras.Model) and path in layers:
                compile_like(layers[path], layer)
        copies.append(made)
        return {"": made, **layers}

    deploy(model, examined, cluster, options, copy)
    return copies[0]


def _to_be_coded(plan: Plan, examined: Sequence[Eligibility]) -> set[str]:
    """Returns the paths of the layers that are coded ones in a plan's model.

    Where others compute them, or nobody, they are so that ``fk.attach`` can have them
    coded later.
    """
    paths = {*plan.paths}
    if plan.stretches or plan.stretches_at_call or not plan.pays:
        able = (one for one in examined if one.geometry is not None)
        paths |= {one.path for one in able if not one.on_request}
    return paths


def close(model: keras.Model) -> None:
    """Frees what a coded model holds, and ends a cluster that it started.

    Afterwards the model computes locally. Closing again does nothing.

    Args:
        model: What ``distribute`` returned, or a model that has its layers.

    Raises:
        PlanError: The model has no coded layer.
    """
    for session in sessions(model):
        # Of layers that have left it, it may be others' still.
        if not session.users.isdisjoint(users(model)):
            session.close()


@contextmanager
def closing(model: keras.Model) -> Iterator[keras.Model]:
    """Closes a coded model when the block ends."""
    try:
        yield model
    finally:
        close(model)


def users(model: keras.Model) -> list[Any]:
    """Returns what workers may compute of a model: its coded layers, its graphs."""
    return [*coded_layers(model), *chained_graphs(model)]


def sessions(model: keras.Model) -> list[Session]:
    """Returns what a model holds on clusters, each session once.

    Raises:
        PlanError: The model has no coded layer.
    """
    found = users(model) if isinstance(model, keras.Model) else []
    if not found:
        raise PlanError(
            "The model must be one that `fk.distribute` returned. Received: "
            f"{getattr(model, 'name', model)!r}, without a coded layer. Pass the "
            "returned model, not the original."
        )
    return list({id(one.session): one.session for one in found if one.session}.values())
