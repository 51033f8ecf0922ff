"""Which engine a worker is to have, and whether it is installed.

Imports none of them: the command that starts a worker asks, and is gone then.
"""

from __future__ import annotations

from importlib.util import find_spec

from fcdcc_keras.errors import ClusterError

ENGINE = "FCDCC_ENGINE"
"""Where a worker's process finds its own choice, in its environment."""
_NEEDS = {"light": "ai_edge_litert", "tensorflow": "tensorflow"}
MEMORY = {"light": 120e6, "tensorflow": 600e6}
"""Bytes of a worker that has loaded its engine, without kernels."""


def is_installed(engine: str) -> bool:
    """Returns whether an engine can be loaded on this machine."""
    return find_spec(_NEEDS[engine]) is not None


def said_of_engines() -> bytes:
    """Returns what a worker answers that is asked for an engine: b"" if it has one."""
    there = any(map(is_installed, _NEEDS))
    return b"" if there else b"neither LiteRT nor TensorFlow is installed"


def resolve(choice: str, gpu: bool = False) -> str:
    """Returns the engine that a choice comes to on this machine.

    Args:
        choice: "light", "tensorflow", or "auto":
            TensorFlow where a GPU is asked for, and otherwise the light one where that
            is installed.
        gpu: Whether one is asked for.

    Raises:
        ClusterError: It is none, is not installed, or, of "auto", none is.
    """
    if choice not in ("auto", *_NEEDS):
        raise ClusterError(
            "A worker's engine must be auto, light or tensorflow. Received: "
            f"{choice!r}. Choose one of them, by --engine or by {ENGINE} in its "
            "environment."
        )
    order = ("tensorflow", "light") if gpu else ("light", "tensorflow")
    names = order if choice == "auto" else (choice,)
    for name in names:
        if is_installed(name):
            return name
    raise ClusterError(
        f"A worker must have an engine that computes. Received: engine={choice!r}, for "
        f"which {' or '.join(_NEEDS[name] for name in names)} is not installed. "
        "Install it there: pip install 'fcdcc-keras[worker]' for the light engine, "
        "'fcdcc-keras[cpu]' for TensorFlow."
    )
