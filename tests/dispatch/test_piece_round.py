"""Pieces of work that any worker can do: who is sent which, and when it is over."""

import pytest

from fcdcc_keras.dispatch.choice import AT_HOME
from fcdcc_keras.dispatch.crew import LOOK_EVERY, TOO_SLOW
from fcdcc_keras.dispatch.health import DEPTH
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    CrewChanged,
    Encode,
    Encoded,
    Finish,
    Free,
    Freed,
    Keep,
    Look,
    Send,
    Tick,
)
from fcdcc_keras.dispatch.piece_round import AHEAD
from tests.dispatch.told import Told, sends


def test_each_piece_goes_home_and_all_are_needed():
    told = Told()
    assert told.round.start(0.0) == [Encode((0, 1, 2))]
    assert told.tell(Encoded((0, 1, 2))) == [Send(0, "a"), Send(1, "b"), Send(2, "c")]
    assert told.answer(1, "b", 1.0) == [Keep(1, "b"), Free("b")]
    assert told.answer(0, "a", 1.5) == [Keep(0, "a"), Free("a")]
    assert not told.round.over
    assert told.answer(2, "c", 2.0) == [Keep(2, "c"), Finish(), Free("c")]
    assert told.round.over
    assert told.collector.complete
    assert told.collector.survivors == (0, 1, 2)
    assert [r.outcome for r in told.collector.records] == ["used"] * 3
    assert [r.piece for r in told.collector.records] == [0, 1, 2]


def test_a_piece_waits_for_those_that_its_input_is_taken_from():
    told = Told("abab", needs={2: (0, 1), 3: (1,)})
    assert told.round.start(0.0) == [Encode((0, 1))]
    told.tell(Encoded((0, 1)))
    assert told.answer(1, "b", 1.0) == [Keep(1, "b"), Encode((3,)), Free("b")]
    assert told.tell(Encoded((3,))) == [Send(3, "b")]
    assert told.answer(0, "a", 2.0) == [Keep(0, "a"), Encode((2,)), Free("a")]
    assert told.tell(Encoded((2,))) == [Send(2, "a")]
    told.answer(3, "b")
    assert told.answer(2, "a") == [Keep(2, "a"), Finish(), Free("a")]


def test_a_worker_has_few_pieces_at_a_time():
    told = Told("aaaa", workers="a")
    assert sends(told.begin()) == {(0, "a"), (1, "a")}
    assert AHEAD == 2
    assert sends(told.answer(0, "a")) == {(2, "a")}
    assert sends(told.answer(1, "a")) == {(3, "a")}


def test_who_is_free_gets_what_others_have_no_time_for():
    told = Told("aaa", workers="ab", usual={"a": 1.0, "b": 1.0})
    # At home it would end after two others.
    assert sends(told.begin()) == {(0, "a"), (1, "b"), (2, "a")}


def test_the_slow_get_nothing_while_others_are_sooner():
    told = Told("abc", usual={"a": 1.0, "b": 1.0, "c": 10.0})
    assert sends(told.begin()) == {(0, "a"), (1, "b"), (2, "a")}
    # Six pieces: it would be the last with even one of them.
    told = Told("abcabc", usual={"a": 1.0, "b": 1.0, "c": 10.0})
    assert sends(told.begin()) == {(0, "a"), (1, "b"), (2, "a"), (3, "b")}
    assert sends(told.answer(0, "a", 1.0)) == {(4, "a")}


def test_home_may_be_slower_for_its_part_was_cut_for_it():
    for slow, goes in ((TOO_SLOW, "a"), (TOO_SLOW + 0.1, "b")):
        told = Told("a", workers="abc", usual={"a": slow, "b": 1.0, "c": 1.0})
        assert sends(told.begin()) == {(0, goes)}


def test_home_may_be_busy_for_a_little_longer():
    for mean, goes in ((2 * AT_HOME, "b"), (AT_HOME / 2, "a")):
        told = Told("aa", workers="ab", usual={"a": mean, "b": 1.0})
        assert {(0, "a"), (1, goes)} == sends(told.begin())


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_eager_pieces_go_to_several(copies):
    told = Told(usual=dict.fromkeys("abc", 1.0), copies=copies)
    given = sends(told.begin())
    assert {(0, "a"), (1, "b"), (2, "c")} <= given
    for piece in range(3):
        assert sum(number == piece for number, _ in given) == copies


def test_the_first_of_two_answers_counts():
    told = Told("a", workers="ab", copies=2)
    assert sends(told.begin()) == {(0, "a"), (0, "b")}
    assert told.answer(0, "b", 1.0) == [Keep(0, "b"), Finish(), Free("b")]
    assert told.answer(0, "a", 2.0) == [Free("a")]
    assert [r.outcome for r in told.collector.records] == ["late", "used"]
    assert told.collector.records[0].received == 2.0


def test_nobody_takes_work_at_first():
    told = Told("ab")
    for worker in "ab":
        told.crew.pinged(worker, None)
    assert told.round.start(0.0) == [Look()]
    told.crew.pinged("b", "")
    assert told.tell(CrewChanged()) == [Encode((0, 1))]
    assert sends(told.tell(Encoded((0, 1)))) == {(0, "b"), (1, "b")}


def test_nobody_is_left_at_first():
    told = Told("ab")
    for worker in "ab":
        told.crew.health[worker].leave()
    assert told.round.start(0.0) == [Look()]
    assert told.tell(CrewChanged()) == [Finish()]


def test_work_goes_to_the_late_where_nobody_else_is_there():
    told = Told("a")
    told.crew.health["a"].begin("of another", 0.0, None)
    told.crew.health["a"].overtake("of another")
    told.crew.health["a"].begin("in time", 0.0, None)
    assert told.round.start(0.0) == [Look()]
    told.tell(CrewChanged())
    assert sends(told.tell(Encoded((0,)))) == {(0, "a")}


def test_what_is_full_is_offered_work_when_it_is_free():
    told = Told("a")
    for item in range(DEPTH - 1):
        told.crew.health["a"].begin(item, 0.0, None)
    assert sends(told.begin()) == {(0, "a")}
    told = Told("a")
    for item in range(DEPTH):
        told.crew.health["a"].begin(item, 0.0, None)
    told.round.start(0.0)
    told.tell(CrewChanged())
    assert sends(told.tell(Encoded((0,)))) == set()
    told.crew.health["a"].end(0, 0.0)
    assert sends(told.tell(Freed("a"))) == {(0, "a")}


def test_time_is_up():
    told = Told("ab")
    told.begin()
    told.answer(0, "a", 1.0)
    assert told.tell(Tick(), 59.9)[-1] == Look(("b",))
    assert told.tell(Tick(), 60.0) == [Finish()]
    assert told.collector.missing == [1]
    assert told.crew.health["b"].given_up


def test_who_is_silent_is_asked_now_and_then():
    told = Told("ab")
    told.begin()
    told.answer(0, "a", 0.1)
    assert told.tell(Tick(), LOOK_EVERY) == [Look(("b",))]
    assert told.round.wake_at() == 2 * LOOK_EVERY
    told = Told("ab", looks=False)
    told.begin()
    assert told.round.wake_at() == 60.0


def test_it_is_abandoned():
    told = Told("ab")
    told.begin()
    assert told.tell(Abandoned("why")) == [Finish()]
    assert told.collector.abandoned == "why"
    assert told.tell(Abandoned("other")) == []
    assert told.answer(0, "a") == [Free("a")]  # nothing is kept
    told.fail(1, "b")  # when all is over that is no failure
    assert told.crew.health["b"].sound(told.now)


def test_what_comes_of_workers_that_are_gone_and_of_pieces_that_are_done():
    told = Told("ab", workers="abc", copies=2, spare=0)
    told.begin()
    (second,) = {w for w in "bc" if told.collector._sent.get((0, w))}
    assert told.answer(0, "a")[0] == Keep(0, "a")
    # The second copy of a piece that is done, of a worker that is not known any more.
    told.crew.health[second].leave()
    del told.crew.health[second]
    assert Keep(0, second) not in told.answer(0, second)
    assert told.collector.used == {0: "a"}
    first, *others = [w for w in "abc" if told.collector._sent.get((1, w))]
    assert Finish() in told.answer(1, first)
    for worker in others:  # it was not needed
        told.fail(1, worker)
        assert told.collector.record(1, worker).outcome == "late"


def test_a_home_that_is_gone():
    told = Told("za", workers="ab")
    assert sends(told.begin()) == {(0, "b"), (1, "a")}
