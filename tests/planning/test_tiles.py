"""Which tiles are chosen, for the workers that are there."""

import math

import numpy as np
import pytest

from fcdcc_keras.partition.boxes import SizedProgram, slices
from fcdcc_keras.planning.chains.tile_time import Rates
from fcdcc_keras.planning.chains.tiles import best_tiles, parts, tilings
from tests.planning.stretches_to_plan import deep

SHAPE = (1, 12, 8, 3)


@pytest.mark.parametrize("speeds", [(1.0,) * 6, (1.0, 3.0, 0.1, 2.0), (1.0,) * 200])
@pytest.mark.parametrize("shape", [SHAPE, (3, 2, 5, 1), (1, 1, 1, 4), (1, 9, 4)])
def test_every_way_makes_up_the_output(shape, speeds):
    for tiles in tilings(shape, speeds, local=True):
        times = np.zeros(shape[:-1], int)
        for worker, box in tiles:
            assert 0 <= worker < len(speeds)
            times[slices(box)] += 1
        assert (times == 1).all()


def test_a_wide_kernel_is_cut_so_that_least_overlaps():
    program = deep(3).program
    square = SizedProgram(program, [(1, 32, 32, 64)])
    wide = SizedProgram(program, [(1, 8, 128, 64)])
    few = Rates(bandwidth=1e12)
    assert parts(best_tiles(square, (1.0,) * 4, few)) == (1, 2, 2)
    assert parts(best_tiles(wide, (1.0,) * 4, few)) == (1, 1, 4)


def test_where_there_are_images_enough_each_worker_has_some():
    sized = SizedProgram(deep(1, head=True).program, [(7, 32, 32, 64)])
    tiles = best_tiles(sized, (1.0, 1.0, 2.0))
    assert [len(box[0]) for _, box in tiles] == [2, 2, 3]
    one = SizedProgram(deep(1, head=True).program, [(1, 32, 32, 64)])
    assert [worker for worker, _ in best_tiles(one, (1.0, 2.0))] == [1]


def test_what_is_no_grid_has_no_parts():
    unequal = tilings((1, 7, 7, 1), (3.0, 1.0, 2.0), local=True)
    assert () in [parts(tiles) for tiles in unequal]
    assert math.prod(parts(tilings(SHAPE, (1.0,) * 4, local=True)[0])) == 4
