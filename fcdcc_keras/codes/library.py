"""Searched matrices for common codes, which amplify errors less than random ones.

``data/matrices.json`` has, for each key, the quaternions and the reals in millionths.
``benchmarks/search_matrices.py`` made it. Which side has the quaternions makes no
difference to the amplification, so one entry serves both.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import numpy as np

Kind = Literal["quaternion", "systematic"]


def load(
    kind: Kind, workers: int, quaternions: int, reals: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the searched quaternions and reals, or None if there are none.

    Args:
        kind: Whether they are for all workers, or the parity of a systematic code.
        workers: n, for systematic codes too: parity columns are n − δ.
        quaternions: k / 4 of the side with the quaternions.
        reals: k of the other side.

    Returns:
        Quaternions, shape ``(quaternions, columns, 4)``, not of unit norm each: a
        worker's norms are √``quaternions`` together, as with unit ones. Reals, shape
        ``(reals, columns)``, a worker's of unit norm; ones if there is but one.
    """
    key = f"{kind}/n={workers}/quaternions={quaternions}/reals={reals}"
    entry = _table().get(key)
    if entry is None:
        return None
    four, real = (np.array(part, float) for part in entry)
    four *= quaternions**0.5 / np.linalg.norm(four, axis=(0, 2), keepdims=True)
    real /= np.linalg.norm(real, axis=0)
    return four, real if reals > 1 else np.abs(real)


@lru_cache(maxsize=1)
def _table() -> dict[str, list[list[object]]]:
    path = files("fcdcc_keras.codes").joinpath("data/matrices.json")
    table: dict[str, list[list[object]]] = json.loads(path.read_text("utf-8"))
    return table
