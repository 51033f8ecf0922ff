"""Tiles of chains whose workers keep what they yield and exchange halos of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fcdcc_keras.partition.boxes import SizedProgram, whole
from fcdcc_keras.partition.tiling import bands
from fcdcc_keras.planning.chains.tile_time import Rates
from fcdcc_keras.planning.chains.tiles import Tiles


def best_exchange(
    sized: Sequence[SizedProgram], speeds: Sequence[float], rates: Rates | None = None
) -> tuple[Tiles, ...]:
    """Returns the tiles of each chain of a run of them that workers exchange halos for.

    Every worker that has any has one of each chain, at the same place.

    Args:
        sized: The chains, one after another.
        speeds: Of the workers that are to have tiles, relative to each other.
        rates: What they are weighed by; default: ``Rates()``.
    """
    shapes = [one.shapes[-1] for one in sized]
    team = list(range(len(speeds)))
    while len(team) > 1:
        mine = [speeds[worker] for worker in team]
        cut = [bands(shape, mine) for shape in shapes]
        if all(len(boxes) == len(team) for boxes in cut):
            return tuple(
                tuple((team[number], box) for number, box in boxes.items())
                for boxes in cut
            )
        team = [team[number] for number in min(cut, key=len)]
        team = team if len(team) < len(mine) else team[:-1]
    fastest = max(range(len(speeds)), key=lambda worker: speeds[worker])
    return tuple(((fastest, whole(shape)),) for shape in shapes)
