"""What a worker does between chains goes as bytes, and comes as it was."""

import json
import zlib

import numpy as np
import pytest

from fcdcc_keras.worker import stages as module
from fcdcc_keras.worker.stages import (
    ExchangeStage,
    bounds,
    packed_stages,
    part,
    unpacked_stages,
)

BOX = (range(0, 1), range(2, 5), range(3, 9))
STAGES = (
    ExchangeStage(
        "key-1",
        '{"operations": ["a program"]}',
        (1, 4, 6, 3),
        ((((0, 1), (2, 4)), ((0, 1), (1, 3))),),
        (("tcp://127.0.0.1:1", ((0, 1), (2, 3))),),
        ((2, ((0, 1), (0, 1))),),
    ),
    ExchangeStage("key-2", "another", (1, 2), (), (), ()),
)


def test_they_come_as_they_went():
    assert unpacked_stages(packed_stages(STAGES)) == STAGES
    assert unpacked_stages(packed_stages(())) == ()


def test_programs_that_are_alike_take_little_room():
    text = json.dumps({"operations": ["convolution"] * 200})
    many = [ExchangeStage(f"key-{n}", text, (1, 2), (), (), ()) for n in range(20)]
    assert len(packed_stages(many)) < len(text)


def test_a_box_is_taken_out_of_an_array():
    value = np.arange(2 * 7 * 9 * 2).reshape(2, 7, 9, 2)
    assert bounds(BOX) == ((0, 1), (2, 5), (3, 9))
    np.testing.assert_array_equal(value[part(bounds(BOX))], value[:1, 2:5, 3:9])


@pytest.mark.parametrize(
    "data",
    [b"", b"none", zlib.compress(b"["), zlib.compress(b"[[1, 2]]")],
    ids=["empty", "not packed", "no text", "too few"],
)
def test_what_is_none_is_refused(data):
    with pytest.raises((ValueError, TypeError, zlib.error)):
        unpacked_stages(data)


def test_it_unpacks_no_more_than_it_may(monkeypatch):
    monkeypatch.setattr(module, "_LONGEST", 1000)
    packed = packed_stages([ExchangeStage("k", "p" * 10_000, (1,), (), (), ())])
    with pytest.raises(ValueError, match="Unterminated"):
        unpacked_stages(packed)
