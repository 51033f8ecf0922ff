"""How much of a value is expected to be sent where its zeros are left out."""

import math

import pytest

from fcdcc_keras.planning.chains.tile_time import Rates, TileCost, chain_time
from fcdcc_keras.planning.chains.zeros import SPARED, part_sent
from fcdcc_keras.programs import (
    Activation,
    AveragePool,
    Convolution,
    MaxPool,
    Merge,
    Program,
    Reshape,
)

POOL = (2, 2), (2, 2), ((0, 0), (0, 0))


def program(*operations):
    same = (1, 1), (1, 1), ((0, 0), (0, 0))
    return Program(
        (8,), 2, (Convolution((0,), (0,), *same), *operations), ((1, 1, 8, 8),)
    )


RELU = Activation((1,), (), "relu")


@pytest.mark.parametrize(
    ("operations", "spared"),
    [
        ((), 0),
        ((RELU,), SPARED),
        ((Activation((1,), (), "relu6"),), SPARED),
        ((Activation((1,), (), "leaky_relu"),), 0),
        ((Activation((1,), (), "relu", (("negative_slope", 0.1),)),), 0),
        ((Activation((1,), (), "gelu"),), 0),
        ((RELU, MaxPool((2,), (), *POOL)), SPARED),
        ((RELU, AveragePool((2,), (), *POOL)), 0),
        ((RELU, Reshape((2,), (), (64,))), SPARED),
        # The sum of a block and its shortcut: half are negative only where both may be.
        ((Merge((1, 0), (), "add"), Activation((2,), (), "relu")), SPARED),
        ((RELU, Merge((2, 1), (), "add"), Activation((3,), (), "relu")), 0),
    ],
)
def test_only_what_a_relu_yields_is_expected_to_have_zeros(operations, spared):
    made = program(*operations)
    assert part_sent(made, len(operations) + 1) == 1 - spared
    assert part_sent(made, 0) == 1


def test_zeros_are_left_out_where_the_link_is_slow():
    assert Rates(bandwidth=1e7, copying=1e9).sparse
    assert not Rates(bandwidth=1e9, copying=1e9).sparse
    assert not Rates(bandwidth=1e7, copying=1e9, near=True).sparse
    assert not Rates().sparse  # nobody knows


def test_what_is_left_out_takes_the_link_no_time_but_the_client():
    rates = Rates(bandwidth=100.0, copying=10_000.0)
    whole = chain_time([TileCost(0, 1000.0, 1.0, 500.0)], rates).total
    spared = chain_time([TileCost(0, 1000.0, 1.0, 500.0, 0.5, 0.5)], rates).total
    # Half of 15 s on the link, and six copies of 1,500 bytes.
    assert math.isclose(whole - spared, 7.5 - 6 * 0.15)
