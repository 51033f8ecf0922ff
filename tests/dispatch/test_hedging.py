"""No more than needed are sent to while none of them is late, fails or is lost."""

import pytest

from fcdcc_keras.codes import Systematic
from fcdcc_keras.dispatch.crew import LOOK_EVERY, Crew
from fcdcc_keras.dispatch.messages import CrewChanged, Encode, Finish, Look, Send, Tick
from fcdcc_keras.dispatch.round import RECHECK

EVERYONE = list(zip(range(6), "abcdef", strict=True))


def test_hedged_layers_go_to_everybody_until_paces_are_known(paper, sends):
    assert sends(paper(hedged=True).begin()) == EVERYONE


def test_hedged_layers_go_to_as_many_as_needed(paper, sends, learnt):
    layer = paper(crew=learnt, hedged=True)
    sent = sends(layer.begin())
    assert len(sent) == 4
    commands = layer.answer(*(slot for slot, _ in sent), now=1.0)
    assert commands.count(Finish()) == 1
    assert sorted(layer.outcomes) == ["skipped"] * 2 + ["used"] * 4


def test_of_a_systematic_code_the_plain_blocks_are_asked_for(paper, sends, learnt):
    layer = paper(Systematic(2, 2, 6), crew=learnt, hedged=True)
    assert sends(layer.begin()) == EVERYONE[:4]


def test_when_one_is_late_all_others_are_sent_to(paper, sends, learnt):
    layer = paper(Systematic(2, 2, 6), crew=learnt, hedged=True)
    layer.begin()
    late = layer.crew.of(3).deadline((layer.round, 3))
    assert late > 2.0  # more than twice what it usually takes
    layer.answer(0, 1, 2, now=0.2)
    layer.round.handle(Tick(), late - 0.4)
    assert layer.round.wake_at() == pytest.approx(late)
    assert layer.round.handle(Tick(), late - 1e-3) == []
    assert [c for c in layer.round.handle(Tick(), late) if isinstance(c, Encode)] == [
        Encode((4,)),
        Encode((5,)),
    ]
    assert layer.round.wake_at() == late - 0.4 + LOOK_EVERY
    assert layer.encoded(4, 5, now=late) == [Send(4, "e"), Send(5, "f")]


@pytest.mark.parametrize("how", ["failed", "lost", "suspect"])
def test_when_one_fails_or_is_lost_all_others_are_sent_to(paper, learnt, how):
    layer = paper(Systematic(2, 2, 6), crew=learnt, hedged=True)
    layer.begin()
    if how == "failed":
        commands = layer.fail(1, now=0.5)
    else:
        if how == "lost":
            layer.crew.seen("acdef", 0.5)
        else:
            layer.crew.pinged("b", None)
        commands = layer.round.handle(CrewChanged(), 0.5)
    encoded = [c for c in commands if isinstance(c, Encode)]
    # One that is silent may still answer within its time.
    assert encoded == ([] if how == "suspect" else [Encode((4,)), Encode((5,))])


def test_the_loss_of_one_that_was_not_sent_to_is_no_reason(paper, learnt):
    layer = paper(Systematic(2, 2, 6), crew=learnt, hedged=True)
    layer.begin()
    layer.crew.seen("abcde", 0.5)
    assert layer.round.handle(CrewChanged(), 0.5) == []


def test_nobody_is_late_before_it_was_sent_anything(paper, learnt):
    layer = paper(crew=learnt, hedged=True)
    layer.round.start(0.0)
    assert layer.round.wake_at() == LOOK_EVERY
    assert layer.round.handle(Tick(), 0.1) == []


def test_who_has_answered_in_time_is_not_late(paper):
    crew = Crew("abcdef")
    for address, health in crew.health.items():
        health.begin("before", -1.0 if address == "a" else -3.0, None)
        health.end("before", 0.0, "layer")
    layer = paper(Systematic(2, 2, 6), crew=crew, hedged=True)
    layer.begin()
    first, next_one = (layer.crew.of(s).deadline((layer.round, s)) for s in (0, 1))
    layer.answer(0, now=0.5)
    assert layer.round.handle(Tick(), first) == [Look(("b", "c", "d", "e", "f"))]
    assert first < layer.round.wake_at() <= next_one


def test_what_is_being_encoded_is_not_encoded_twice(paper, learnt):
    layer = paper(Systematic(2, 2, 6), crew=learnt, hedged=True)
    layer.begin()
    layer.crew.seen("abcd", 0.5)
    layer.crew.pinged("b", None)
    assert layer.round.handle(CrewChanged(), 0.5) == [Encode((1,))]  # by another
    commands = layer.fail(0, now=0.6)
    assert Encode((1,)) not in commands
    assert [c for c in commands if isinstance(c, Encode)] == [Encode((0,))]


def test_looks_are_not_closer_than_they_need_be(paper, learnt):
    layer = paper(crew=learnt, hedged=True)
    layer.begin()
    layer.round.handle(Tick(), 0.499)
    assert layer.round.wake_at() == pytest.approx(0.499 + RECHECK)
