"""Who is sent what, who is late, when it is enough: events in, commands out."""

import math

import pytest

from fcdcc_keras.codes import CRME, Systematic
from fcdcc_keras.dispatch.collector import Collector, Verdict
from fcdcc_keras.dispatch.crew import DISTRUSTED, LEFT, LOOK_EVERY, Crew
from fcdcc_keras.dispatch.health import DEPTH, FAILING_FOR
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    CrewChanged,
    Distrusted,
    Encode,
    Fill,
    Finish,
    Free,
    Freed,
    HurryShare,
    Judge,
    Judged,
    Look,
    PlaceShare,
    Send,
    SharePlaced,
    Tick,
)
from fcdcc_keras.dispatch.round import MOST_TRIES, RECHECK

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
    assert sends(after.begin(now=1.1)) == EVERYONE[:4]
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


def test_a_late_answer_frees_its_worker_and_changes_nothing(paper):
    layer = paper()
    layer.begin()
    layer.answer(0, 1, 2, 3, now=1.0)
    layer.round.collector.settle()
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


def test_what_is_encoded_for_nobody_is_not_sent(paper):
    layer = paper()
    layer.begin()
    assert layer.encoded(0, now=0.5) == []  # it was sent
    layer.round.handle(Abandoned("closed"), 0.6)
    layer.crew.of(1).end((layer.round, 1), 0.7)
    assert layer.encoded(1, now=0.8) == []


# Failures and shares


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
    assert layer.answer(0, 2, 3, 4, now=2.0)[-2] == Finish()


def fail(layer, *slots, now=1.0):
    """Has what was sent to some slots raise; returns the commands of the last."""
    for slot in slots:
        commands = layer.fail(slot, now=now)
    return commands


def encoded(commands):
    return [slot for c in commands if isinstance(c, Encode) for slot in c.slots]


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
    layer = paper(CRME(4, 1, 6))  # any 2 of 6
    layer.begin()
    tried = [layer.crew.roster.address(0)]
    layer.crew.seen("abcd", 0.5)
    layer.round.handle(CrewChanged(), 0.5)
    fail(layer, 1, 2)
    now, commands = 1.0, fail(layer, 3)
    commands = layer.fail(0, now=now)
    while 0 in encoded(commands):
        now += 2 * FAILING_FOR  # so that somebody is sound
        layer.encoded(0, now=now)
        tried.append(layer.crew.roster.address(0))
        commands = layer.fail(0, now=now)
    assert len(tried) == len(set(tried)) <= MOST_TRIES


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


# Hedging


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


def test_looks_are_not_closer_than_they_need_be(paper, learnt):
    layer = paper(crew=learnt, hedged=True)
    layer.begin()
    layer.round.handle(Tick(), 0.499)
    assert layer.round.wake_at() == pytest.approx(0.499 + RECHECK)


# Parity


class Witnessed(Collector):
    """Is complete when five agree; says so when it is told."""

    spare = 1
    verdict = None

    def question(self):
        return (lambda: None) if len(self._answers) >= 5 and not self.complete else None

    def judged(self, verdict):
        if verdict.agreeing == verdict.asked:
            self._complete = True
            return ()
        self.disputed = True
        liars = tuple(self.records[w].address for w in verdict.asked - verdict.agreeing)
        for worker in verdict.asked - verdict.agreeing:
            del self._answers[worker]
            self.records[worker].outcome = "failed"
        return liars

    def _suffices(self):
        return False


def test_answers_are_compared_once_at_a_time(paper):
    layer = paper(collector=Witnessed(CRME(4, 4, 6), "abcdef"))
    layer.begin()
    assert layer.answer(0, 1, 2, 3, now=1.0) == free(*"abcd")
    assert layer.answer(4, now=1.0) == [Judge(), *free("e")]
    assert layer.answer(5, now=1.1) == free("f")
    everyone = frozenset(range(5))
    assert layer.round.handle(Judged(Verdict(everyone, everyone)), 1.2) == [Finish()]


def test_who_lied_is_not_used_any_more(paper):
    layer = paper(collector=Witnessed(CRME(4, 4, 6), "abcdef"))
    layer.begin()
    layer.answer(0, 1, 2, 3, 4, 5, now=1.0)
    everyone = frozenset(range(6))
    commands = layer.round.handle(Judged(Verdict(everyone, everyone - {2})), 1.2)
    assert commands == [Distrusted("c"), Judge()]
    assert layer.crew.gone() == {2: DISTRUSTED}
    assert not layer.crew.of(2).accepts(1.2)


def test_a_distrusted_workers_answer_is_none(paper):
    layer = paper()
    layer.begin()
    layer.crew.distrust("b", 0.5)
    commands = layer.answer(0, 1, 2, 3, now=1.0)
    assert Finish() not in commands
    assert layer.round.collector.records[1].detail == DISTRUSTED
    assert layer.answer(4, now=1.0)[0] == Finish()


def test_a_liars_slot_goes_to_a_worker_without_one(paper):
    layer = paper(collector=Witnessed(CRME(4, 4, 6), "abcdef"))
    layer.begin()
    layer.crew.seen("abcdefx", 0.0)
    layer.crew.admitted("x", "", 0.0)
    layer.answer(0, 1, 2, 3, 4, 5, now=1.0)
    everyone = frozenset(range(6))
    commands = layer.round.handle(Judged(Verdict(everyone, everyone - {2})), 1.2)
    assert commands == [Distrusted("c"), Fill(2), Judge()]
    assert layer.crew.roster.address(2) == "x"


def test_without_a_limit_it_would_wait_for_ever(paper):
    layer = paper(timeout=math.inf)
    layer.begin()
    assert layer.round.handle(Tick(), 1e9) == [Look(tuple("abcdef"))]
