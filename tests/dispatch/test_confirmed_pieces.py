"""Pieces that are done when two results agree, and who lies."""

from fcdcc_keras.dispatch.crew import DISTRUSTED
from fcdcc_keras.dispatch.messages import (
    Compare,
    Compared,
    CrewChanged,
    Distrusted,
    Fill,
    Finish,
    Free,
    Keep,
)
from fcdcc_keras.dispatch.verified import CONTRADICTS
from tests.dispatch.told import Told, sends


def test_results_are_confirmed():
    told = Told("a", workers="abc", spare=1)
    assert sends(told.begin()) == {(0, "a"), (0, "b")}
    assert told.answer(0, "a") == [Free("a")]
    both = frozenset("ab")
    assert told.answer(0, "b") == [Compare(0, both), Free("b")]
    commands = told.tell(Compared(0, both, both))
    assert commands == [Keep(0, "a"), Finish()]
    assert told.redistributed == []


def test_a_third_tells_who_lies():
    told = Told("ab", workers="abc", spare=1)
    assert sends(told.begin()) == {(0, "a"), (0, "c"), (1, "b"), (1, "a")}
    told.answer(1, "a")
    told.answer(0, "a")
    both = frozenset("ac")
    assert Compare(0, both) in told.answer(0, "c")
    assert sends(told.tell(Compared(0, both, frozenset()))) == {(0, "b")}
    everybody = frozenset("abc")
    assert Compare(0, everybody) in told.answer(0, "b")
    told.crew.seen("abcd", 0.0)
    told.crew.admitted("d", "", 0.0)
    commands = told.tell(Compared(0, everybody, frozenset("bc")))
    assert Distrusted("a") in commands
    assert Fill(0) in commands  # another has its slot now
    assert Keep(0, "b") in commands
    assert told.collector.exposed == ["a"]
    assert told.collector.record(0, "a").detail == CONTRADICTS
    # Its result of another piece, which nobody had confirmed yet, is none either.
    assert told.collector.record(1, "a").detail == CONTRADICTS
    ((one, third),) = sends(commands)
    assert one == 1
    told.answer(1, third)
    assert told.answer(1, "b")[0] == Compare(1, frozenset({"b", third}))


def test_what_a_liar_sends_later_is_not_taken():
    told = Told("ab", workers="abc")
    told.begin()
    told.crew.distrust("a", 0.0)
    commands = told.answer(0, "a")
    assert Keep(0, "a") not in commands
    assert told.collector.record(0, "a").detail == DISTRUSTED
    assert len(sends(commands)) == 1


def test_two_contradict_each_other_and_there_is_no_third():
    told = Told("a", workers="ab", spare=1)
    told.begin()
    told.answer(0, "a")
    told.answer(0, "b")
    both = frozenset("ab")
    assert told.tell(Compared(0, both, frozenset())) == [Finish()]
    assert told.collector.disputed


def test_an_answer_that_comes_while_others_are_compared_waits():
    told = Told("a", workers="abcd", spare=1, copies=2)
    assert len(sends(told.begin())) == 3
    told.answer(0, "a")
    told.answer(0, "b")
    assert told.answer(0, "c") == [Free("c")]  # two are being compared
    commands = told.tell(Compared(0, frozenset("ab"), frozenset()))
    assert Compare(0, frozenset("abc")) in commands


def test_one_is_left_where_two_must_agree():
    told = Told("a", workers="ab", spare=1)
    told.begin()
    told.crew.health["b"].leave()
    assert Finish() in told.tell(CrewChanged())
    assert not told.collector.disputed
