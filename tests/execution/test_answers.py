"""Replies as bytes: what went in comes out, and nonsense is refused."""

import json

import numpy as np
import pytest

from fcdcc_keras.execution.answers import About, about, joined, parted, plain_reply
from fcdcc_keras.execution.subtask import Reply, no_reply


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
    back = parted(bytes(joined(plain_reply(lambda: reply(array)))))
    np.testing.assert_array_equal(back["array"], array)
    assert back["array"].dtype == array.dtype
    assert (back["error"], back["started"], back["finished"]) == (None, 1.5, 2.5)


def test_a_result_is_aligned_where_its_message_is():
    whole = joined(plain_reply(lambda: reply(np.ones(8))))
    start = np.frombuffer(whole, "u1").ctypes.data
    assert (parted(whole)["array"].ctypes.data - start) % 64 == 0


def test_an_error_comes_back_as_text():
    back = parted(joined(no_reply("out of memory: \ud800 λ")))
    assert back["array"] is None
    assert back["error"] == "out of memory: \ud800 λ"


def test_whatever_is_raised_becomes_text():
    def fail():
        raise KeyboardInterrupt("now")

    assert plain_reply(fail)["error"] == "KeyboardInterrupt: now"


OBJECTS = {**json.loads(about(reply(np.ones(8)))), "dtype": "O"}
LARGE = {**json.loads(about(reply(np.ones(8)))), "shape": [9]}


@pytest.mark.parametrize("said", [OBJECTS, LARGE, {}, {"error": None}, [], "", None])
def test_nonsense_is_refused(said):
    text = json.dumps(said).encode()
    whole = len(text).to_bytes(8, "little") + text
    whole = whole.ljust(-(-len(whole) // 64) * 64) + np.ones(8).tobytes()
    with pytest.raises((ValueError, TypeError, KeyError)):
        parted(whole)


@pytest.mark.parametrize("whole", [b"", b"12345678", b"\xff" * 200])
def test_no_text_is_refused(whole):
    with pytest.raises(ValueError, match=r"."):
        parted(whole)


def test_what_is_said_has_its_types():
    text = json.dumps({**LARGE, "error": ["a", 1], "started": "3", "shared": 1})
    said = About.read(text)
    assert said.error == "['a', 1]"
    assert (said.started, said.shared) == (3.0, True)
