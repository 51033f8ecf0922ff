"""Which way of cutting a batch into parts has the least to send and to return."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import combinations

from fcdcc_keras.partition.cut import IMAGES, Cut
from fcdcc_keras.partition.geometry import ConvGeometry
from fcdcc_keras.partition.grid import Grid
from fcdcc_keras.partition.parts import Parts

_CLEARLY = 0.9
"""A grid's parts are copied before they are coded, other parts are read in place."""


@lru_cache(maxsize=4096)
def best_parts(
    geometry: ConvGeometry, filters: int, images: int, parts: int
) -> Cut | Grid:
    """Returns the parts with the least to send and to return.

    Args:
        geometry: Sizes of the layer.
        filters: Channels that a worker returns.
        images: B.
        parts: k_A.
    """
    geometry = replace(geometry, filters=filters)
    axes = [0] if parts == 1 else list(range(geometry.rank))
    if images >= parts > 1:
        axes.append(IMAGES)
    # Of equal ones the first: along the height what lies in a row is longest.
    cut = min((Cut(geometry, images, parts, index) for index in axes), key=_moved)
    grids = [
        Grid(geometry, images, pair, (down, parts // down))
        for pair in combinations(range(geometry.rank), 2)
        for down in range(2, parts)
        if parts % down == 0
    ]
    grid = min(grids, key=_moved, default=None)
    clearly = grid is not None and _moved(grid) < _CLEARLY * _moved(cut)
    return grid if grid is not None and clearly else cut


def _moved(parts: Parts) -> int:
    return parts.upload + parts.answer
