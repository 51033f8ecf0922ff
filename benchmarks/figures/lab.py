"""The edge lab, which is in the repository beside the package and not part of it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fcdcc_keras.errors import FcdccError


def edge_lab() -> Any:
    """Returns the module of the edge lab.

    Raises:
        FcdccError: It is not there.
    """
    try:
        # By name: the package does not depend on what it is tried on.
        return import_module("cluster.edge_lab")
    except ImportError as error:
        raise FcdccError(
            "The edge figures need the edge lab, which the repository has and the "
            f"installed package has not. Received: {error}. Install the package from "
            "a clone (`pip install --editable .`), or run `python -m benchmarks.edge` "
            "in its top folder."
        ) from error


def isolate(*, required: bool) -> None:
    """Starts this command anew where it reaches no network, if it has not yet.

    Args:
        required: Whether it is an error where no lab can be brought up. Otherwise
            nothing is done there.

    Raises:
        FcdccError: No lab can be brought up here.
    """
    try:
        lab = edge_lab()
        lab.check_requirements()
        lab.isolate()
    except FcdccError:
        if required:
            raise
