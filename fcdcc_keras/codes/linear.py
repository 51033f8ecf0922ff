"""Linear combinations of equally shaped blocks: all that coding ever does."""

from __future__ import annotations

import numpy as np


def combine(weights: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Returns the linear combinations of ``blocks`` given by ``weights``.

    A row of ``weights`` with a single 1 copies its block to the bit, and does
    not let an infinity in another block turn into 0 · inf = NaN. Identity codes
    and uncoded sides therefore cost a copy, not a multiplication.

    Args:
        weights: Shape ``(m, k)``; row i holds the factors of combination i.
        blocks: Shape ``(k, *block)``, floating point.

    Returns:
        Shape ``(m, *block)``, in the dtype of ``blocks``.
    """
    flat = blocks.reshape(len(blocks), -1)
    out = np.empty((len(weights), flat.shape[1]), blocks.dtype)
    unit = unit_rows(weights)
    out[unit] = flat[weights[unit].argmax(axis=1)]
    if unit.all():
        pass
    elif unit.any():
        out[~unit] = weights[~unit].astype(blocks.dtype) @ flat
    else:
        np.matmul(weights.astype(blocks.dtype), flat, out=out)
    return out.reshape(len(weights), *blocks.shape[1:])


def unit_rows(weights: np.ndarray) -> np.ndarray:
    """Returns which rows of ``weights`` are unit vectors; shape ``(m,)``, bool."""
    alone = np.count_nonzero(weights, axis=1) == 1
    unit: np.ndarray = alone & (weights.max(axis=1) == 1.0)
    return unit
