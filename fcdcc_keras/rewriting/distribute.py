"""``fk.distribute`` and its opposite, ``fk.close``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from fcdcc_keras.codes import Code
from fcdcc_keras.coding.job import Verify
from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.connect import TransportChoice
from fcdcc_keras.execution.records import Fallback, Redundancy
from fcdcc_keras.execution.session import Session
from fcdcc_keras.planning import AUTO, Plan
from fcdcc_keras.rewriting.compiling import compile_like
from fcdcc_keras.rewriting.eligibility import examine
from fcdcc_keras.rewriting.exchange import coded_layers, make_coded
from fcdcc_keras.rewriting.hand_over import hand_over
from fcdcc_keras.rewriting.options import Layers, Options
from fcdcc_keras.rewriting.rebuild import rebuild
from fcdcc_keras.rewriting.walk import walk


def distribute(
    model: keras.Model,
    cluster: object = None,
    *,
    workers: int | None = None,
    stragglers: int = 1,
    layers: Layers = "all",
    dense: bool = False,
    code: str | Code | type[Code] = AUTO,
    tolerance: float | None = None,
    plan: Plan | str | Path | None = None,
    transport: TransportChoice = "auto",
    redundancy: Redundancy = "eager",
    verify: Verify = "finite",
    fallback: Fallback = "local",
    timeout: float = 60.0,
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
        workers: n, the number of workers to use; None: all that the cluster has.
        stragglers: γ, the least number of workers that may be missing.
        layers: "all" that can be coded, "gaining": those that the workers finish
            sooner than this process, by a short measurement of both, names or paths
            of layers, or a function that is given a layer and says whether to code it.
        dense: Whether "all", "gaining" and functions are about ``Dense`` layers too.
            Those are coded for memory, on the side of the kernel: each worker holds
            1/δ of it, and is sent the whole input.
        code: Name of a code, "auto", a ``Code`` with its split, or a code's class.
        tolerance: Largest relative error of a layer. A code must keep it for 99% of
            survivor sets, or it is refused; for any of the others more answers are
            waited for. Default: 1e-4 in float32, 3e-14 in float64.
        plan: A plan made before, or the path to its JSON; it decides in place of
            ``layers`` and ``code``, says which layers are hedged whatever
            ``redundancy`` is, and gives n and γ where they are left out.
        transport: "direct" asks the workers themselves, "tasks" goes through the
            scheduler; "auto" takes "direct" where the workers can be reached.
        redundancy: "eager" sends every layer to all workers at once; "hedged" sends
            it to as many as needed, and to the others when one is late.
        verify: "finite" takes a result that holds NaN or infinity for none, unless
            input or kernel do; "parity" also waits for one result more than needed,
            and checks that they agree: where they do not, for another, to find out
            who is wrong and leave that worker out from then on; "off" does neither.
        fallback: With too few workers left, "local" computes the layer in this
            process, with a warning the first time; "raise" raises.
        timeout: Seconds that a layer may take before the fallback.

    Returns:
        The coded model. ``fk.close`` frees what it holds, as does its garbage
        collection.

    Raises:
        PlanError: The model or the numbers are not usable.
        UnsupportedLayerError: A layer that was named cannot be coded.
        ClusterError: The cluster is unreachable, too small, or does not fit.
    """
    options = Options(
        workers=workers,
        stragglers=stragglers,
        layers=layers,
        dense=dense,
        code=code,
        tolerance=tolerance,
        plan=plan,
        transport=transport,
        redundancy=redundancy,
        verify=verify,
        fallback=fallback,
        timeout=timeout,
    )
    copies: list[keras.Model] = []

    def copy(plan: Plan) -> Mapping[str, Any]:
        made, layers = rebuild(model)
        for path in plan.paths:
            if path in layers:
                make_coded(layers[path])
        # Without XLA, which coded layers cannot have.
        compile_like(made, model)
        for path, layer in walk(model):
            if isinstance(layer, keras.Model) and path in layers:
                compile_like(layers[path], layer)
        copies.append(made)
        return layers

    verdicts = examine(model)
    hand_over(model.name, verdicts, cluster, options, copy)
    return copies[0]


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
        if not session.users.isdisjoint(coded_layers(model)):
            session.close()


@contextmanager
def closing(model: keras.Model) -> Iterator[keras.Model]:
    """Closes a coded model when the block ends."""
    try:
        yield model
    finally:
        close(model)


def sessions(model: keras.Model) -> list[Session]:
    """Returns what the coded layers of a model hold, each session once.

    Raises:
        PlanError: The model has no coded layer.
    """
    coded = coded_layers(model) if isinstance(model, keras.Model) else []
    if not coded:
        raise PlanError(
            "The model must be one that `fk.distribute` returned. Received: "
            f"{getattr(model, 'name', model)!r}, without a coded layer. Pass the "
            "returned model, not the original."
        )
    found = {id(layer.session): layer.session for layer in coded if layer.session}
    return list(found.values())
