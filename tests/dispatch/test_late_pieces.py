"""Pieces that take too long, and workers that are too slow for them."""

from fcdcc_keras.dispatch.choice import TRY_AGAIN
from fcdcc_keras.dispatch.crew import LOOK_EVERY, TOO_SLOW
from fcdcc_keras.dispatch.health import Pace
from fcdcc_keras.dispatch.messages import (
    Finish,
    Free,
    Freed,
    Keep,
    Tick,
)
from fcdcc_keras.dispatch.piece_round import PieceRound
from fcdcc_keras.dispatch.pieces import Piece, PieceCollector
from fcdcc_keras.dispatch.round import RECHECK
from tests.dispatch.told import Told, sends


def test_a_late_piece_is_copied_to_one_in_time():
    told = Told(usual=dict.fromkeys("abc", 1.0))
    told.begin()
    late = told.crew.health["c"].pace("kind", 0.0).late_after
    assert told.round.wake_at() == LOOK_EVERY
    told.answer(0, "a", 1.0)
    told.answer(1, "b", 1.0)
    assert sends(told.tell(Tick(), late - 0.01)) == set()
    assert told.round.wake_at() == late
    assert sends(told.tell(Tick(), late)) == {(2, "a")}
    assert sends(told.tell(Tick(), late + RECHECK)) == set()  # but one
    assert told.redistributed == [(2, "a")]
    assert told.answer(2, "a", late + 1.0) == [Keep(2, "a"), Finish(), Free("a")]
    # Who was late gets nothing until it has answered.
    assert told.crew.health["c"].state(late + 1.0) == "late"
    assert not told.crew.health["c"].accepts(late + 1.0)
    assert not told.crew.health["c"].given_up
    told.answer(2, "c", late + 2.0)
    assert told.crew.health["c"].accepts(late + 2.0)


def test_all_that_a_late_worker_has_is_copied():
    told = Told("aabb", usual={"a": 1.0, "b": 1.0})
    told.begin()
    told.answer(2, "b", 1.0)
    told.answer(3, "b", 2.0)
    late = told.crew.health["a"].pace("kind", 0.0).late_after
    assert sends(told.tell(Tick(), max(late, 2.0))) == {(0, "b"), (1, "b")}


def test_a_copy_in_time_is_enough():
    told = Told("a", workers="abc", usual={"a": 1.0, "b": 1.2, "c": 9.0}, copies=2)
    assert sends(told.begin()) == {(0, "a"), (0, "b")}
    late = told.crew.health["a"].pace("kind", 0.0).late_after
    assert sends(told.tell(Tick(), late)) == set()
    assert told.redistributed == []  # both were to have it at once
    later = told.crew.health["b"].pace("kind", 0.0).late_after
    assert sends(told.tell(Tick(), later)) == {(0, "c")}
    assert told.redistributed == [(0, "c")]


def test_a_copy_that_is_late_too_is_copied_again():
    told = Told("a", workers="abc", usual=dict.fromkeys("abc", 1.0))
    told.begin()
    late = told.crew.health["a"].pace("kind", 0.0).late_after
    assert sends(told.tell(Tick(), late)) == {(0, "b")}
    assert sends(told.tell(Tick(), 2 * late)) == {(0, "c")}
    assert sends(told.tell(Tick(), 4 * late)) == set()  # everybody has it


def test_who_was_never_seen_at_work_is_late_as_others_would_be():
    told = Told("ab", usual={"b": 1.0})
    told.begin()
    told.answer(1, "b", 1.0)
    late = Pace(1.0, 0.5, 0.0).late_after
    assert sends(told.tell(Tick(), late - 0.01)) == set()
    assert sends(told.tell(Tick(), late)) == {(0, "b")}


def test_nobody_is_late_of_whom_nothing_is_known():
    told = Told()
    told.begin()
    assert told.round.wake_at() == LOOK_EVERY
    assert sends(told.tell(Tick(), 50.0)) == set()


def test_it_is_not_woken_at_once_for_what_is_late_already():
    told = Told("a", usual={"a": 1.0})
    told.begin()
    told.now = 30.0
    told.tell(Freed("a"))
    assert told.round.wake_at() == 30.0 + RECHECK


def test_one_that_was_too_slow_is_tried_again_by_a_copy():
    slow = {"a": 1.0, "b": 1.0, "c": TOO_SLOW + 0.1}
    told = Told("ab", workers="abc", usual=slow)
    assert sends(told.begin()) == {(0, "a"), (1, "b")}  # it has just been seen
    told = Told("ab", workers="abc", usual=slow)
    told.now = TRY_AGAIN
    assert sends(told.begin()) == {(0, "a"), (1, "b"), (0, "c")}
    told.answer(0, "a", TRY_AGAIN + 1.0)
    told.answer(1, "b")
    assert told.round.over  # nobody waits for it
    assert told.redistributed == []
    told.answer(0, "c", TRY_AGAIN + 1.5)
    assert told.crew.health["c"].pace("kind", told.now).mean == 1.5
    assert "c" in told.crew.team("kind", told.now)
    # Not those that are slow but a little, or have something to do, or cannot.
    for usual, busy in ((TOO_SLOW, False), (TOO_SLOW + 0.1, True)):
        told = Told("ab", workers="abc", usual={**slow, "c": usual})
        told.now = TRY_AGAIN
        if busy:
            told.crew.health["c"].begin("other", told.now, None)
        assert sends(told.begin()) == {(0, "a"), (1, "b")}
    told = Told("ab", workers="abc", usual=slow)
    told.now, told.lacking = TRY_AGAIN, {"c"}
    assert sends(told.begin()) == {(0, "a"), (1, "b")}


def test_who_was_slow_before_is_late_when_most_would_be():
    usual = {"a": 1.0, "b": 1.0, "c": 2.9}  # not too slow to have its part
    told = Told("abc", usual=usual)
    assert sends(told.begin()) == {(0, "a"), (1, "b"), (2, "c")}
    told.answer(0, "a", 1.0)
    told.answer(1, "b", 1.0)
    late = Pace(1.0, 0.5, 0.0).late_after
    assert sends(told.tell(Tick(), late - 0.01)) == set()
    assert sends(told.tell(Tick(), late + 0.01)) == {(2, "a")}


def test_a_part_cut_for_a_slow_worker_is_late_when_most_would_be_with_theirs():
    told = Told("abc", usual={"a": 1.0, "b": 1.0, "c": 2.5})
    told.pieces[2] = Piece("kind", 0.4, "c")
    told.collector = PieceCollector(told.pieces, told.workers)
    told.round = PieceRound(told.collector, told.crew, lambda *_: True, timeout=60.0)
    told.begin()
    told.answer(0, "a", 1.0)
    told.answer(1, "b", 1.0)
    late = Pace(1.0, 0.5, 0.0).late_after
    assert sends(told.tell(Tick(), late - 0.01)) == set()
    assert sends(told.tell(Tick(), late + 0.01)) == {(2, "a")}


def test_who_was_too_late_once_is_given_no_part_until_it_is_tried_again():
    told = Told("abc", usual=dict.fromkeys("abc", 1.0))
    told.begin()
    told.answer(0, "a", 1.0)
    told.answer(1, "b", 1.0)
    assert sends(told.tell(Tick(), 3.1)) == {(2, "a")}
    told.answer(2, "a", 4.1)
    told.answer(2, "c", TOO_SLOW + 0.1)
    assert set(told.crew.team("kind", told.now)) == {"a", "b"}
    # But not for what nobody was late with, or that was late by little.
    for waited_for, seconds in ((True, TOO_SLOW + 0.1), (False, 1.9)):
        told = Told("abc", usual=dict.fromkeys("abc", 1.0))
        told.begin()
        if not waited_for:
            told.crew.health["c"].overtake((told.round, 2))
        told.answer(2, "c", seconds)
        assert "c" in told.crew.team("kind", told.now)
