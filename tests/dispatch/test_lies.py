"""Answers that contradict each other: one more is asked, and who lied is not."""

from fcdcc_keras.codes import CRME
from fcdcc_keras.dispatch.collector import Collector, Verdict
from fcdcc_keras.dispatch.crew import DISTRUSTED
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Distrusted,
    Encode,
    Fill,
    Finish,
    Free,
    Judge,
    Judged,
)

GIVEN = {"whoever": frozenset({0})}


def free(*workers):
    return [Free(worker) for worker in workers]


class Witnessed(Collector):
    """Is complete when five agree; says so when it is told."""

    spare = 1
    verdict = None

    def question(self):
        return GIVEN if len(self._answers) >= 5 and not self.complete else None

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
    assert layer.answer(4, now=1.0) == [Judge(GIVEN), *free("e")]
    assert layer.answer(5, now=1.1) == free("f")
    everyone = frozenset(range(5))
    assert layer.round.handle(Judged(Verdict(everyone, everyone)), 1.2) == [Finish()]


def test_who_lied_is_not_used_any_more(paper):
    layer = paper(collector=Witnessed(CRME(4, 4, 6), "abcdef"))
    layer.begin()
    layer.answer(0, 1, 2, 3, 4, 5, now=1.0)
    everyone = frozenset(range(6))
    commands = layer.round.handle(Judged(Verdict(everyone, everyone - {2})), 1.2)
    assert commands == [Distrusted("c"), Judge(GIVEN)]
    assert layer.crew.gone() == {2: DISTRUSTED}
    assert not layer.crew.of(2).accepts(1.2)


def test_who_contradicts_each_other_are_joined_by_one_more(paper, sends, learnt):
    layer = paper(
        crew=learnt, hedged=True, collector=Witnessed(CRME(4, 4, 6), "abcdef")
    )
    first = [slot for slot, _ in sends(layer.begin())]
    (missing,) = set(range(6)) - set(first)
    assert Judge(GIVEN) in layer.answer(*first, now=1.0)
    nobody = Verdict(frozenset(first), frozenset(first[1:]))
    liar = layer.crew.roster.address(first[0])
    commands = layer.round.handle(Judged(nobody), 1.1)
    assert commands == [Distrusted(liar), Encode((missing,))]


def test_a_liars_part_goes_to_another_where_the_others_do_not_suffice(paper):
    class Five(Witnessed):
        def enough(self, workers):
            return len(workers) >= 5

    layer = paper(collector=Five(CRME(4, 4, 6), "abcdef"))
    layer.begin()
    layer.fail(5, now=0.5)
    layer.answer(0, 1, 2, 3, 4, now=1.0)
    asked = frozenset(range(5))
    commands = layer.round.handle(Judged(Verdict(asked, asked - {2})), 1.1)
    assert commands == [Distrusted("c"), Encode((2,))]
    assert layer.crew.roster.address(2) in "abde"


def test_once_all_is_over_nobody_is_found_to_lie(paper):
    layer = paper(collector=Witnessed(CRME(4, 4, 6), "abcdef"))
    layer.begin()
    layer.answer(0, 1, 2, 3, 4, now=1.0)
    layer.round.handle(Abandoned("closed"), 1.1)
    asked = frozenset(range(5))
    assert layer.round.handle(Judged(Verdict(asked, asked - {2})), 1.2) == []
    assert layer.crew.trusts("c")


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
    assert commands == [Distrusted("c"), Fill(2), Judge(GIVEN)]
    assert layer.crew.roster.address(2) == "x"
