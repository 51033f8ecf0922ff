"""What failed goes to others, and shares go where they are missing."""

import pytest

from fcdcc_keras.codes import CRME
from fcdcc_keras.dispatch.crew import LEFT
from fcdcc_keras.dispatch.health import FAILING_FOR
from fcdcc_keras.dispatch.messages import (
    CrewChanged,
    Encode,
    Finish,
    Free,
    Freed,
    HurryShare,
    Look,
    PlaceShare,
    Send,
    SharePlaced,
)
from fcdcc_keras.dispatch.round import MOST_TRIES


def free(*workers):
    return [Free(worker) for worker in workers]


def encoded(commands):
    return [slot for c in commands if isinstance(c, Encode) for slot in c.slots]


@pytest.mark.parametrize("began", [True, False])
def test_a_failure_is_an_erasure(paper, began):
    layer = paper()
    layer.begin()
    look = [] if began else [Look()]  # it may not even be there
    assert layer.fail(2, now=1.0, began=began) == [*look, *free("c")]
    assert layer.outcomes[2] == "failed"
    assert layer.round.collector.records[2].detail == "it raised"
    assert layer.answer(0, 1, 3, 5, now=1.0)[-2:] == [Finish(), Free("f")]


def test_beyond_the_redundancy_parts_go_to_sound_workers_and_no_more_of_them(paper):
    layer = paper()
    layer.begin()
    layer.fail(0, now=1.0)
    layer.fail(1, now=1.0)
    assert layer.fail(5, now=1.0) == [Encode((0,)), *free("f")]
    assert layer.crew.roster.address(0) in "cde"
    (send,) = layer.encoded(0, now=1.1)
    assert send == Send(0, layer.crew.roster.address(0))
    records = layer.round.collector.records
    assert [r.worker for r in records if r.redistributed] == [0]
    assert layer.answer(0, 2, 3, 4, now=2.0)[-2] == Finish()


def fail(layer, *slots, now=1.0):
    """Has what was sent to some slots raise; returns the commands of the last."""
    for slot in slots:
        commands = layer.fail(slot, now=now)
    return commands


def test_workers_fail_again_and_again(paper):
    layer = paper()
    layer.begin()
    fail(layer, 0, 1)
    assert encoded(fail(layer, 2)) == [0]
    assert encoded(fail(layer, 3)) == [1]
    # All that fail are free at once: by their load alone they would be the first.
    homes = {layer.crew.roster.address(slot) for slot in (0, 1)}
    assert homes <= {"d", "e", "f"}
    assert layer.crew.roster.address(1) in "ef"


def test_who_failed_is_given_others_parts_again_after_a_while(paper):
    layer = paper()
    layer.begin()
    fail(layer, 0, 1, 2, 3, 4, 5)
    assert layer.round.over  # nobody is left that has not failed
    assert layer.crew.sound(1.0 + FAILING_FOR - 0.1) == []
    assert len(layer.crew.sound(1.0 + FAILING_FOR)) == 6


def test_a_part_goes_to_no_worker_twice_nor_to_many(paper):
    layer = paper()
    layer.begin()
    layer.answer(1, 2, 3, now=0.5)
    layer.crew.seen("abcd", 0.5)
    layer.round.handle(CrewChanged(), 0.5)
    tried, now = [layer.crew.roster.address(0)], 1.0
    commands = layer.fail(0, now=now)
    while 0 in encoded(commands):
        now += 2 * FAILING_FOR  # so that all are sound
        layer.encoded(0, now=now)
        tried.append(layer.crew.roster.address(0))
        commands = layer.fail(0, now=now)
    assert len(tried) == len(set(tried)) == MOST_TRIES
    assert encoded(commands) == [4]  # another part may do


def test_the_failure_of_one_that_has_a_part_no_more_is_of_no_concern(paper):
    layer = paper()
    layer.begin()
    layer.crew.roster.replace(0, "b")
    assert layer.fail(0, worker="a", now=1.0) == free("a")
    assert layer.outcomes[0] == "late"


def test_answers_count_whatever_became_of_their_workers(paper):
    layer = paper()
    layer.begin()
    layer.answer(0, 1, 2, now=0.5)
    layer.crew.seen("def", 0.6)
    assert layer.round.handle(CrewChanged(), 0.6) == []
    fail(layer, 4, 5)
    assert encoded(layer.round.handle(CrewChanged(), 1.0)) == []  # the fourth is well
    layer.crew.pinged("d", None)
    now = 1.0 + FAILING_FOR
    assert encoded(layer.round.handle(CrewChanged(), now)) == [3]
    assert layer.crew.roster.address(3) in "ef"


def test_where_nobody_is_sound_nothing_moves(paper):
    layer = paper()
    layer.begin()
    layer.crew.seen("", 0.5)
    assert layer.round.handle(CrewChanged(), 0.5) == [Finish()]
    assert layer.crew.roster.addresses == tuple("abcdef")


def test_nobody_left_is_the_end(paper):
    layer = paper(CRME(4, 4, 4))  # all are needed
    layer.begin()
    for address in "abc":
        layer.crew.health[address].lost = True
    layer.crew.health["d"].suspect = True
    assert layer.round.handle(CrewChanged(), 1.0) == [Finish()]
    assert [r.detail for r in layer.round.collector.records] == [LEFT] * 3 + [""]


def test_a_share_that_is_missing_is_placed_and_then_sent_to(paper):
    layer = paper()
    layer.lacking = {(0, "a")}
    assert layer.begin()[:2] == [HurryShare(0, "a"), PlaceShare(0, "a")]
    assert layer.outcomes[0] == "late"
    layer.lacking = set()
    assert layer.round.handle(SharePlaced(0, "a", True), 1.0) == [Send(0, "a")]


def test_no_share_is_placed_on_one_that_does_not_answer(paper):
    layer = paper()
    layer.lacking = {(0, "a")}
    for address in "abc":
        layer.crew.pinged(address, None)
    commands = layer.begin()
    sent = [Send(slot, "abcdef"[slot]) for slot in (3, 4, 5)]
    assert commands == [HurryShare(0, "a"), *sent, Encode((0,))]  # for another


def test_a_share_on_its_way_is_only_hurried(paper):
    layer = paper()
    layer.lacking = {(0, "a")}
    layer.crew.of(0).begin("the share", 0.0, 5.0)
    assert layer.begin()[0] == HurryShare(0, "a")
    assert layer.outcomes[0] == "skipped"
    layer.crew.of(0).end("the share", 0.5)
    layer.lacking = set()
    assert layer.round.handle(Freed("a"), 0.5) == [Encode((0,))]


def test_a_share_that_is_not_taken_is_a_failure_and_a_doubt(paper):
    layer = paper()
    layer.lacking = {(0, "a")}
    layer.begin()
    assert layer.round.handle(SharePlaced(0, "a", False), 1.0) == [Look()]
    assert layer.round.collector.records[0].detail == "the worker took no kernel share"


def test_a_share_that_has_come_too_late_is_of_no_concern(paper):
    layer = paper()
    layer.lacking = {(0, "a")}
    layer.begin()
    layer.crew.roster.replace(0, "b")
    assert layer.round.handle(SharePlaced(0, "a", True), 1.0) == []
    layer.answer(1, 2, 3, 4, now=1.0)
    assert layer.round.handle(SharePlaced(0, "b", True), 1.0) == []


def test_a_lost_share_is_forgotten_and_nobody_doubted(paper):
    layer = paper()
    layer.begin()
    commands = layer.fail(3, now=1.0, lost_share=True, began=False)
    assert commands == free("d")
