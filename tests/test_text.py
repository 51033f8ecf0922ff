"""Numbers and tables as text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fcdcc_keras.text import (
    bytes_text,
    causes,
    count,
    milliseconds,
    said_by,
    table,
    text_of,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (1000, "1 k"),
        (1500, "1.5 k"),
        (1234567, "1.23 M"),
        (-2_500_000, "-2.5 M"),
        (4.2e9, "4.2 G"),
        (12e12, "12 T"),
        (0.25, "0.25"),
    ],
)
def test_counts(number: float, text: str) -> None:
    assert count(number) == text


@given(st.integers(0, 10**14))
@example(999_999)
@example(999_700_000)
def test_counts_have_three_digits_and_no_exponent(number: int) -> None:
    digits, _, prefix = count(number).partition(" ")
    assert "e" not in digits
    factor = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[prefix]
    assert float(digits) * factor == pytest.approx(number, rel=0.00501)


def test_bytes() -> None:
    assert bytes_text(12) == "12 B"
    assert bytes_text(1500) == "1.5 kB"
    assert bytes_text(3_000_000) == "3 MB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.001234, "1.23"), (0.7456, "746"), (0.0000056, "0.0056"), (1.43, "1430")],
)
def test_milliseconds(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text


def test_a_table_shows_every_cell_as_it_is() -> None:
    rows = [("block[0]/conv", "1"), ("x" * 150, "22"), ("[bold]c[/bold]", "333")]
    lines = table("a [red]title", ["layer", "count"], rows).splitlines()
    assert lines[0] == "a [red]title"
    for name, number in rows:
        (line,) = (line for line in lines if name in line)
        assert line.split()[-1] == number
    ends = {len(line) for line in lines if line.split()[-1:] in (["1"], ["333"])}
    assert len(ends) == 1  # numbers stand at the right
    assert all(line == line.rstrip() for line in lines)


def test_a_table_makes_no_pictures_of_words() -> None:
    assert "kernel:x:0" in table("t", ["weight"], [("kernel:x:0",)])


def test_which_columns_stand_at_the_right_can_be_chosen() -> None:
    text = table("t", ["aaaa", "bbbb"], [("1", "2")], right=["aaaa"])
    row = next(line for line in text.splitlines() if line.split() == ["1", "2"])
    assert row.startswith("     1")
    assert len(row) == row.index("2") + 1


def test_a_table_without_rows_has_its_headings() -> None:
    assert "heading" in table("t", ["heading"], [])


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize(
    ("error", "said", "text"),
    [
        (OSError(5, "broken"), "[Errno 5] broken", "OSError: [Errno 5] broken"),
        (TimeoutError(), "TimeoutError", "TimeoutError"),
        (KeyError("name"), "'name'", "KeyError: 'name'"),
        (ValueError(" \n"), "ValueError", "ValueError"),
        (Mute(), "Mute", "Mute"),
    ],
)
def test_an_exception_is_never_shown_as_nothing(
    error: BaseException, said: str, text: str
) -> None:
    assert (said_by(error), text_of(error)) == (said, text)


def test_what_an_exception_came_of() -> None:
    first, then, last = OSError("first"), ValueError("then"), KeyError("last")
    last.__cause__, then.__context__ = then, first
    assert list(causes(last)) == [last, then, first]
