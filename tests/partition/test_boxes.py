"""Tiles of every operation, and of programs, against their whole outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras import programs as p
from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import Box, SizedProgram
from fcdcc_keras.partition.boxes import slices
from fcdcc_keras.partition.tiling import grid
from tests.partition.networks import NETWORKS
from tests.partition.programs_to_cut import Drawn, programs, with_numbers


@st.composite
def _boxes(draw: st.DrawFn, shape: Sequence[int]) -> list[Box]:
    """Draws an uneven grid: where each axis of an output is cut."""
    boxes: list[Box] = [()]
    for size in shape[:-1]:
        cuts = draw(st.sets(st.integers(1, max(1, size - 1)), max_size=3))
        ends = sorted({0, size, *(cut for cut in cuts if cut < size)})
        ranges = list(map(range, ends, ends[1:]))
        boxes = [(*box, rows) for box in boxes for rows in ranges]
    return boxes


def _check(drawn: Drawn, boxes: Sequence[Box]) -> None:
    """Checks that tiles are the whole output's parts, and cost what is said."""
    whole, program = drawn.whole, drawn.program
    sized = SizedProgram(program, drawn.shapes)
    largest = abs(whole).max()
    for box in boxes:
        tile, load = sized.tile(box), sized.load(box)
        assert tile.program.weights == program.weights
        inputs = tile.crop(drawn.inputs)
        found = drawn.run(tile.program, inputs)
        expected = whole[slices(box)]
        assert found.shape == expected.shape
        assert abs(found - expected).max() <= 1e-12 * largest
        assert load.upload == sum(x.nbytes for x in inputs)
        assert load.answer == found.nbytes
        shapes = [x.shape for x in inputs]
        assert load.multiply_adds == tile.program.multiply_adds(shapes)
        assert load.multiply_adds == sum(sized.work(box))
        for axis, rows in enumerate(box[: len(tile.inputs[0])]):
            assert sized.along(axis, rows)[0][axis] == tile.inputs[0][axis]


@pytest.mark.parametrize("kind", p.KINDS)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_tiles_of_an_operation(kind: str, data: st.DataObject) -> None:
    drawn = data.draw(programs(kind))
    _check(drawn, data.draw(_boxes(drawn.whole.shape)))


@settings(deadline=None, max_examples=120)
@given(data=st.data())
def test_tiles_of_a_program(data: st.DataObject) -> None:
    drawn = data.draw(programs())
    _check(drawn, data.draw(_boxes(drawn.whole.shape)))


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_of_a_network(name: str) -> None:
    drawn = NETWORKS[name]()
    shape = drawn.whole.shape
    ones = (1,) * (len(shape) - 2)
    for counts in ((1, 2, 3, 2), (1, 6), (2, 1, 5), (1, 99), (3, 3, 99)):
        _check(drawn, grid(shape, (*counts, *ones)[: len(shape) - 1]))


def _spoilt(drawn: Drawn, number: int, place: tuple[slice, ...]) -> np.ndarray:
    """Returns the whole output where a part of an input is not a number."""
    inputs = [x.copy() for x in drawn.inputs]
    inputs[number][place] = np.nan
    return drawn.run(drawn.program, inputs)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_box_depends_on_all_rows_that_it_needs_and_no_others(name: str) -> None:
    drawn = NETWORKS[name]()
    sized = SizedProgram(drawn.program, drawn.shapes)
    for box in grid(drawn.whole.shape, (1, *[3] * drawn.program.rank)):
        needed = sized.needed(box)
        for number, x in enumerate(drawn.inputs):
            for axis, rows in enumerate(needed[number] or ()):
                edges = {rows[0] - 1, rows[0], rows[-1], rows[-1] + 1}
                for row in edges & set(range(x.shape[axis])):
                    place = (*[slice(None)] * axis, slice(row, row + 1))
                    found = np.isnan(_spoilt(drawn, number, place)[slices(box)])
                    assert found.any() == (row in rows)


def test_rows_that_convolutions_need() -> None:
    """By hand: two 3×3 convolutions, then a pool of 2; columns reach both borders."""
    drawn = NETWORKS["plain"]()
    program = replace(drawn.program, operations=drawn.program.operations[:5])
    sized = SizedProgram(program, drawn.shapes)
    box = (range(1, 2), range(3, 5), range(0, 8))
    assert sized.needed(box) == [
        (range(1, 2), range(4, 12), range(0, 17)),
        *[(range(1, 2), range(5, 11), range(0, 17))] * 2,
        *[(range(1, 2), range(6, 10), range(0, 16))] * 2,
        box,
    ]
    pads = [o.pads for o in sized.tile(box).program.operations if hasattr(o, "pads")]
    # Above and below the tile is more of the image, and right of what is pooled.
    assert pads == [((0, 0), (1, 1)), ((0, 0), (1, 0)), ((0, 0), (0, 0))]


def test_tiles_inside_of_an_image_are_one_program() -> None:
    drawn = NETWORKS["plain"]()
    sized = SizedProgram(drawn.program, [(1, 224, 224, 2)])
    tiles = [sized.tile(box) for box in grid(sized.shapes[-1], (1, 8, 1))]
    assert len({tile.program for tile in tiles[1:-1]}) == 1


@pytest.mark.parametrize(
    ("operation", "weight"),
    [
        (p.ZeroPad((0,), (), ((4, 3), (0, 0))), None),
        (p.Convolution((0,), (0,), (1, 1), (1, 1), ((6, 9), (0, 0))), (3, 1, 1, 2)),
        (p.Convolution((0,), (0,), (3, 1), (1, 1), ((7, 7), (0, 0))), (2, 1, 1, 2)),
        (p.Depthwise((0,), (0,), (5, 1), (1, 1), ((9, 9), (0, 0))), (2, 1, 1, 2)),
        (p.Transposed((0,), (0,), (2, 1), (1, 1), ((1, -5), (0, 0))), (2, 1, 1, 1)),
        (p.Transposed((0,), (0,), (5, 1), (1, 1), ((3, -5), (0, 0))), (2, 1, 1, 1)),
        (p.Transposed((0,), (0,), (2, 1), (1, 1), ((5, -9), (0, 0))), (2, 1, 1, 1)),
    ],
)
@pytest.mark.parametrize("rows", [1, 2])
def test_rows_of_padding_alone(
    operation: p.Operation, weight: tuple[int, ...] | None, rows: int
) -> None:
    weights = [weight] if weight else []
    drawn = with_numbers([(1, rows, 2, 1)], [operation], weights)
    shape = drawn.whole.shape
    _check(drawn, grid(shape, (1, shape[1], 2)))
    # With an operation after it, which reads what is cropped.
    more = p.MaxPool((1,), (), (2, 1), (1, 1), ((1, 0), (0, 0)))
    deeper = with_numbers([(1, rows, 2, 1)], [operation, more], weights)
    _check(deeper, grid(deeper.whole.shape, (1, shape[1], 2)))


def test_rows_of_padding_alone_need_the_row_beside_them() -> None:
    pad = p.ZeroPad((0,), (), ((4, 3),))
    conv = p.Convolution((1,), (0,), (1,), (1,), ((6, 6),))
    drawn = with_numbers([(1, 5, 2)], [pad, conv], [(3, 2, 1)])
    sized = SizedProgram(drawn.program, drawn.shapes)
    last = sized.shapes[-1][1] - 1
    assert sized.needed((range(1), range(0, 2)))[0] == (range(1), range(0, 1))
    assert sized.needed((range(1), range(last, last + 1)))[0] == (range(1), range(4, 5))


def test_a_fork_is_cropped_once_for_all_who_need_the_same() -> None:
    conv = p.Convolution((0,), (0,), (1,), (1,), ((1, 1),))
    same = [p.Activation((0,), (), name) for name in ("relu", "tanh")]
    drawn = with_numbers([(1, 9, 2)], [conv, *same, p.Merge((1, 2, 3))], [(3, 2, 2)])
    box = (range(1), range(3, 6))
    tile = SizedProgram(drawn.program, drawn.shapes).tile(box)
    kinds = [operation.kind for operation in tile.program.operations]
    assert kinds == ["conv", "crop", "activation", "activation", "merge"]
    assert tile.inputs == ((range(1), range(2, 7)),)
    _check(drawn, [box])


def test_a_tile_of_an_image_alone_is_the_same_program() -> None:
    """Where something is not local, there are tiles along the images."""
    conv = p.Convolution((0,), (0,), (1, 1), (1, 1), ((1, 1), (1, 1)))
    drawn = with_numbers(
        [(5, 6, 7, 2)],
        [
            conv,
            p.Reshape((1,), (), (0,)),
            p.Dense((2,), (1,)),
            p.Activation((3,), (), "softmax"),
        ],
        [(3, 3, 2, 2), (84, 3)],
    )
    boxes = grid(drawn.whole.shape, (3,))
    assert boxes == [(range(0, 2),), (range(2, 4),), (range(4, 5),)]
    _check(drawn, boxes)
    sized = SizedProgram(drawn.program, drawn.shapes)
    assert {sized.tile(box).program for box in boxes} == {drawn.program}
    assert sized.tile(boxes[1]).inputs == ((range(2, 4), range(6), range(7)),)


def test_rows_of_what_is_not_local_need_all() -> None:
    gate = [
        p.GlobalAveragePool((0,), (), True),
        p.Dense((1,), (0,)),
        p.Merge((0, 2), (), "multiply"),
    ]
    drawn = with_numbers([(2, 9, 4, 3)], gate, [(3, 3)])
    box = (range(1, 2), range(3, 5), range(0, 4))
    sized = SizedProgram(drawn.program, drawn.shapes)
    _check(drawn, [box])
    one = (range(1, 2), range(0, 1), range(0, 1))
    whole = (range(1, 2), range(9), range(4))
    assert sized.needed(box) == [whole, one, one, box]


def test_what_nothing_needs_is_not_computed() -> None:
    unread = p.Activation((1,), (), "tanh")
    drawn = with_numbers(
        [(2, 6, 5, 2), (2, 4, 4, 2), (1, 4, 4, 2)],
        [unread, p.Activation((0,), (), "relu")],
        [(7,)],
    )
    box = (range(1, 2), range(2, 4), range(5))
    sized = SizedProgram(drawn.program, drawn.shapes)
    tile = sized.tile(box)
    assert [o.kind for o in tile.program.operations] == ["activation"]
    # An input must be something: of one that is not read it is a pixel.
    pixel = range(0, 1), range(0, 1)
    assert tile.inputs == (box, (range(1, 2), *pixel), (range(0, 1), *pixel))
    assert sized.needed(box) == [box, None, None, None, box]
    _check(drawn, [box])


def test_a_tile_that_is_its_input() -> None:
    drawn = with_numbers(
        [(1, 9, 8, 2)],
        [p.Crop((0,), (), ((1, 2), (3, 0))), p.ZeroPad((1,), (), ((1, 1), (1, 1)))],
        [],
    )
    inside = (range(0, 1), range(2, 4), range(2, 5))
    tile = SizedProgram(drawn.program, drawn.shapes).tile(inside)
    assert tile.program.operations == (p.Activation((0,)),)
    _check(drawn, [inside, *grid(drawn.whole.shape, (1, 3, 3))])


@pytest.mark.parametrize(
    "box",
    [
        (range(0, 1), range(0, 3), range(3, 3)),
        (range(0, 1), range(0, 3), range(3, 2)),
        (range(0, 1), range(-1, 3), range(0, 2)),
        (range(0, 1), range(0, 6), range(0, 2)),
        (range(1, 3), range(0, 3), range(0, 2)),
        (range(0, 1), range(0, 3, 2), range(0, 2)),
        (range(0, 1), range(0, 3)),
        (range(0, 1), range(0, 3), range(0, 2), range(0, 1)),
    ],
)
def test_boxes_that_are_none_of_the_output(box: Box) -> None:
    drawn = with_numbers([(2, 5, 6, 1)], [p.Activation((0,), (), "relu")], [])
    sized = SizedProgram(drawn.program, drawn.shapes)
    for method in (sized.needed, sized.load, sized.tile):
        with pytest.raises(
            PlanError, match=r"at least one of each\. Received: .*Choos"
        ):
            method(box)


def test_inputs_that_a_program_refuses() -> None:
    drawn = NETWORKS["plain"]()
    with pytest.raises(PlanError, match=r"sizes from 1 .*Received: max_pool"):
        SizedProgram(drawn.program, [(1, 1, 9, 2)])
    with pytest.raises(PlanError, match="inputs must have 2 dimensions"):
        SizedProgram(drawn.program, [(1, 9, 2)])
