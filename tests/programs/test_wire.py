"""Programs as JSON and bytes: there and back, and whatever else may arrive."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fcdcc_keras import programs as p
from fcdcc_keras.errors import PlanError
from fcdcc_keras.programs import Program, from_wire, to_wire

_LIMIT = 10**6
_SMALL = ((0, 1), (1, 0))
_ALL = Program(
    channels=(4, 4),
    rank=2,
    operations=(
        p.Convolution((0,), (0, 1), (1, 1), (1, 1), ((1, 1), (1, 1))),
        p.Depthwise((2,), (2,), (1, 1), (2, 2), ((2, 2), (2, 2))),
        p.Separable((3,), (3,), (1, 1), (1, 1), ((1, 1), (1, 1)), (3, 3), 1),
        p.Transposed((4,), (0, 1), (2, 2), (1, 1), ((0, -1), (1, 0))),
        p.Dense((5,), (4, 1)),
        p.MaxPool((6,), (), (2, 2), (2, 2), _SMALL),
        p.AveragePool((7,), (), (2, 2), (1, 1), _SMALL),
        p.ZeroPad((8,), (), _SMALL),
        p.Crop((9,), (), _SMALL),
        p.Upsample((10,), (), (2, 2), "bilinear"),
        p.Activation((11,), (), "relu", (("max_value", 6.0), ("threshold", 0.5))),
        p.Activation((12,), (), "gelu", (("approximate", True),)),
        p.Bias((13,), (1,)),
        p.Scale((14,), (1,)),
        p.PReLU((15,), (1,)),
        p.BatchNormalization((16,), (1, 1, 1, 1), 1e-5),
        p.Normalization((17,), (1, 1)),
        p.Rescaling((18,), (), 1 / 127.5, -1.0),
        p.Merge((19, 19), (), "multiply"),
        p.Concatenate((20, 19), (), -1),
        p.GlobalMaxPool((21,), (), True),
        p.GlobalAveragePool((22,)),
        p.Reshape((23,), (), (2, 0)),
    ),
    weights=((3, 3, 4, 4), (4,), (3, 3, 4, 1), (36 + 16,), (4, 4)),
)


def _weights(program: Program) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.standard_normal(w).astype(program.dtype) for w in program.weights]


def test_every_operation_is_among_them() -> None:
    assert {operation.kind for operation in _ALL.operations} == set(p.KINDS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_there_and_back(dtype: str) -> None:
    program = replace(_ALL, dtype=dtype)
    weights = _weights(program)
    text, buffers = to_wire(program, weights)
    found, arrays = from_wire(text.encode(), buffers, _LIMIT)
    assert found == program
    assert hash(found) == hash(program)
    for array, weight in zip(arrays, weights, strict=True):
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, weight)


def test_weights_are_not_copied() -> None:
    text, buffers = to_wire(_ALL, _weights(_ALL))
    held = [bytearray(buffer) for buffer in buffers]
    _, arrays = from_wire(text, held, _LIMIT)
    for array, buffer in zip(arrays, held, strict=True):
        assert np.shares_memory(array, np.frombuffer(buffer, np.uint8))


def test_the_text_is_plain_json() -> None:
    text, _ = to_wire(_ALL, _weights(_ALL))
    data = json.loads(text)
    assert data["version"] == 1
    assert data["operations"][0] == {
        "kind": "conv",
        "reads": [0],
        "weights": [0, 1],
        "strides": [1, 1],
        "dilation_rate": [1, 1],
        "pads": [[1, 1], [1, 1]],
    }


def test_other_weights_are_not_written() -> None:
    weights = _weights(_ALL)
    with pytest.raises(PlanError, match="5 arrays of float32, of shapes"):
        to_wire(_ALL, weights[1:])
    with pytest.raises(PlanError, match="5 arrays of float32, of shapes"):
        to_wire(_ALL, [weight.astype("float64") for weight in weights])


def _changed(change: Callable[[dict[str, Any]], object]) -> str:
    data = json.loads(to_wire(_ALL, _weights(_ALL))[0])
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda d: d.update(version=2),
            "version 1 or before. Received: version 2. Inst",
        ),
        (lambda d: d.update(version=0), "name its version"),
        (lambda d: d.update(version=True), "name its version"),
        (lambda d: d.update(more=1), "have the fields"),
        (lambda d: d.pop("rank"), "have the fields"),
        (lambda d: d.update(dtype="int8"), "dtype float32 or float64"),
        (lambda d: d.update(dtype=["float32"]), "dtype float32 or float64"),
        (lambda d: d.update(rank="2"), "0 to 3 dimensions"),
        (lambda d: d.update(channels=4), "list of channels"),
        (lambda d: d.update(channels=[[4], 4]), "inputs with channels"),
        (lambda d: d.update(weights=[4]), "list of shapes"),
        (lambda d: d.update(operations={}), "list of operations"),
        (lambda d: d["operations"].append(7), "operations that are objects"),
        (lambda d: d["operations"][0].update(kind="eval"), "Received: kind='eval'"),
        (lambda d: d["operations"][0].update(kind=[]), "have operations of"),
        (lambda d: d["operations"][0].update(more=1), "give a conv parameters of"),
        (lambda d: d["operations"][0].pop("reads"), "give a conv parameters of"),
        (lambda d: d["operations"][0].update(reads=[10**400]), "`reads`.*30 digits"),
        (lambda d: d["operations"][0].update(pads=[[1, 1], [1, {}]]), "`pads`"),
        (lambda d: d["operations"][0].update(strides=None), "`strides`"),
        (lambda d: d["operations"][17].update(scale=True), "`scale`"),
        (lambda d: d["operations"][17].update(scale=float("nan")), "`scale`"),
        (lambda d: d["operations"][10].update(parameters=[[["x"], 1]]), "`parameters`"),
        (lambda d: d["weights"].pop(), "name weights that it has: 4"),
        (lambda d: d["weights"].append([2]), "with all its 6 weights. Received: 5"),
        (lambda d: d["weights"].append([2] * 9), "up to 5 axes"),
        (
            lambda d: d.update(weights=[*d["weights"][:4], [4, 5]]),
            "Operation 4: The bia",
        ),
    ],
)
def test_what_breaks_a_rule_is_said(change: Any, said: str) -> None:
    buffers = to_wire(_ALL, _weights(_ALL))[1]
    with pytest.raises(PlanError, match=said):
        from_wire(_changed(change), buffers, _LIMIT)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '"x"', "\x00", b"\xff\xfe", "[" * 10**5, "9" * 5000, "NaN"],
)
def test_what_is_no_program_is_said(text: str | bytes) -> None:
    with pytest.raises(PlanError, match=r"must (be|name) .*Received: .*Send it again"):
        from_wire(text, [], _LIMIT)


def test_weights_of_another_size() -> None:
    text, buffers = to_wire(_ALL, _weights(_ALL))
    with pytest.raises(PlanError, match=r"Weight 1 .* have 16 bytes. Received: 15"):
        from_wire(text, [buffers[0], buffers[1][:-1], *buffers[2:]], _LIMIT)


def test_more_than_a_stated_size() -> None:
    text, buffers = to_wire(_ALL, _weights(_ALL))
    size = len(text) + sum(map(len, buffers))
    from_wire(text, buffers, size)
    with pytest.raises(PlanError, match=rf"at most {size - 1} bytes.*{size} bytes"):
        from_wire(text, buffers, size - 1)
    with pytest.raises(PlanError, match=r"at most 1048576 bytes of text"):
        from_wire(" " * (2**20 + 1), [], 2**40)


_STRANGE = (
    *(None, True, False, "", "relu", "conv", [], {}, [[]], -1, 0, 1, 2, 3, 7, 10**400),
    *(2**31 - 1, 2**31, 2**63, -(2**31), 0.5, 1e308, float("inf"), float("nan")),
    *([2**31 - 1] * 5, [[2**31 - 1, 2**31 - 1]] * 2, [1] * 999, "\ud800", "\x00"),
)


def _place(chance: random.Random, data: Any) -> tuple[Any, Any]:
    """Returns something in a JSON value that can be replaced: what holds it, where."""
    while True:
        key = chance.choice(list(data) if isinstance(data, dict) else range(len(data)))
        inside = data[key]
        if not isinstance(inside, dict | list) or not inside or chance.random() < 0.1:
            return data, key
        data = inside


def _mutate(chance: random.Random, text: str, buffers: list[bytes]) -> Any:
    """Returns a program with something or other changed."""
    buffers = list(buffers)
    if chance.random() < 0.3:
        raw = bytearray(text.encode())
        for _ in range(chance.choice((1, 1, 2, 5, 50))):
            at = chance.randrange(len(raw))
            match chance.randrange(4):
                case 0:
                    raw[at] = chance.randrange(256)
                case 1:
                    raw[at:at] = chance.choice((b"[", b"9" * 99, b"{", b",", b"\xff"))
                case 2:
                    del raw[at : at + chance.randrange(1, 99)]
                case _:
                    raw[at:at] = raw[at : at + chance.randrange(1, 99)]
            if not raw:
                break
        return bytes(raw), buffers
    if chance.random() < 0.2:
        at = chance.randrange(len(buffers))
        match chance.randrange(3):
            case 0:
                buffers[at] = buffers[at][: chance.randrange(len(buffers[at]))]
            case 1:
                del buffers[at]
            case _:
                buffers.insert(at, chance.choice(buffers))
        return text, buffers
    data = json.loads(text)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        holder, key = _place(chance, data)
        value = deepcopy(chance.choice(_STRANGE))
        match chance.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(key, value)
            case 1:
                holder[chance.choice(("kind", "x", "pads"))] = value
            case 2 if isinstance(holder[key], int):
                holder[key] += chance.choice((-1, 1, 2**20, -(2**33)))
            case _:
                holder[key] = value
    return json.dumps(data), buffers


def test_10000_mutated_programs() -> None:
    # Whatever arrives is a program, or the error that says so; it takes no memory that
    # it only names. Beginnings of a program are programs.
    chance = random.Random(20)
    whole = [
        to_wire(program, _weights(program))
        for program in (
            replace(_ALL, operations=_ALL.operations[:many])
            for many in (1, 2, 3, 5, 9, 14, len(_ALL.operations))
        )
    ]
    said = []
    for number in range(10_000):
        mutated = _mutate(chance, *chance.choice(whole))
        measured = number % 10 == 0
        if measured:
            tracemalloc.start()
        try:
            program, arrays = from_wire(*mutated, _LIMIT)
            program.check_weights(arrays)
            program.shapes([(1, 64, 64, c) for c in program.channels])
        except PlanError as error:
            said.append(str(error))
        if measured:
            assert tracemalloc.get_traced_memory()[1] < _LIMIT
            tracemalloc.stop()
    assert all("Received: " in text and len(text) < 1500 for text in said)
    assert 7_000 < len(said) < 10_000
