"""Who is sent what, and when it is enough: events in, commands out."""

import math

from fcdcc_keras.codes import CRME
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.crew import LEFT, LOOK_EVERY, Crew
from fcdcc_keras.dispatch.health import DEPTH
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    CrewChanged,
    Encode,
    Encoded,
    Finish,
    Free,
    Freed,
    Look,
    Send,
    Tick,
)
from fcdcc_keras.dispatch.round import Round

EVERYONE = list(zip(range(6), "abcdef", strict=True))


def free(*workers):
    return [Free(worker) for worker in workers]


# Sending and ending


def test_all_that_take_work_are_sent_to_at_once(paper, sends):
    layer = paper()
    assert layer.round.start(0.0) == [Encode((0, 1, 2, 3, 4, 5))]
    assert sends(layer.encoded(0, 1, 2, 3, 4, 5, now=0.1)) == EVERYONE
    assert layer.outcomes == ["late"] * 6


def test_it_ends_with_the_answer_that_suffices(paper):
    layer = paper()
    layer.begin()
    assert layer.answer(5, 0, 2, now=1.0) == free("f", "a", "c")
    assert layer.answer(3, now=1.5) == [Finish(), *free("d")]
    assert layer.round.over
    assert layer.outcomes == ["used", "late", "used", "used", "late", "used"]


def test_who_is_not_waited_for_any_more_gets_nothing_until_it_is_done(paper, sends):
    layer = paper()
    layer.begin()
    layer.answer(0, 1, 2, 3, now=1.0)
    after = paper(crew=layer.crew)
    # Nor is anything encoded for it.
    assert after.round.start(1.1) == [Look(), Encode((0, 1, 2, 3))]
    assert sends(after.encoded(0, 1, 2, 3, now=1.1)) == EVERYONE[:4]
    # Each of them is offered the layer as soon as it has answered.
    assert layer.answer(4, now=1.2) == free("e")
    assert after.round.handle(Freed("e"), 1.2) == [Encode((4,))]
    assert after.round.handle(Freed("e"), 1.2) == []  # it is being encoded
    assert after.encoded(4, now=1.3) == [Send(4, "e")]
    assert after.round.handle(Freed("e"), 1.4) == []


def test_who_was_late_is_sent_to_where_the_others_do_not_suffice(paper, sends):
    layer = paper()
    layer.begin()
    layer.answer(0, 1, 2, 3, now=1.0)
    other = paper(crew=layer.crew)
    other.begin(now=1.0)
    other.answer(0, 1, now=2.0)
    other.round.handle(Abandoned("closed"), 2.0)  # c and d owe something, too
    last = paper(crew=layer.crew)
    assert last.round.start(2.0) == [Look(), Encode((0, 1, 2, 3, 4, 5))]
    # What is encoded for them is sent when they are free.
    assert sends(last.encoded(0, 1, 2, 3, 4, 5, now=2.1)) == EVERYONE[:2]


def test_a_worker_has_no_more_than_so_many_subtasks_at_a_time(paper, sends):
    crew = Crew("abcdef")
    layers = [paper(crew=crew) for _ in range(DEPTH + 1)]
    sent = [sends(layer.begin()) for layer in layers]
    assert sent == [EVERYONE] * DEPTH + [[]]


def test_time_is_up(paper):
    layer = paper(timeout=3.0)
    layer.begin()
    layer.answer(0, 1, 2, now=0.2)
    assert layer.round.wake_at() == LOOK_EVERY
    layer.round.handle(Tick(), 2.9)
    assert layer.round.wake_at() == 3.0
    assert layer.round.handle(Tick(), 3.0) == [Finish()]
    assert not layer.round.collector.complete
    assert layer.round.collector.survivors == (0, 1, 2)
    assert [h.state(3.0) for h in layer.crew.health.values()] == ["idle"] * 3 + [
        "late"
    ] * 3
    assert [h.given_up for h in layer.crew.health.values()] == [False] * 3 + [True] * 3
    layer.answer(3, now=3.1)  # too late to be used
    assert layer.round.collector.survivors == (0, 1, 2)


def test_a_late_answer_frees_its_worker_and_changes_nothing(paper):
    layer = paper()
    layer.begin()
    layer.answer(0, 1, 2, 3, now=1.0)
    assert layer.crew.of(4).state(1.0) == "late"
    assert layer.answer(4, now=9.0) == free("e")
    assert layer.crew.of(4).state(9.0) == "back"
    assert layer.round.collector.survivors == (0, 1, 2, 3)
    assert layer.fail(5, now=9.0) == free("f")
    assert layer.outcomes[5] == "late"


def test_abandoned_is_over_at_once(paper):
    layer = paper()
    layer.begin()
    layer.answer(0, now=1.0)
    assert layer.round.handle(Abandoned("the model was closed"), 1.0) == [Finish()]
    assert layer.round.collector.abandoned == "the model was closed"
    assert layer.round.handle(Abandoned("again"), 1.0) == []
    for event in (Tick(), CrewChanged(), Freed("a")):
        assert layer.round.handle(event, 99.0) == []


def test_nobody_has_failed_where_no_result_could_have_been_right(paper):
    layer = paper()
    layer.begin()
    layer.round.handle(Abandoned("the input is not finite"), 1.0)
    layer.fail(0, now=1.1)
    assert "a" in layer.crew.sound(1.2)


def test_what_is_encoded_for_nobody_is_not_sent(paper):
    layer = paper()
    layer.begin()
    assert layer.encoded(0, now=0.5) == []  # it was sent
    layer.round.handle(Abandoned("closed"), 0.6)
    layer.crew.of(1).end((layer.round, 1), 0.7)
    assert layer.encoded(1, now=0.8) == []


def test_what_is_encoded_when_all_is_over_is_not_sent(paper):
    layer = paper()
    layer.round.start(0.0)
    layer.round.handle(Abandoned("closed"), 0.1)
    assert layer.encoded(*range(6), now=0.2) == []
    assert layer.outcomes == ["skipped"] * 6


# Workers that are gone or silent


def test_the_gone_are_not_asked(paper, sends):
    crew = Crew("abcdef")
    crew.seen("bcdef", 0.0)
    layer = paper(crew=crew)
    assert sends(layer.begin()) == EVERYONE[1:]
    assert layer.round.collector.records[0].detail == LEFT


def test_too_few_are_looked_for_before_anything_is_sent(paper):
    crew = Crew("abcdef")
    crew.seen("abc", 0.0)
    layer = paper(crew=crew)
    assert layer.round.start(1.0) == [Look()]
    crew.seen("abcde", 1.1)
    for address in "de":
        crew.admitted(address, "a new process", 1.1)
    commands = layer.round.handle(CrewChanged(), 1.1)
    assert commands == [Encode((0, 1, 2, 3, 4))]
    # Nobody has come back: their parts go to those that are left.
    layer = paper(crew=crew)
    crew.seen("abc", 2.0)
    assert layer.round.start(2.0) == [Look()]
    assert layer.round.handle(CrewChanged(), 2.1) == [Encode((0, 1, 2))]
    assert layer.encoded(0, 1, 2, now=2.2)[3:] == [Encode((3,))]
    # Nobody at all is left.
    crew.seen("", 3.0)
    layer = paper(crew=crew)
    assert layer.round.start(3.0) == [Look()]
    assert layer.round.handle(CrewChanged(), 3.1) == [Finish()]
    assert {r.detail for r in layer.round.collector.records} == {LEFT}


def test_nobody_is_offered_a_layer_before_somebody_has_looked(paper):
    crew = Crew("abcdef")
    crew.seen("abc", 0.0)
    layer = paper(crew=crew)
    assert layer.round.start(1.0) == [Look()]
    assert layer.round.handle(Freed("a"), 1.0) == []


def test_who_is_gone_is_not_asked_whether_it_is_there(paper):
    layer = paper()
    layer.begin()
    layer.crew.seen("abcde", 0.1)
    layer.round.handle(CrewChanged(), 0.1)
    assert layer.round.handle(Tick(), LOOK_EVERY) == [Look(tuple("abcde"))]


def test_nobody_looks_where_workers_neither_come_nor_go():
    crew = Crew("abcdef")
    collector = Collector(CRME(4, 4, 6), "abcdef")
    layer = Round(
        collector, crew, lambda *_: True, kind="layer", timeout=60.0, looks=False
    )
    layer.start(0.0)
    layer.handle(Encoded(tuple(range(6))), 0.0)
    assert layer.wake_at() == 60.0
    assert layer.handle(Tick(), 59.0) == []


def test_an_answer_shows_that_a_worker_is_there(paper):
    layer = paper()
    layer.begin()
    layer.crew.pinged("a", None)
    layer.answer(0, now=1.0)
    assert layer.crew.of(0).state(1.0) == "back"


def test_a_silent_cluster_takes_one_timeout(paper):
    layer = paper(timeout=3.0)
    layer.begin()
    assert layer.round.handle(Tick(), 3.0) == [Finish()]
    # The next one does not wait for those again.
    after = paper(crew=layer.crew, timeout=3.0)
    assert after.round.start(3.1) == [Look()]
    assert after.round.handle(CrewChanged(), 3.2) == [Finish()]
    silent = "the worker does not answer"
    assert {r.detail for r in after.round.collector.records} == {silent}
    # Once they answer they are sent to.
    layer.answer(0, 1, 2, 3, now=4.0)
    again = paper(crew=layer.crew, timeout=3.0)
    assert again.round.start(4.1)[-1] == Encode((0, 1, 2, 3))


def test_who_owes_an_answer_is_asked_now_and_then(paper):
    layer = paper()
    layer.begin()
    layer.answer(0, 1, 2, now=0.1)
    assert layer.round.wake_at() == LOOK_EVERY
    assert layer.round.handle(Tick(), LOOK_EVERY) == [Look(("d", "e", "f"))]
    assert layer.round.handle(Tick(), LOOK_EVERY + 0.1) == []
    assert layer.round.wake_at() == 2 * LOOK_EVERY


def test_who_does_not_answer_is_replaced_where_the_others_do_not_suffice(paper):
    layer = paper()
    layer.begin()
    layer.answer(0, 1, 2, now=0.1)
    for address in "de":
        layer.crew.pinged(address, None)
        assert layer.round.handle(CrewChanged(), 1.5) == []
    layer.crew.pinged("f", None)
    # d, e and f may yet answer, but one part of theirs is given to another.
    assert layer.round.handle(CrewChanged(), 1.6) == [Encode((3,))]
    assert layer.crew.roster.address(3) in "abc"


def test_who_has_come_back_is_offered_what_it_was_not_sent(paper):
    crew = Crew("abcdef")
    crew.pinged("a", None)
    layer = paper(crew=crew)
    layer.begin()
    assert layer.outcomes[0] == "skipped"
    crew.pinged("a", "")
    assert layer.round.handle(CrewChanged(), 1.0) == [Encode((0,))]


def test_without_a_limit_it_would_wait_for_ever(paper):
    layer = paper(timeout=math.inf)
    layer.begin()
    assert layer.round.handle(Tick(), 1e9) == [Look(tuple("abcdef"))]
