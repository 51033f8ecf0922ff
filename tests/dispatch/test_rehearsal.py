"""Who rehearses, when, and what comes of it."""

import math

import pytest

from fcdcc_keras.dispatch.choice import TRY_AGAIN
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.dispatch.health import FAILING_FOR
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Among,
    Answered,
    CrewChanged,
    Encode,
    Encoded,
    Failed,
    Finish,
    Free,
    Look,
    Send,
)
from fcdcc_keras.dispatch.pieces import Piece, PieceCollector
from fcdcc_keras.dispatch.rehearsal import SHORTEST, SOON, Rehearsal, Rehearsed

KIND = ("tiles", "run")
ALONE = Among((), 60.0)


class Told:
    """A rehearsal of workers with a tile of each of four chains."""

    def __init__(self, homes="abc", workers=None, slow=None):
        self.workers, self.homes = workers or homes, homes
        self.crew, self.now = Crew(self.workers), 0.0
        self.lacking, self.rehearsed = set(), Rehearsed()
        for worker in self.workers:
            seconds = (slow or {}).get(worker, 1.0)
            self.crew.health[worker].learn(KIND, seconds, -TRY_AGAIN)

    def begin(self, among=None):
        """Returns who rehearses what, of a call that begins."""
        pieces = [Piece(KIND, 1.0, home) for home in self.homes]
        collector = PieceCollector(pieces, self.workers)
        made = Rehearsal(
            collector,
            self.crew,
            lambda slot, worker: (slot, worker) not in self.lacking,
            [(0.25,) * 4 for _ in self.homes],
            self.rehearsed,
            timeout=60.0,
            among=among,
        )
        commands = made.start(self.now)
        if not commands:
            return {}
        self.collector, self.round = collector, made
        (encode,) = commands
        assert isinstance(encode, Encode)
        *sends, last = self.tell(Encoded(encode.slots))
        assert last == Finish()
        assert all(send == Send(send.slot, send.worker, ALONE) for send in sends)
        return {send.worker: send.slot for send in sends}

    def tell(self, event):
        return self.round.handle(event, self.now)

    def answer(self, slot, worker, now):
        self.now = now
        return self.tell(Answered(slot, worker, 8, now, 0.0, 0.0, 0.0))

    def fail(self, slot, worker, now, **more):
        self.now = now
        return self.tell(Failed(slot, worker, "why", now, **more))

    def mean(self, worker):
        return self.crew.health[worker].pace(KIND, self.now).mean


def test_who_has_not_rehearsed_does_so_and_nobody_waits():
    told = Told()
    assert told.begin() == {"a": 0, "b": 1, "c": 2}
    assert told.round.over
    assert not told.collector.begun
    assert [told.crew.health[worker].state(0.0) for worker in "abc"] == ["busy"] * 3
    assert told.begin() == {}  # they are at it


def test_once_is_enough_and_another_process_does_so_anew():
    told = Told()
    told.begin()
    for slot, worker in enumerate("abc"):
        assert not told.rehearsed.by(worker, slot, told.crew)
        assert told.answer(slot, worker, 9.0) == [Free(worker)]
        assert told.rehearsed.by(worker, slot, told.crew)
        assert told.mean(worker) == 1.0  # the first time says nothing
    assert told.begin() == {}
    told.crew.health["b"].process = "another"
    assert told.begin() == {"b": 1}


def test_half_of_them_at_a_time():
    told = Told("abcde")
    assert told.begin(among="abcde") == {"a": 0, "b": 1}
    assert told.begin(among="abcde") == {}
    told.answer(0, "a", 2.0)
    told.crew.health["c"].begin("of another", 2.0, None)
    assert told.begin(among="abcde") == {"d": 3}
    told.now += 1.01 * SOON  # none answers: nobody waits for these
    assert told.begin(among="abcde") == {"e": 4}
    told.crew.health["c"].end("of another", told.now)
    assert told.begin(among="abcde") == {"c": 2}


def test_only_those_who_may():
    assert Told("abcd").begin(among="db") == {"b": 1, "d": 3}
    assert Told("abcd").begin(among="") == {}
    assert Told("a").begin(among="a") == {"a": 0}


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


@pytest.mark.parametrize("how", [busy, lacks, fails, left, unknown])
def test_only_who_can_is_asked(how):
    told = Told()
    how(told)
    assert told.begin() == {"a": 0, "c": 2}


@pytest.mark.parametrize("how", [busy, lacks, fails, left, unknown])
def test_who_cannot_any_more_is_not(how):
    told = Told()

    def tell(event):
        how(told)
        return told.round.handle(event, told.now)

    told.tell = tell
    assert told.begin() == {"a": 0, "c": 2}


def test_one_that_fails_is_tried_again_and_looked_for():
    told = Told()
    told.begin()
    assert told.fail(1, "b", 0.5) == [Free("b")]
    assert told.begin() == {}
    told.now += 1.01 * FAILING_FOR
    assert told.begin() == {"b": 1}
    assert told.fail(1, "b", told.now, began=False) == [Look(), Free("b")]
    assert told.fail(2, "c", told.now, lost_share=True) == [Free("c")]
    assert told.crew.health["c"].sound(told.now)


def rehearsed_but(worker, **more):
    """Returns what has rehearsed but for one, who was too slow when it did last."""
    told = Told(slow={worker: 10.0}, **more)
    told.rehearsed.done.update(
        (slot, each, "") for each in told.workers for slot in range(4)
    )
    return told


@pytest.mark.parametrize(("homes", "slot"), [("abc", 0), ("dabc", 0), ("abdc", 2)])
def test_who_was_too_slow_is_tried(homes, slot):
    """With what was cut for it, if anything was."""
    told = rehearsed_but("d", homes=homes, workers="abcd")
    assert set(told.crew.team(KIND, 0.0)) == {"a", "b", "c"}
    assert told.begin(among="abcd") == {}
    assert told.begin() == {"d": slot}
    told.answer(slot, "d", 1.2)
    assert told.mean("d") == pytest.approx(1.2)
    assert told.crew.team(KIND, told.now)["d"] == pytest.approx(1 / 1.2)
    assert told.begin() == {}


def test_one_that_is_slow_yet_is_not_tried_so_soon_again():
    told = rehearsed_but("d", homes="abc", workers="abcd")
    told.begin()
    told.answer(0, "d", 5.0)
    assert told.mean("d") == pytest.approx(5.0)
    assert told.begin() == {}
    told.now += TRY_AGAIN
    assert told.begin() == {"d": 0}


def test_the_first_time_of_one_that_is_tried_says_nothing():
    told = rehearsed_but("d", homes="abc", workers="abcd")
    told.rehearsed.done.remove((0, "d", ""))
    told.begin()
    told.answer(0, "d", 1.0)
    assert told.mean("d") == 10.0
    assert (0, "d", "") in told.rehearsed.done


def test_some_milliseconds_make_nobody_slow():
    told = rehearsed_but("d", homes="abc", workers="abcd")
    told.begin()
    told.answer(0, "d", 0.001)
    assert told.mean("d") == SHORTEST


def test_who_is_gone_or_forgotten_meanwhile():
    told = Told()
    told.begin()
    del told.crew.health["b"]
    assert told.answer(1, "b", 1.0) == [Free("b")]
    assert told.fail(1, "b", 1.0) == [Free("b")]
    assert told.tell(CrewChanged()) == []
    assert told.tell(Abandoned("why")) == []
    assert told.round.wake_at() == math.inf
