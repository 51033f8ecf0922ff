"""All chains at once, or none: when it begins, when it ends, and who is to blame."""

import math
from itertools import pairwise

import pytest

from fcdcc_keras.dispatch.choice import TRY_AGAIN
from fcdcc_keras.dispatch.crew import LEFT, LOOK_EVERY, Crew
from fcdcc_keras.dispatch.exchange_round import (
    ANSWERS_WITHIN,
    MOST_SKIPPED,
    SLACK,
    THE_REST,
    ExchangeRound,
    Reluctance,
)
from fcdcc_keras.dispatch.health import FAILING_FOR
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Among,
    Answered,
    CrewChanged,
    Disband,
    Encode,
    Encoded,
    Failed,
    Finish,
    Free,
    Freed,
    Keep,
    Look,
    Send,
    Tick,
    Waited,
)
from fcdcc_keras.dispatch.pieces import Piece, PieceCollector
from fcdcc_keras.dispatch.rehearsal import SHORTEST, Rehearsed
from fcdcc_keras.dispatch.round import RECHECK

KIND = ("tiles", "run")
CHAINS = 4
TIMEOUT = 60.0
LEARNT = 1.0
"""Seconds that all of a worker's tiles take, where that is known."""


class Told:
    """A round that is told of events, of workers a, b, c with a tile of each chain."""

    def __init__(self, homes="abc", workers=None, known=True, slow=None):
        self.workers = workers or homes
        self.crew = Crew(self.workers)
        self.now = 0.0
        self.lacking = set()
        slots = range(len(homes))
        every = {(slot, worker, "") for slot in slots for worker in self.workers}
        self.rehearsed = Rehearsed(every)
        self.sizes = [(1 / CHAINS,) * CHAINS for _ in homes]
        for worker in self.workers if known else ():
            health = self.crew.health[worker]
            each = (slow or {}).get(worker, LEARNT)
            health.learn(KIND, each, -TRY_AGAIN)
        self.pieces = [Piece(KIND, 1.0, home) for home in homes]
        self.make()

    def make(self):
        """Makes a round as the next call does."""
        self.collector = PieceCollector(self.pieces, self.workers)
        self.round = ExchangeRound(
            self.collector,
            self.crew,
            lambda slot, worker: (slot, worker) not in self.lacking,
            self.sizes,
            self.rehearsed,
            timeout=TIMEOUT,
        )
        return self

    @property
    def begins(self):
        return self.round.begins(self.now)

    def begin(self):
        assert self.begins
        slots = tuple(range(len(self.pieces)))
        assert self.round.start(self.now)[0] == Encode(slots)
        return self.tell(Encoded(slots))

    def tell(self, event, now=None):
        self.now = self.now if now is None else now
        return self.round.handle(event, self.now)

    def answer(self, slot, worker, now=None, waited=0.0, computed=LEARNT):
        self.now = self.now if now is None else now
        times = self.now - waited - computed, self.now, waited
        return self.tell(Answered(slot, worker, 8, self.now, *times))

    def fail(self, slot, worker, now=None, **more):
        self.now = self.now if now is None else now
        return self.tell(Failed(slot, worker, "why", self.now, **more))

    def wait(self, slot, worker, now=None, chains=1, cut_off=False, **took):
        """A worker says that it waited in vain."""
        self.now = self.now if now is None else now
        computed = took.get("computed", LEARNT * chains / CHAINS)
        waited = max(0.0, self.now - computed - took.get("on_its_way", 0.0))
        why = Waited(chains, waited, computed, cut_off)
        return self.fail(slot, worker, waited=why)

    def state(self, worker):
        return self.crew.health[worker].state(self.now)

    def mean(self, worker):
        return self.crew.health[worker].pace(KIND, self.now).mean

    @property
    def outcomes(self):
        return [record.outcome for record in self.collector.records]


def patience_of(commands):
    (patience,) = {c.among.patience for c in commands if isinstance(c, Send)}
    return patience


def test_each_worker_has_its_tiles_and_all_are_needed():
    told = Told()
    among = Among(("a", "b", "c"), patience_of(told.begin()))
    told = Told()
    assert told.round.start(0.0) == [Encode((0, 1, 2))]
    assert told.tell(Encoded((0, 1, 2))) == [
        Send(0, "a", among),
        Send(1, "b", among),
        Send(2, "c", among),
    ]
    assert [told.state(worker) for worker in "abc"] == ["busy"] * 3
    assert told.answer(1, "b", 1.0) == [Keep(1, "b"), Free("b")]
    assert told.answer(0, "a", 1.1) == [Keep(0, "a"), Free("a")]
    assert not told.round.over
    # Nobody is told that it is over: nobody waits.
    assert told.answer(2, "c", 1.2) == [Keep(2, "c"), Finish(), Free("c")]
    assert told.round.over
    assert told.collector.complete
    assert told.collector.survivors == (0, 1, 2)
    assert told.outcomes == ["used"] * 3
    assert [told.state(worker) for worker in "abc"] == ["idle"] * 3


def busy(told):
    told.crew.health["b"].begin("of another", 0.0, None)


def lacks(told):
    told.lacking.add((1, "b"))


def fails(told):
    told.crew.health["b"].fail(told.now)


def left(told):
    told.crew.health["b"].leave()


def unknown(told):
    del told.crew.health["b"]


def silent(told):
    told.crew.pinged("b", None)


def new(told):
    told.crew.health["b"].process = "another"


ALL = [busy, lacks, fails, left, unknown, silent, new]


@pytest.mark.parametrize("how", ALL)
def test_it_begins_only_where_each_can(how):
    told = Told()
    assert told.begins
    how(told)
    told.make()
    assert not told.begins


@pytest.mark.parametrize("how", ALL)
def test_it_does_not_begin_where_one_cannot_any_more(how):
    """Of two calls at a time, too, one is the first."""
    told = Told()
    assert told.begins
    assert told.round.start(0.0) == [Encode((0, 1, 2))]
    how(told)
    assert told.tell(Encoded((0, 1, 2))) == [Finish()]
    assert told.round.over
    assert told.collector.records == []  # it was not tried
    assert not told.crew.health["a"].owes


def test_what_nobody_knows_the_time_of_may_take_until_the_timeout():
    told = Told(known=False)
    assert patience_of(told.begin()) == TIMEOUT
    assert told.round.wake_at() == LOOK_EVERY
    assert told.tell(Tick(), LOOK_EVERY) == [Look(("a", "b", "c"))]
    assert told.round.wake_at() == 2 * LOOK_EVERY
    assert told.tell(Tick(), 50.0) == [Look(("a", "b", "c"))]
    assert [told.state(worker) for worker in "abc"] == ["busy"] * 3
    assert told.tell(Tick(), TIMEOUT) == [Disband(("a", "b", "c")), Finish()]
    assert all(told.crew.health[worker].given_up for worker in "abc")


def test_who_waits_is_patient_until_most_would_be_late():
    usual = patience_of(Told().begin())
    assert usual == pytest.approx(2 * LEARNT + CHAINS * SLACK)
    # Of one that was slow a moment ago they do not wait longer.
    assert patience_of(Told(slow={"b": 2.9 * LEARNT}).begin()) == usual
    slower = {"a": 1.4 * LEARNT, "b": 1.4 * LEARNT}
    slow = patience_of(Told(slow=slower).begin())
    assert slow == pytest.approx(2.8 * LEARNT + CHAINS * SLACK)


def test_patience_does_not_grow_by_waiting():
    told = Told()
    usual = patience_of(told.begin())
    for _ in range(20):
        told.now += 1.9 * LEARNT
        for slot, worker in enumerate("abc"):
            told.answer(slot, worker, waited=0.9 * LEARNT)
        told.make()
        told.now += 1.0
        assert patience_of(told.begin()) <= usual + 1e-9


def test_who_only_waited_is_not_to_blame():
    told = Told()
    now = patience_of(told.begin())
    assert told.wait(0, "a", now) == [Disband(("b", "c")), Free("a")]
    assert not told.round.over
    assert told.wait(1, "b", now + 0.01) == [Free("b")]
    assert told.round.wake_at() <= now + ANSWERS_WITHIN
    assert told.tell(Tick(), now + ANSWERS_WITHIN) == [Finish()]
    assert told.round.over
    assert [told.state(worker) for worker in "abc"] == ["idle", "idle", "late"]
    assert told.crew.sound(told.now) == ["a", "b"]
    # It has been told before that it is over.
    assert told.wait(2, "c", now + 0.5, chains=1) == [Free("c")]
    assert told.state("c") == "back"


def test_who_began_last_gives_up_last():
    """It is late only when it could have waited as long as the others."""
    told = Told()
    patience = patience_of(told.begin())
    told.tell(Tick(), 2 * patience)
    assert not told.round.over
    assert [told.state(worker) for worker in "abc"] == ["busy"] * 3
    late = 2 * patience + ANSWERS_WITHIN
    assert told.tell(Tick(), late) == [Disband(("a", "b", "c"))]
    assert told.tell(Tick(), late + ANSWERS_WITHIN) == [Finish()]
    assert [told.state(worker) for worker in "abc"] == ["late"] * 3
    assert told.outcomes == ["late"] * 3


def test_the_others_are_late_soon_after_half_have_answered():
    told = Told("abcd")
    patience = patience_of(told.begin())
    told.answer(0, "a", 1.0)
    assert told.round.wake_at() < 1.0 + RECHECK + 1e-9  # to look who is there
    told.tell(Tick(), 1.0 + LOOK_EVERY)
    told.answer(1, "b", 1.6)
    late = 1.6 * (1 + THE_REST) + SLACK
    assert late < 2 * patience
    told.tell(Tick(), late - 0.01)
    assert not told.round.over
    assert told.tell(Tick(), late) == [Disband(("c", "d"))]
    told.wait(2, "c", late + 0.01)
    assert told.tell(Tick(), late + ANSWERS_WITHIN + 0.01) == [Finish()]
    states = [told.state(worker) for worker in "abcd"]
    assert states == ["idle", "idle", "idle", "late"]


def test_all_waited_for_each_other():
    told = Told()
    now = patience_of(told.begin())
    told.wait(0, "a", now)
    told.wait(1, "b", now)
    assert told.wait(2, "c", now) == [Finish(), Free("c")]
    assert told.crew.sound(now) == ["a", "b", "c"]
    assert told.outcomes == ["failed"] * 3


def test_the_last_to_answer_ends_it_where_another_waited():
    told = Told()
    now = patience_of(told.begin())
    told.wait(0, "a", now)
    told.wait(1, "b", now)
    assert told.answer(2, "c", now) == [Keep(2, "c"), Finish(), Free("c")]
    assert not told.collector.complete
    assert told.crew.sound(now) == ["a", "b", "c"]


def test_one_that_did_not_reach_another_ends_it():
    """Neither is to blame for what lies between them."""
    told = Told()
    told.begin()
    commands = told.wait(0, "a", 0.3, cut_off=True)
    assert commands == [Disband(("b", "c")), Finish(), Free("a")]
    assert told.crew.sound(told.now) == ["a", "b", "c"]
    assert [told.state(worker) for worker in "abc"] == ["idle"] * 3
    assert told.make().begins


def test_one_that_fails_ends_it():
    told = Told()
    told.begin()
    commands = told.fail(0, "a", 0.3)
    assert commands == [Disband(("b", "c")), Finish(), Free("a")]
    assert told.outcomes == ["failed", "late", "late"]
    assert [told.state(worker) for worker in "bc"] == ["idle"] * 2
    assert told.crew.sound(told.now) == ["b", "c"]
    assert not told.make().begins
    told.now += 1.01 * FAILING_FOR
    assert told.make().begins


def test_one_that_has_lost_weights_has_not_failed():
    told = Told()
    told.begin()
    commands = told.fail(0, "a", 0.3, lost_share=True, began=False)
    assert commands == [Disband(("b", "c")), Finish(), Free("a")]
    assert told.crew.sound(told.now) == ["a", "b", "c"]
    assert told.make().begins  # once it has been given them


def test_one_that_was_not_there_is_looked_for():
    told = Told()
    told.begin()
    assert Look() in told.fail(0, "a", 0.3, began=False)
    told = Told()
    told.begin()
    assert Look() not in told.wait(0, "a", 0.3)


def test_one_that_leaves_the_cluster_ends_it():
    told = Told()
    told.begin()
    told.crew.health["b"].leave()
    assert told.tell(CrewChanged(), 0.3) == [Disband(("a", "c")), Finish()]
    assert told.collector.records[1].detail == LEFT
    assert told.crew.sound(told.now) == ["a", "c"]
    assert told.tell(CrewChanged()) == []


def test_one_that_does_not_answer_when_asked_ends_it():
    told = Told(known=False)
    told.begin()
    assert told.tell(CrewChanged(), 0.5) == []  # all did
    told.crew.pinged("b", None)
    assert told.tell(CrewChanged(), 1.5) == [Disband(("a", "c")), Finish()]
    assert told.state("b") == "suspect"
    assert told.crew.sound(told.now) == ["a", "c"]


def test_one_that_is_about_to_leave_ends_what_it_has_begun():
    told = Told()
    told.begin()
    told.crew.health["b"].leaving = True
    assert told.tell(CrewChanged(), 0.3) == []
    for slot, worker in enumerate("abc"):
        told.answer(slot, worker, 1.0)
    assert told.collector.complete


def test_one_that_is_gone_and_forgotten():
    told = Told()
    told.begin()
    del told.crew.health["b"]
    assert told.tell(CrewChanged(), 0.3) == [Disband(("a", "c")), Finish()]
    assert told.wait(1, "b") == [Free("b")]
    assert told.answer(0, "a") == [Free("a")]


def test_it_is_abandoned():
    told = Told()
    told.begin()
    assert told.tell(Abandoned("why")) == [Disband(("a", "b", "c")), Finish()]
    assert told.collector.abandoned == "why"
    assert told.tell(Abandoned("other")) == []
    assert told.answer(0, "a", 1.0) == [Free("a")]
    assert told.tell(Tick(), 99.0) == []
    assert told.tell(Freed("a")) == []


def test_who_is_slow_is_left_out_when_tiles_are_cut_not_later():
    told = Told(slow={"b": 10.0})
    assert told.begins
    assert told.round.start(0.0) == [Encode((0, 1, 2))]
    sent = [command.slot for command in told.tell(Encoded((0, 1, 2)))]
    assert sent == [0, 1, 2]  # and it is not tried beside


def test_what_workers_take_but_for_waiting_is_what_they_are_known_by():
    told = Told(known=False)
    told.begin()
    told.answer(0, "a", 2.0, waited=1.5, computed=0.4)
    told.answer(1, "b", 2.0, waited=1.0, computed=1.0)
    told.answer(2, "c", 2.0, waited=0.0, computed=1.5)
    assert [told.mean(worker) for worker in "abc"] == [0.5, 1.0, 2.0]
    team = told.crew.team(KIND, told.now)
    assert team == {"a": 2.0, "b": 1.0, "c": 0.5}
    assert patience_of(told.make().begin()) == pytest.approx(2.0 + CHAINS * SLACK)


def test_some_milliseconds_make_nobody_slow():
    told = Told(known=False)
    told.begin()
    told.answer(0, "a", 0.1, waited=0.099, computed=0.001)
    told.answer(1, "b", 0.1, waited=0.09, computed=0.01)
    told.answer(2, "c", 0.1, waited=0.08, computed=0.02)
    assert [told.mean(worker) for worker in "abc"] == pytest.approx([SHORTEST] * 3)


def test_what_one_did_before_it_waited_counts():
    told = Told(known=False)
    told.begin()
    told.wait(0, "a", 1.0, chains=2, computed=0.4, on_its_way=0.1)
    assert told.mean("a") == pytest.approx(0.9)
    told.wait(1, "b", 1.0, chains=0, computed=0.0)
    assert told.crew.health["b"].pace(KIND, 1.0) is None


def test_what_is_on_its_way_makes_nobody_slow_who_waited_soon():
    told = Told()
    now = patience_of(told.begin())
    told.wait(0, "a", now, on_its_way=0.5)
    assert told.mean("a") == pytest.approx(1.0 + 0.5 / 8)
    assert set(told.crew.team(KIND, now)) == {"a", "b", "c"}


def test_a_clock_that_is_set_meanwhile():
    told = Told()
    told.begin()
    told.answer(0, "a", 1.0, computed=-1e9)
    told.answer(1, "b", 1.0, computed=1e9)
    told.answer(2, "c", 1.0, waited=1e9)
    assert [round(told.mean(worker), 2) for worker in "ab"] == [1.0, 1.0]
    assert 0 < told.mean("c") <= 1.0


def test_no_part_is_cut_for_one_that_was_waited_for():
    """However fast it was before."""
    told = Told()
    now = patience_of(told.begin())
    told.wait(0, "a", now)
    told.wait(1, "b", now)
    told.tell(Tick(), now + ANSWERS_WITHIN)
    assert set(told.crew.team(KIND, told.now)) == {"a", "b"}  # it is late
    told.wait(2, "c", now + 3.0, chains=1, computed=5.0)
    assert told.mean("c") == pytest.approx(5.0 * CHAINS)
    assert set(told.crew.team(KIND, told.now)) == {"a", "b"}


def test_one_that_was_slow_but_in_time_to_say_so():
    told = Told()
    now = patience_of(told.begin())
    told.wait(0, "a", now)
    told.wait(1, "b", now)
    assert Finish() in told.wait(2, "c", now + 0.01, chains=1, computed=2.0)
    assert set(told.crew.team(KIND, told.now)) == {"a", "b"}


def test_one_that_was_stopped_is_as_fast_as_before():
    told = Told()
    now = patience_of(told.begin())
    told.wait(0, "a", now)
    told.wait(1, "b", now)
    told.tell(Tick(), now + ANSWERS_WITHIN)
    told.wait(2, "c", 30.0, chains=0, computed=0.0)  # told on going on
    assert told.state("c") == "back"
    assert told.crew.team(KIND, told.now)["c"] == pytest.approx(1.0)


def tries(reluctance, succeeds, many):
    """Returns which of many calls try."""
    tried = []
    for number in range(many):
        if reluctance.willing():
            tried.append(number)
            reluctance.tried(succeeds(number))
    return tried


def test_exchanges_that_fail_again_and_again_are_mostly_not_tried():
    tried = tries(Reluctance(), lambda number: False, 400)
    gaps = [after - before for before, after in pairwise(tried)]
    assert gaps[:8] == [1, 2, 4, 8, 16, 32, 64, 64]
    assert max(gaps) == MOST_SKIPPED


def test_one_that_succeeds_makes_up_for_those_that_failed():
    tried = tries(Reluctance(), lambda number: number > 60, 200)
    assert [number for number in tried if number > 63] == list(range(64, 200))


def test_once_in_a_while_is_no_reason():
    tried = tries(Reluctance(), lambda number: number % 10 > 0, 100)
    assert tried == list(range(100))


def test_when_to_be_asked_again():
    told = Told()
    told.begin()
    for slot, worker in enumerate("abc"):
        told.answer(slot, worker, 0.1)
    assert math.isfinite(told.round.wake_at())
