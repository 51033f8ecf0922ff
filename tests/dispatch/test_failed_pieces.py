"""Pieces that fail, or whose workers leave, or lack the weights."""

from fcdcc_keras.dispatch.crew import LEFT
from fcdcc_keras.dispatch.messages import (
    CrewChanged,
    Finish,
    Free,
    Keep,
    Look,
    PlaceShare,
    Send,
    SharePlaced,
)
from fcdcc_keras.dispatch.round import MOST_TRIES
from tests.dispatch.told import Told, sends


def test_a_piece_that_failed_goes_to_another():
    told = Told("ab", workers="abc")
    told.begin()
    assert sends(told.fail(0, "a")) == {(0, "c")}
    record = told.collector.record(0, "a")
    assert (record.outcome, record.detail) == ("failed", "it raised")
    # For a while it gets nothing of what others could do.
    assert told.crew.health["a"].state(told.now) == "idle"
    assert sends(told.fail(1, "b")) == {(1, "c")}
    assert told.redistributed == [(0, "c"), (1, "c")]


def test_a_piece_that_fails_everywhere_ends_the_round():
    told = Told("a", workers="abcde")
    told.begin()
    for worker in "abc"[: MOST_TRIES - 1]:
        assert not told.round.over
        told.fail(0, worker)
    assert Finish() in told.fail(0, "abc"[MOST_TRIES - 1])
    assert not told.collector.complete
    assert told.collector.missing == [0]


def test_a_worker_leaves_with_what_it_has():
    told = Told("ab")
    told.begin()
    told.crew.health["a"].leave()
    assert sends(told.tell(CrewChanged())) == {(0, "b")}
    assert told.collector.record(0, "a").detail == LEFT
    assert told.redistributed == [(0, "b")]
    told.crew.health["b"].leave()
    assert Finish() in told.tell(CrewChanged())


def test_leaving_is_no_failure_of_the_piece():
    told = Told("a", workers="abcde")
    told.begin()
    for worker, then in zip("abcd", "bcde", strict=True):
        told.crew.health[worker].leave()
        assert sends(told.tell(CrewChanged())) == {(0, then)}


def test_a_worker_that_does_not_answer_when_asked_is_done_without():
    told = Told("ab", workers="abc")
    told.begin()
    told.crew.pinged("a", None)
    assert sends(told.tell(CrewChanged())) == {(0, "c")}
    told.crew.pinged("c", None)
    told.crew.pinged("b", None)
    # Nobody else is there; they may be back.
    assert sends(told.tell(CrewChanged())) == set()
    assert not told.round.over
    assert told.answer(0, "a") == [Keep(0, "a"), Send(1, "a"), Free("a")]


def test_one_that_answers_is_there():
    told = Told("ab")
    told.begin()
    told.crew.pinged("a", None)
    told.answer(0, "a")
    assert not told.crew.health["a"].suspect


def test_a_worker_that_joins_may_be_sent_pieces():
    told = Told("aa", workers="a")
    told.begin()
    told.crew.seen(["a", "z"], 0.0)
    told.crew.admitted("z", "", 0.0)
    assert sends(told.fail(0, "a")) == {(0, "z")}
    assert told.collector.record(0, "z").worker == 1


def test_who_lacks_the_weights_is_given_them_where_nobody_has_them():
    told = Told("ab")
    told.lacking = {"a"}
    assert told.begin() == [Send(1, "b"), Send(0, "b")]
    told = Told("ab")
    told.lacking = {"a", "b"}
    assert told.begin() == [PlaceShare(0, "a"), PlaceShare(1, "b")]
    told.lacking = set()
    assert sends(told.tell(SharePlaced(0, "a", True))) == {(0, "a"), (1, "b")}


def test_who_takes_no_weights_is_done_without():
    told = Told("a", workers="ab")
    told.lacking = {"a", "b"}
    assert told.begin() == [PlaceShare(0, "a")]
    commands = told.tell(SharePlaced(0, "a", False), 1.0)
    assert PlaceShare(0, "b") in commands
    assert Look() in commands
    assert Finish() in told.tell(SharePlaced(0, "b", False))


def test_who_takes_no_weights_for_one_piece_is_asked_to_for_another():
    told = Told("aa", workers="ab")
    told.lacking = {"a", "b"}
    assert told.begin() == [PlaceShare(0, "a")]  # one at a time
    commands = told.tell(SharePlaced(0, "a", False))
    assert {PlaceShare(0, "b"), PlaceShare(1, "a")} <= set(commands)


def test_who_has_lost_the_weights_gets_them_again_while_others_work():
    told = Told("ab")
    told.begin()
    told.lacking = {"a"}
    commands = told.fail(0, "a", lost_share=True)
    assert commands[:2] == [PlaceShare(0, "a"), Send(0, "b")]
    assert told.collector.record(0, "a").outcome == "failed"
    told.lacking = set()
    told.tell(SharePlaced(0, "a", True))
    assert told.crew.health["a"].accepts(told.now)


def test_who_lost_the_weights_may_do_the_piece_when_it_has_them():
    told = Told("a")
    told.begin()
    told.lacking = {"a"}
    assert told.fail(0, "a", lost_share=True) == [PlaceShare(0, "a"), Free("a")]
    told.lacking = set()
    assert sends(told.tell(SharePlaced(0, "a", True))) == {(0, "a")}


def test_a_silent_failure_has_somebody_look():
    told = Told("ab")
    told.begin()
    told.now = 1.0
    assert Look() not in told.fail(1, "b")
    assert Look() not in told.fail(1, "a", began=False, lost_share=True)
    told.now = 2.0
    assert Look() in told.fail(0, "a", began=False)
    told.crew.looking(2.0)
    told.now = 2.05
    assert Look() not in told.fail(0, "b", began=False)  # somebody has just looked


def test_when_all_is_over_nobody_is_given_weights():
    told = Told("a", workers="ab", copies=2)
    told.begin()
    told.answer(0, "a")
    assert told.fail(0, "b", lost_share=True) == [Free("b")]
