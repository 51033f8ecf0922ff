"""Which blocks are copied and which are computed: prepared once, applied often.

By the rule of ``codes.linear.combine``: a unit vector of weights copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fcdcc_keras.codes import Code
from fcdcc_keras.codes.linear import unit_rows

_RECIPES_KEPT = 1024


@dataclass(frozen=True, eq=False)
class EncodeRecipe:
    """How the coded inputs of some workers come from the k_A parts."""

    count: int
    """Coded inputs: ℓ_A for each worker."""
    copies: tuple[tuple[int, int], ...]
    """(coded input, part) where the one is the other."""
    mixtures: tuple[tuple[slice, np.ndarray], ...]
    """Consecutive other coded inputs, and their columns of A, transposed:
    ``(inputs, k_A)``, float64."""


@dataclass(frozen=True)
class BlockCopy:
    """Blocks (i, j), (i, j + 1), … that stand side by side in one result."""

    i: int
    j: int
    count: int
    survivor: int
    """Position among the survivors."""
    a: int
    b: int
    """Of block (i, j); that of (i, j + 1) is b + 1."""


@dataclass(frozen=True, eq=False)
class DecodeRecipe:
    """How the blocks of the output come from the results of some survivors."""

    copies: tuple[BlockCopy, ...]
    """Blocks that are there already."""
    blocks: tuple[tuple[int, int], ...]
    """(i, j) of the others, in ascending order."""
    used: tuple[int, ...]
    """Positions of the survivors whose results those are computed from."""
    weights: np.ndarray
    """Rows of Dᵀ for those: ``(len(blocks), len(used)·ℓ_A·ℓ_B)``, float64."""


@lru_cache(maxsize=_RECIPES_KEPT)
def encode_recipe(code: Code, workers: tuple[int, ...]) -> EncodeRecipe:
    """Returns how to encode the input for some workers."""
    columns = [w * code.ell_a + a for w in workers for a in range(code.ell_a)]
    weights = code.input_matrix.T[columns]
    unit = unit_rows(weights)
    plain = np.flatnonzero(unit)
    parts = weights[plain].argmax(axis=1)
    return EncodeRecipe(
        count=len(columns),
        copies=tuple(zip(plain.tolist(), parts.tolist(), strict=True)),
        mixtures=tuple((run, weights[run]) for run in _runs(~unit)),
    )


@lru_cache(maxsize=_RECIPES_KEPT)
def decode_recipe(
    code: Code, survivors: tuple[int, ...], rows: int, columns: int
) -> DecodeRecipe:
    """Returns how to decode the results of some survivors.

    Args:
        code: The code.
        survivors: Workers, in ascending order.
        rows: Blocks with i from here on are padding, and not wanted.
        columns: Blocks with j from here on are padding, and not wanted.

    Raises:
        DecodeError: The results do not determine the output.
    """
    weights = code.decoder(survivors).matrix.T
    wanted = [(i, j) for i in range(rows) for j in range(columns)]
    unit = unit_rows(weights).reshape(code.k_a, code.k_b)
    computed = [block for block in wanted if not unit[block]]
    each = code.ell_a * code.ell_b  # results of one worker
    of_worker = weights[[i * code.k_b + j for i, j in computed]].reshape(
        len(computed), len(survivors), each
    )
    used = np.flatnonzero(of_worker.any(axis=(0, 2)))
    return DecodeRecipe(
        copies=tuple(_copies(code, weights, [b for b in wanted if unit[b]])),
        blocks=tuple(computed),
        used=tuple(used.tolist()),
        weights=of_worker[:, used].reshape(len(computed), len(used) * each),
    )


def _copies(
    code: Code, weights: np.ndarray, blocks: list[tuple[int, int]]
) -> Iterator[BlockCopy]:
    """Yields where blocks stand, together those that stand side by side."""
    copy: BlockCopy | None = None
    for i, j in blocks:
        result = int(weights[i * code.k_b + j].argmax())
        pair, b = divmod(result, code.ell_b)
        survivor, a = divmod(pair, code.ell_a)
        if copy is not None:
            n = copy.count
            after = (copy.i, copy.j + n, copy.survivor, copy.a, copy.b + n)
            if after == (i, j, survivor, a, b):
                copy = BlockCopy(i, copy.j, n + 1, survivor, a, copy.b)
                continue
            yield copy
        copy = BlockCopy(i, j, 1, survivor, a, b)
    if copy is not None:
        yield copy


def _runs(chosen: np.ndarray) -> Iterator[slice]:
    """Yields the runs of consecutive indices where ``chosen`` holds."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).tolist()
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield slice(start, stop)
