"""Pieces of work that any worker can do: who is sent which, when, and when again."""

import pytest

from fcdcc_keras.dispatch.choice import AT_HOME, TRY_AGAIN
from fcdcc_keras.dispatch.crew import DISTRUSTED, LEFT, LOOK_EVERY, TOO_SLOW, Crew
from fcdcc_keras.dispatch.health import DEPTH, Pace
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Answered,
    Compare,
    Compared,
    CrewChanged,
    Distrusted,
    Encode,
    Encoded,
    Failed,
    Fill,
    Finish,
    Free,
    Freed,
    Keep,
    Look,
    PlaceShare,
    Send,
    SharePlaced,
    Tick,
)
from fcdcc_keras.dispatch.piece_round import AHEAD, PieceRound
from fcdcc_keras.dispatch.pieces import Piece, PieceCollector
from fcdcc_keras.dispatch.round import MOST_TRIES, RECHECK
from fcdcc_keras.dispatch.verified import CONTRADICTS


class Told:
    """A round that is told of events, of workers a, b, c ... with a piece each."""

    def __init__(
        self, homes="abc", workers=None, usual=None, spare=0, needs=None, **options
    ):
        self.workers = workers or "".join(sorted(set(homes)))
        self.crew = Crew(self.workers)
        self.now = 0.0
        for worker, seconds in (usual or {}).items():
            self.crew.health[worker].begin("before", -seconds, None)
            self.crew.health[worker].end("before", 0.0, "kind")
        self.pieces = [
            Piece("kind", 1.0, home, frozenset((needs or {}).get(number, ())))
            for number, home in enumerate(homes)
        ]
        self.collector = PieceCollector(self.pieces, self.workers, spare)
        self.lacking = set()
        self.round = PieceRound(
            self.collector,
            self.crew,
            lambda piece, worker: worker not in self.lacking,
            timeout=60.0,
            **options,
        )

    def begin(self):
        *looks, encode = self.round.start(self.now)
        assert all(command == Look() for command in looks)
        return self.tell(Encoded(encode.slots))

    def tell(self, event, now=None):
        self.now = self.now if now is None else now
        return self.round.handle(event, self.now)

    def answer(self, piece, worker, now=None):
        self.now = self.now if now is None else now
        return self.tell(Answered(piece, worker, 8, self.now))

    def fail(self, piece, worker, why="it raised", **more):
        return self.tell(Failed(piece, worker, why, self.now, **more))


def sends(commands):
    return {(c.slot, c.worker) for c in commands if isinstance(c, Send)}


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


def test_a_late_piece_is_copied_to_one_in_time():
    told = Told(usual=dict.fromkeys("abc", 1.0))
    told.begin()
    late = told.crew.health["c"].pace("kind", 0.0).late_after
    assert told.round.wake_at() == LOOK_EVERY
    told.answer(0, "a", 1.0)
    told.answer(1, "b", 1.0)
    assert sends(told.tell(Tick(), late - 0.01)) == set()
    assert told.round.wake_at() == late
    assert sends(told.tell(Tick(), late)) == {(2, "a")}
    assert sends(told.tell(Tick(), late + RECHECK)) == set()  # but one
    assert told.answer(2, "a", late + 1.0) == [Keep(2, "a"), Finish(), Free("a")]
    # Who was late gets nothing until it has answered.
    assert told.crew.health["c"].state(late + 1.0) == "late"
    assert not told.crew.health["c"].accepts(late + 1.0)
    assert not told.crew.health["c"].given_up
    told.answer(2, "c", late + 2.0)
    assert told.crew.health["c"].accepts(late + 2.0)


def test_all_that_a_late_worker_has_is_copied():
    told = Told("aabb", usual={"a": 1.0, "b": 1.0})
    told.begin()
    told.answer(2, "b", 1.0)
    told.answer(3, "b", 2.0)
    late = told.crew.health["a"].pace("kind", 0.0).late_after
    assert sends(told.tell(Tick(), max(late, 2.0))) == {(0, "b"), (1, "b")}


def test_a_copy_in_time_is_enough():
    told = Told("a", workers="abc", usual={"a": 1.0, "b": 1.2, "c": 9.0}, copies=2)
    assert sends(told.begin()) == {(0, "a"), (0, "b")}
    late = told.crew.health["a"].pace("kind", 0.0).late_after
    assert sends(told.tell(Tick(), late)) == set()
    later = told.crew.health["b"].pace("kind", 0.0).late_after
    assert sends(told.tell(Tick(), later)) == {(0, "c")}


def test_a_copy_that_is_late_too_is_copied_again():
    told = Told("a", workers="abc", usual=dict.fromkeys("abc", 1.0))
    told.begin()
    late = told.crew.health["a"].pace("kind", 0.0).late_after
    assert sends(told.tell(Tick(), late)) == {(0, "b")}
    assert sends(told.tell(Tick(), 2 * late)) == {(0, "c")}
    assert sends(told.tell(Tick(), 4 * late)) == set()  # everybody has it


def test_who_was_never_seen_at_work_is_late_as_others_would_be():
    told = Told("ab", usual={"b": 1.0})
    told.begin()
    told.answer(1, "b", 1.0)
    late = Pace(1.0, 0.5, 0.0).late_after
    assert sends(told.tell(Tick(), late - 0.01)) == set()
    assert sends(told.tell(Tick(), late)) == {(0, "b")}


def test_nobody_is_late_of_whom_nothing_is_known():
    told = Told()
    told.begin()
    assert told.round.wake_at() == LOOK_EVERY
    assert sends(told.tell(Tick(), 50.0)) == set()


def test_a_piece_that_failed_goes_to_another():
    told = Told("ab", workers="abc")
    told.begin()
    assert sends(told.fail(0, "a")) == {(0, "c")}
    record = told.collector.record(0, "a")
    assert (record.outcome, record.detail) == ("failed", "it raised")
    # For a while it gets nothing of what others could do.
    assert told.crew.health["a"].state(told.now) == "idle"
    assert sends(told.fail(1, "b")) == {(1, "c")}


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


def test_results_are_confirmed():
    told = Told("a", workers="abc", spare=1)
    assert sends(told.begin()) == {(0, "a"), (0, "b")}
    assert told.answer(0, "a") == [Free("a")]
    both = frozenset("ab")
    assert told.answer(0, "b") == [Compare(0, both), Free("b")]
    commands = told.tell(Compared(0, both, both))
    assert commands == [Keep(0, "a"), Finish()]


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


def test_a_worker_that_joins_may_be_sent_pieces():
    told = Told("aa", workers="a")
    told.begin()
    told.crew.seen(["a", "z"], 0.0)
    told.crew.admitted("z", "", 0.0)
    assert sends(told.fail(0, "a")) == {(0, "z")}
    assert told.collector.record(0, "z").worker == 1


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


def test_it_is_not_woken_at_once_for_what_is_late_already():
    told = Told("a", usual={"a": 1.0})
    told.begin()
    told.now = 30.0
    told.tell(Freed("a"))
    assert told.round.wake_at() == 30.0 + RECHECK


def test_when_all_is_over_nobody_is_given_weights():
    told = Told("a", workers="ab", copies=2)
    told.begin()
    told.answer(0, "a")
    assert told.fail(0, "b", lost_share=True) == [Free("b")]


def test_one_that_was_too_slow_is_tried_again_by_a_copy():
    slow = {"a": 1.0, "b": 1.0, "c": TOO_SLOW + 0.1}
    told = Told("ab", workers="abc", usual=slow)
    assert sends(told.begin()) == {(0, "a"), (1, "b")}  # it has just been seen
    told = Told("ab", workers="abc", usual=slow)
    told.now = TRY_AGAIN
    assert sends(told.begin()) == {(0, "a"), (1, "b"), (0, "c")}
    told.answer(0, "a", TRY_AGAIN + 1.0)
    told.answer(1, "b")
    assert told.round.over  # nobody waits for it
    told.answer(0, "c", TRY_AGAIN + 1.5)
    assert told.crew.health["c"].pace("kind", told.now).mean == 1.5
    assert "c" in told.crew.team("kind", told.now)
    # Not those that are slow but a little, or have something to do, or cannot.
    for usual, busy in ((TOO_SLOW, False), (TOO_SLOW + 0.1, True)):
        told = Told("ab", workers="abc", usual={**slow, "c": usual})
        told.now = TRY_AGAIN
        if busy:
            told.crew.health["c"].begin("other", told.now, None)
        assert sends(told.begin()) == {(0, "a"), (1, "b")}
    told = Told("ab", workers="abc", usual=slow)
    told.now, told.lacking = TRY_AGAIN, {"c"}
    assert sends(told.begin()) == {(0, "a"), (1, "b")}


def test_who_was_slow_before_is_late_when_most_would_be():
    usual = {"a": 1.0, "b": 1.0, "c": 2.9}  # not too slow to have its part
    told = Told("abc", usual=usual)
    assert sends(told.begin()) == {(0, "a"), (1, "b"), (2, "c")}
    told.answer(0, "a", 1.0)
    told.answer(1, "b", 1.0)
    late = Pace(1.0, 0.5, 0.0).late_after
    assert sends(told.tell(Tick(), late - 0.01)) == set()
    assert sends(told.tell(Tick(), late + 0.01)) == {(2, "a")}


def test_a_part_cut_for_a_slow_worker_is_late_when_most_would_be_with_theirs():
    told = Told("abc", usual={"a": 1.0, "b": 1.0, "c": 2.5})
    told.pieces[2] = Piece("kind", 0.4, "c")
    told.collector = PieceCollector(told.pieces, told.workers)
    told.round = PieceRound(told.collector, told.crew, lambda *_: True, timeout=60.0)
    told.begin()
    told.answer(0, "a", 1.0)
    told.answer(1, "b", 1.0)
    late = Pace(1.0, 0.5, 0.0).late_after
    assert sends(told.tell(Tick(), late - 0.01)) == set()
    assert sends(told.tell(Tick(), late + 0.01)) == {(2, "a")}


def test_who_was_too_late_once_is_given_no_part_until_it_is_tried_again():
    told = Told("abc", usual=dict.fromkeys("abc", 1.0))
    told.begin()
    told.answer(0, "a", 1.0)
    told.answer(1, "b", 1.0)
    assert sends(told.tell(Tick(), 3.1)) == {(2, "a")}
    told.answer(2, "a", 4.1)
    told.answer(2, "c", TOO_SLOW + 0.1)
    assert set(told.crew.team("kind", told.now)) == {"a", "b"}
    # But not for what nobody was late with, or that was late by little.
    for waited_for, seconds in ((True, TOO_SLOW + 0.1), (False, 1.9)):
        told = Told("abc", usual=dict.fromkeys("abc", 1.0))
        told.begin()
        if not waited_for:
            told.crew.health["c"].overtake((told.round, 2))
        told.answer(2, "c", seconds)
        assert "c" in told.crew.team("kind", told.now)
