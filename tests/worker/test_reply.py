"""Replies as bytes: what went in comes out, and nonsense is refused."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcdcc_keras.worker.reply import Reply
from fcdcc_keras.worker.zeros import without_zeros


def reply(array):
    return Reply(array=array, error=None, started=1.5, finished=2.5)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype="float32").reshape(2, 3, 4),
        np.arange(24.0).reshape(4, 6).T,
        np.zeros((0, 3)),
        np.array(7, "float64"),
    ],
)
def test_a_result_comes_back_as_it_was(array):
    back = Reply.from_bytes(bytes(reply(array).to_bytes()), array.nbytes)
    np.testing.assert_array_equal(back.array, array)
    assert back.array.dtype == array.dtype
    assert (back.error, back.started, back.finished) == (None, 1.5, 2.5)


def test_a_result_is_aligned_where_its_message_is():
    whole = reply(np.ones(8)).to_bytes()
    start = np.frombuffer(whole, "u1").ctypes.data
    assert (Reply.from_bytes(whole, 64).array.ctypes.data - start) % 64 == 0


def test_an_error_comes_back_as_text():
    back = Reply.from_bytes(Reply(error="out of memory: \ud800 λ").to_bytes(), 64)
    assert back.array is None
    assert back.error == "out of memory: \ud800 λ"


def test_whatever_is_raised_becomes_text():
    def fail():
        raise KeyboardInterrupt("now")

    assert Reply.of(fail).error == "KeyboardInterrupt: now"


OBJECTS = {**json.loads(reply(np.ones(8)).to_wire()), "dtype": "O"}
LARGE = {**json.loads(reply(np.ones(8)).to_wire()), "shape": [9]}


@pytest.mark.parametrize("said", [OBJECTS, LARGE, {}, {"error": None}, [], "", None])
def test_nonsense_is_refused(said):
    text = json.dumps(said).encode()
    whole = len(text).to_bytes(8, "little") + text
    whole = whole.ljust(-(-len(whole) // 64) * 64) + np.ones(8).tobytes()
    with pytest.raises(ValueError, match=r"."):
        Reply.from_bytes(whole, 64)


@pytest.mark.parametrize("whole", [b"", b"12345678", b"\xff" * 200])
def test_no_text_is_refused(whole):
    with pytest.raises(ValueError, match=r"."):
        Reply.from_bytes(whole, 64)


def test_what_is_said_has_its_types():
    text = json.dumps({**LARGE, "error": ["a", 1], "started": "3", "shared": 1})
    said = Reply.from_wire(text, 64, None)
    assert said.error == "['a', 1]"
    assert (said.started, said.shared) == (3.0, False)


TRUE = json.loads(reply(np.ones(8)).to_wire())


@pytest.mark.parametrize(
    "said",
    [
        {"shape": [-1, -8]},
        {"shape": [-1, -1]},
        {"shape": [8.0]},
        {"shape": [True, 8]},
        {"shape": "8"},
        {"shape": [10**30]},
        {"shape": [16], "dtype": "<f2"},
        {"dtype": "<i8"},
        {"dtype": "V8"},
        {"dtype": "(8,)u1"},
        {"dtype": None},
        {"started": float("nan")},
        {"finished": "1e999"},
        {"finished": 10**400},
        {"shape": [1] * 8 + [8]},
        {"shape": [9] * 300_000},
    ],
)
def test_what_no_result_can_be_is_refused_before_there_is_an_array(said):
    text = json.dumps({**TRUE, **said}).encode()
    whole = len(text).to_bytes(8, "little") + text
    whole = whole.ljust(-(-len(whole) // 64) * 64) + np.ones(8).tobytes()
    with pytest.raises(ValueError, match=r"cannot be true|in place of 64 bytes"):
        Reply.from_bytes(whole, 64)


@pytest.mark.parametrize("field", list(TRUE))
def test_a_text_that_says_less_is_refused(field):
    said = {name: value for name, value in TRUE.items() if name != field}
    with pytest.raises(ValueError, match=f"cannot be true: KeyError: '{field}'"):
        Reply.from_wire(json.dumps(said), 64, None)


def test_a_result_without_its_zeros_is_the_same_or_refused():
    array = np.where(np.arange(64) % 3 == 0, np.arange(64), 0).astype("float64")
    sent = without_zeros(array)
    said = replace(reply(array), without_zeros=sent).to_wire()
    back = Reply.from_wire(said, array.nbytes, lambda: sent)
    np.testing.assert_array_equal(back.array, array)
    assert back.received == sent.nbytes < array.nbytes
    for wrong in (sent[:-8], array.view(np.uint8)):
        with pytest.raises(ValueError, match="bytes for"):
            Reply.from_wire(said, array.nbytes, lambda given=wrong: given)


@pytest.mark.parametrize("text", ["[" * 100_000, json.dumps({"error": "a" * 2**20})])
def test_texts_that_are_too_deep_or_too_long_are_refused(text):
    with pytest.raises(ValueError, match="cannot be true"):
        Reply.from_wire(text, 64, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
SAID = st.fixed_dictionaries(
    {},
    optional={
        "error": JSON,
        "shape": JSON | st.lists(st.integers(-9, 9), max_size=3),
        "dtype": JSON | st.sampled_from(["<f4", ">f8", "O", "U4", "<f8,<f8", "M8[s]"]),
        "started": JSON,
        "shared": JSON,
    },
)
RIGHT = np.arange(8.0)


@settings(max_examples=300, deadline=None)
@given(SAID, st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=3))
def test_whatever_is_answered_is_refused_or_as_large_as_it_must_be(said, flips):
    text = json.dumps({**json.loads(reply(RIGHT).to_wire()), **said}).encode()
    whole = bytearray(len(text).to_bytes(8, "little") + text)
    whole = whole.ljust(-(-len(whole) // 64) * 64) + RIGHT.tobytes()
    for place, value in flips:
        whole[place % len(whole)] = value
    tracemalloc.start()
    try:
        back = Reply.from_bytes(whole, RIGHT.nbytes)
    except ValueError:
        pass
    else:
        assert back.error is not None or (
            back.array.nbytes == RIGHT.nbytes and back.array.dtype.kind == "f"
        )
        if not said and not flips:
            np.testing.assert_array_equal(back.array, RIGHT)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused(whole):
    with pytest.raises(ValueError, match=r"."):
        Reply.from_bytes(whole, 64)
