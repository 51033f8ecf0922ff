"""From what others say of themselves to findings: whatever they say, of right kinds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

from fcdcc_keras.dask_internals import described, memory_of
from fcdcc_keras.doctor.findings import InUse, Software, Speed, Touch, WorkerFound
from fcdcc_keras.doctor.programs import KINDS

PACKAGES = ("dask", "distributed", "numpy", "fcdcc_keras")
"""Whose versions are asked for."""
_LONGEST = 200
"""Letters that are taken of a text."""


def software(said: Mapping[str, Any]) -> Software:
    """Returns what ``carried.introducing`` gives, of the right kinds."""

    def versions(of: Mapping[str, Any]) -> dict[str, str | None]:
        return {str(name): version(each) for name, each in of.items()}

    return Software(
        printable(said["python"]),
        versions(said["packages"]),
        versions(said["engines"]),
        printable(said["machine"]),
        float(said["available"]),
    )


def least() -> dict[str, str]:
    """Returns which versions of engines this package asks for, where that is known."""
    try:
        asked = " ".join(requires("fcdcc-keras") or ())
    except PackageNotFoundError:  # of a clone that is not installed
        return {}
    packages = {"light": "ai-edge-litert", "tensorflow": "tensorflow-cpu"}
    found = {e: re.search(f"{p}>=([0-9.]+)", asked) for e, p in packages.items()}
    return {engine: one[1] for engine, one in found.items() if one}


def speed(said: Mapping[str, Any]) -> Speed:
    """Returns what ``on_worker.measure`` gives.

    Raises:
        ValueError: It is something else.
    """
    pairs = tuple((float(shorter), float(longer)) for shorter, longer in said["pairs"])
    if len(pairs) != len(KINDS):
        raise ValueError(f"it measured {len(pairs)} kinds of programs")
    return Speed(printable(said["engine"]), float(said["call"]), pairs)


def version(said: object) -> str | None:
    """Returns a version; None: it is not installed."""
    return None if said is None else printable(said)


def printable(said: object) -> str:
    """Returns a text of another machine as it may be written to a terminal."""
    return "".join(c if c.isprintable() else " " for c in str(said))[:_LONGEST]


def touches(said: str | None) -> list[Touch]:
    """Returns what ``carried.touching`` gives; [] where nothing came."""
    return [Touch(*one[:3]) for one in json.loads(said)] if said else []


def worker(address: str, told: Mapping[str, Any]) -> WorkerFound:
    """Returns what a scheduler's identity tells of a worker."""
    paused, used, limit = memory_of(dict(told))
    name, host, status, threads = described(dict(told))
    return WorkerFound(
        printable(address),
        name=printable(name),
        host=printable(host),
        status="paused" if paused else printable(status),
        memory=InUse(float(used), float(limit)),
        threads=threads,
    )
