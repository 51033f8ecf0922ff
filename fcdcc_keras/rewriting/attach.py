"""``fk.attach`` and ``fk.load_model``: giving saved coded models a cluster again."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import keras

from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning import Plan
from fcdcc_keras.rewriting.deploy import deploy
from fcdcc_keras.rewriting.distribute import users
from fcdcc_keras.rewriting.eligibility import examine
from fcdcc_keras.rewriting.options import Options, complete, takes
from fcdcc_keras.rewriting.walk import walk

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes(Options)
def attach(
    model: keras.Model, cluster: object = None, **options: Unpack[Options]
) -> keras.Model:
    """Has the coded layers of a model computed by a cluster, in place.

    For a coded model that was loaded, closed, or is to have another cluster: what it
    held before is freed; other layers of a cluster's stay where they are. Kernels are
    planned and placed as by ``fk.distribute``, by any objective: layers that were coded
    may be part of chains, and the other way round. ``layers`` chooses among the coded
    layers, and others compute locally. A ``tf.function`` of yours, or another
    model with these layers, that was traced before the first time keeps computing
    locally: trace it again, or compile that model again.

    Args:
        model: A model with coded layers. Layers that a layer or model of a user's class
            made are coded too: their configuration cannot say what they were.
        cluster: As in ``fk.distribute``; None starts worker processes on this machine.
        **options: As ``fk.distribute`` has them.

    Returns:
        The same model.

    Raises:
        PlanError: The model has no coded layer, or the numbers are not usable.
        UnsupportedLayerError: A layer that was named cannot be coded.
        ClusterError: The cluster is unreachable, too small, or does not fit.
    """
    complete(options)
    examined = examine(model, in_place=True)
    if not any(one.geometry is not None for one in examined):
        raise PlanError(
            "A model that is attached must have coded layers. Received: "
            f"{model.name!r}, without one. `fk.distribute(model, cluster)` makes a "
            "coded copy of it."
        )
    before = users(model)
    layers: Mapping[str, Any] = {"": model, **dict(walk(model))}

    def here(plan: Plan) -> Mapping[str, Any]:
        return layers

    session = deploy(model, examined, cluster, options, here)
    for one in before:
        if one.session is not session:
            one.detach()
    # What Keras has traced before would go on computing locally.
    model.train_function = model.test_function = model.predict_function = None
    return model


@takes(Options)
def load_model(
    path: str | PathLike[str],
    cluster: object = None,
    *,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
    **options: Unpack[Options],
) -> keras.Model:
    """Loads a coded model that was saved, and attaches it to a cluster if one is given.

    Args:
        path: A ``.keras`` file.
        cluster: As in ``fk.attach``; with None the model computes locally until it is
            attached.
        custom_objects: As in ``keras.models.load_model``.
        compile: As in ``keras.models.load_model``.
        safe_mode: As in ``keras.models.load_model``.
        **options: As ``fk.attach`` has them.

    Returns:
        The model.

    Raises:
        PlanError: There are options but no cluster; or as ``fk.attach``.
        UnsupportedLayerError: As ``fk.attach``.
        ClusterError: As ``fk.attach``.
    """
    complete(options)  # before the file is read
    if cluster is None and options:
        raise PlanError(
            "Options need the cluster that they are for. Received: cluster=None, "
            f"{', '.join(options)}. Pass a cluster; for workers on this machine use "
            "fk.attach(fk.load_model(path), ...)."
        )
    model = keras.models.load_model(
        path, custom_objects=custom_objects, compile=compile, safe_mode=safe_mode
    )
    if cluster is not None:
        return attach(model, cluster, **options)
    return model
