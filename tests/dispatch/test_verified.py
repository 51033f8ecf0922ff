"""Collecting answers until they agree; whether they do is said by hand."""

import pytest

from fcdcc_keras.codes import CRME, Systematic
from fcdcc_keras.dispatch.collector import Verdict
from fcdcc_keras.dispatch.verified import CONTRADICTS, VerifiedCollector


def collector(*workers, code=None):
    """Has some workers' answers come; any 4 of 6 decode."""
    made = VerifiedCollector(code or CRME(4, 4, 6), "abcdef")
    for slot in range(6):
        made.sent(slot, 0.0, 1)
    for slot in workers:
        made.answered(slot, 1.0, 8)
    return made


def given(*slots):
    return {"abcdef"[slot]: {slot} for slot in slots}


def judged(made, asked, agreeing):
    return made.judged(Verdict(frozenset(asked), frozenset(agreeing)))


def test_one_more_than_decoding_needs_is_waited_for_and_compared():
    made = collector(0, 1, 2, 3)
    assert made.question() is None
    made.answered(5, 1.0, 8)
    assert not made.complete
    assert made.question() == given(0, 1, 2, 3, 5)
    assert judged(made, (0, 1, 2, 3, 5), (0, 1, 2, 3, 5)) == ()
    assert made.complete
    assert made.survivors == (0, 1, 2, 3, 5)
    assert made.question() is None


def test_of_plain_blocks_the_others_are_but_witnesses():
    made = collector(0, 1, 2, 3, 4, code=Systematic(2, 2, 6))
    judged(made, range(5), range(5))
    assert made.survivors == (0, 1, 2, 3)
    assert made.records[4].outcome == "used"


def test_who_lied_is_named_and_its_answer_is_none():
    made = collector(0, 1, 2, 3, 4, 5)
    assert judged(made, range(6), (0, 1, 3, 4, 5)) == ("c",)
    assert made.exposed == ["c"]
    assert (made.records[2].outcome, made.records[2].detail) == ("failed", CONTRADICTS)
    assert made.survivors == (0, 1, 3, 4, 5)
    assert made.complete


def test_a_disagreement_is_no_answer_until_one_more_has_come():
    made = collector(0, 1, 2, 3, 4)
    assert made.enough(range(5))
    assert judged(made, range(5), ()) == ()
    assert made.disputed
    assert not made.enough(range(5))  # to tell who lies
    assert made.enough(range(6))
    assert not made.complete
    assert made.question() is None  # those have been compared
    assert not made.hopeless
    made.answered(5, 2.0, 8)
    assert made.question() == given(*range(6))
    assert judged(made, range(6), ()) == ()
    assert made.hopeless
    assert not made.complete


def test_those_that_agree_are_no_answer_where_they_amplify_too_much():
    code = CRME(4, 4, 6)
    six, five = (code.decoder(range(n)).amplification for n in (6, 5))
    made = VerifiedCollector(code, "abcdef", limit=(six + five) / 2)
    for slot in range(6):
        made.answered(slot, 1.0, 8)
    assert judged(made, range(6), range(5)) == ("f",)
    assert not made.complete
    assert made.hopeless


def test_one_worker_answers_for_all_its_slots():
    made = VerifiedCollector(CRME(4, 1, 6), "abcdbe")
    for slot in range(6):
        made.answered(slot, 1.0, 8)
    assert made.question() == {"a": {0}, "b": {1, 4}, "c": {2}, "d": {3}, "e": {5}}
    assert judged(made, range(6), (0, 2, 3, 5)) == ("b",)
    assert [made.records[slot].outcome for slot in (1, 4)] == ["failed"] * 2


@pytest.mark.parametrize("when", ["while they are compared", "after the verdict"])
def test_what_comes_too_late_to_be_compared_is_not_used(when):
    made = collector(0, 1, 2, 3, 4)
    if when == "while they are compared":
        made.answered(5, 1.5, 8)
    judged(made, range(5), range(5))
    if when == "after the verdict":
        made.answered(5, 1.5, 8)
    assert made.complete
    assert made.survivors == (0, 1, 2, 3, 4)
    assert made.records[5].outcome == "late"
    assert made.records[5].received == 1.5


def test_once_collecting_has_ended_a_verdict_changes_nothing():
    made = collector(0, 1, 2, 3, 4)
    made.stop()
    assert made.question() is None
    assert judged(made, range(5), (0, 1, 2, 3)) == ()
    assert not made.complete
    assert made.exposed == []
