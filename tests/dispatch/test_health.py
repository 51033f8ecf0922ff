"""A worker's health: events and times go in, its state comes out."""

import math
import sys
import threading

import pytest

from fcdcc_keras.dispatch.health import (
    DEPTH,
    FAILING_FOR,
    FORGET_AFTER,
    MOST_PACES,
    Health,
    Pace,
)


@pytest.fixture
def health() -> Health:
    return Health("tcp://a:1")


def teach(health: Health, seconds: float, times: int = 10, start: float = 0.0) -> float:
    """Has the worker finish some work that takes so long; returns the time."""
    now = start
    for i in range(times):
        health.begin(("taught", i), now, None)
        now += seconds
        health.end(("taught", i), now, "conv")
    return now


def test_a_new_worker_is_idle_and_takes_work(health: Health) -> None:
    assert health.state(0.0) == "idle"
    assert health.accepts(0.0)
    assert health.owes == 0
    assert health.oldest() is None
    assert health.pace("conv", 0.0) is None


def test_busy_until_it_ends(health: Health) -> None:
    for i in range(DEPTH):
        assert health.accepts(1.0)
        health.begin(i, 1.0 + i, None)
        assert health.state(1.0) == "busy"
    assert not health.accepts(1.0)
    assert health.oldest() == 1.0
    for i in range(DEPTH):
        health.end(i, 5.0)
    assert health.state(5.0) == "idle"


def test_without_a_known_pace_only_being_overtaken_makes_it_late(
    health: Health,
) -> None:
    health.begin("item", 0.0, None)
    assert health.state(1e6) == "busy"
    health.overtake("item")
    assert health.state(0.0) == "late"
    assert not health.accepts(0.0)
    health.end("item", 9.0)
    assert health.state(9.0) == "back"
    assert health.accepts(9.0)
    health.begin("next", 9.0, None)
    health.end("next", 9.1)
    assert health.state(9.1) == "idle"


def test_overdue_is_late(health: Health) -> None:
    now = teach(health, 0.1)
    pace = health.pace("conv", now)
    assert pace is not None
    assert pace.mean == pytest.approx(0.1)
    assert 0.2 < pace.late_after < 0.3
    health.begin("item", now, pace.late_after)
    assert health.deadline("item") == pytest.approx(now + pace.late_after)
    assert health.state(now + 0.19) == "busy"
    assert health.state(now + 0.4) == "late"
    health.end("item", now + 0.5)
    assert health.state(now + 0.5) == "back"


def test_unsteady_workers_are_given_more_time(health: Health) -> None:
    steady = Health("tcp://b:1")
    teach(steady, 0.1, 20)
    now = 0.0
    for i in range(20):
        now = teach(health, 0.02 if i % 2 else 0.18, 1, now)
    ours, theirs = health.pace("conv", now), steady.pace("conv", 2.0)
    assert ours is not None
    assert theirs is not None
    assert ours.mean == pytest.approx(0.1, rel=0.3)
    assert ours.late_after > 1.5 * theirs.late_after


def test_one_freeze_does_not_spoil_the_pace(health: Health) -> None:
    now = teach(health, 0.1)
    health.begin("frozen", now, None)
    health.end("frozen", now + 20, "conv")
    pace = health.pace("conv", now + 20)
    assert pace is not None
    assert pace.mean < 0.2


def test_old_paces_are_forgotten_and_learnt_anew(health: Health) -> None:
    now = teach(health, 0.1)
    assert health.pace("conv", now + FORGET_AFTER - 1) is not None
    assert health.pace("conv", now + FORGET_AFTER + 1) is None
    now = teach(health, 0.5, 1, now + FORGET_AFTER + 1)
    pace = health.pace("conv", now)
    assert pace is not None
    assert pace.mean == pytest.approx(0.5)
    assert health.pace("another", now) is None


def test_no_more_paces_are_remembered_than_may_be_asked_for(health: Health) -> None:
    now = 0.0
    for size in range(MOST_PACES + 100):
        health.begin(size, now, None)
        now += 1e-3
        health.end(size, now, ("conv", size))
        if size % 1000 == 0:  # what is used goes on to be remembered
            health.begin("kept", now, None)
            health.end("kept", now, "kept")
    assert len(health._paces) == MOST_PACES
    assert health.pace(("conv", 0), now) is None
    assert health.pace("kept", now) is not None
    assert health.pace(("conv", size), now) is not None
    teach(health, 0.1, 1, now + FORGET_AFTER)
    assert len(health._paces) == 1  # that of the others says nothing any more


def test_silence_makes_it_suspect_and_an_answer_brings_it_back(health: Health) -> None:
    health.pinged(answered=False)
    assert health.state(0.0) == "suspect"
    assert not health.accepts(0.0)
    health.pinged(answered=True)
    assert health.state(0.0) == "back"
    assert health.accepts(0.0)


def test_a_process_that_left_does_not_come_back(health: Health) -> None:
    health.leave()
    assert health.state(0.0) == "lost"
    for answered in (False, True):
        health.pinged(answered)
        assert health.state(0.0) == "lost"


def test_what_is_unknown_is_ignored(health: Health) -> None:
    health.end("never begun", 1.0, "conv")
    health.overtake("never begun")
    assert health.deadline("never begun") is None
    assert health.state(1.0) == "idle"
    assert health.pace("conv", 1.0) is None


def test_trust_does_not_come_back(health: Health) -> None:
    now = teach(health, 0.1)
    health.distrusted = True
    for event in (lambda: health.pinged(True), health.leave):
        event()
        assert health.state(now) == "distrusted"
        assert health.absent
        assert not health.accepts(now)


def test_absent_is_whoever_nothing_can_be_expected_of(health: Health) -> None:
    assert not health.absent
    health.pinged(False)
    assert health.absent
    health.pinged(True)
    assert not health.absent
    health.leave()
    assert health.absent


def test_one_that_failed_takes_no_part_of_others_for_a_while(health: Health) -> None:
    assert health.sound(0.0)
    health.fail(1.0)
    assert not health.sound(1.0)
    # Its own parts it is given: that is how it shows that it can do them again.
    assert health.accepts(1.0)
    assert health.sound(1.0 + FAILING_FOR)
    health.fail(10.0)
    health.begin("item", 10.0, None)
    health.end("item", 10.1)
    assert not health.sound(10.1)
    health.begin("item", 10.1, None)
    health.end("item", 10.2, "conv")
    assert health.sound(10.2)


def test_it_may_be_asked_in_one_thread_while_another_notes_what_happens():
    health, over = Health("a"), threading.Event()

    def work():
        item = 0
        while not over.is_set():
            health.begin(item, 0.0, None)
            health.end(item - 3, 0.0)
            item += 1

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(20_000):
            health.oldest()
            assert health.state(1.0) in ("idle", "busy")
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)


def test_what_a_layer_waited_for_in_vain_is_remembered_until_it_comes():
    health = Health("w")
    health.begin("a", 0.0, None)
    health.overtake("a")
    assert not health.given_up  # its layer had enough without it
    health.overtake("a", given_up=True)
    health.overtake("a")
    assert health.given_up
    health.end("a", 9.0)
    assert not health.given_up


def test_a_pace_follows_what_is_measured_as_tcps_round_trips_do() -> None:
    pace = Pace(mean=1.0, deviation=0.5, learnt=0.0)
    assert pace.late_after == pytest.approx(1.0 + 4 * 0.5 + 0.005)
    pace.learn(2.0, 3.0)
    assert (pace.mean, pace.deviation, pace.learnt) == (1.125, 0.625, 3.0)
    pace.learn(0.5, 4.0)
    assert (pace.mean, pace.deviation, pace.learnt) == (1.046875, 0.625, 4.0)
    pace.learn(100.0, 5.0)  # as eight times the mean
    assert (pace.mean, pace.deviation) == (1.962890625, 0.625 + 6.703125 / 4)
    assert Pace(1.0, 0.0, 0.0).late_after == pytest.approx(2.0 + 0.005)


def test_the_first_measurement_is_the_pace(health: Health) -> None:
    health.begin("item", 10.0, None)
    health.end("item", 10.5, "conv")
    assert health.pace("conv", 10.5) == Pace(0.5, 0.25, 10.5)
    health.begin("item", 11.0, None)
    health.end("item", 12.0, "conv")
    assert health.pace("conv", 12.0) == Pace(0.5625, 0.3125, 12.0)
    end = 12.0 + FORGET_AFTER
    assert health.pace("conv", end) is not None
    assert health.pace("conv", math.nextafter(end, math.inf)) is None
    health.begin("item", end - 1.0, None)
    health.end("item", end, "conv")  # it is not forgotten yet
    assert health.pace("conv", end) == Pace(0.6171875, 0.34375, end)
    end += FORGET_AFTER + 1
    health.begin("item", end - 2.0, None)
    health.end("item", end, "conv")
    assert health.pace("conv", end) == Pace(2.0, 1.0, end)


def test_late_is_after_the_deadline_not_at_it(health: Health) -> None:
    health.begin("item", 1.0, 0.5)
    assert health.deadline("item") == 1.5
    assert health.state(1.5) == "busy"
    assert health.state(math.nextafter(1.5, 2)) == "late"
    health.end("item", 1.5)
    assert health.state(1.5) == "idle"


def test_the_worst_that_is_known_of_it_is_its_state(health: Health) -> None:
    health.begin("late", 0.0, 1.0)
    health.end("late", 2.0)
    states = [health.state(2.0)]
    for happens in (
        lambda: health.begin("item", 2.0, None),
        lambda: health.overtake("item"),
        lambda: health.pinged(False),
        health.leave,
        lambda: setattr(health, "distrusted", True),
    ):
        happens()
        states.append(health.state(2.0))
    assert states == ["back", "busy", "late", "suspect", "lost", "distrusted"]


def test_a_process_that_has_left_does_not_come_back(health: Health) -> None:
    health.pinged(True)
    assert health.state(0.0) == "idle"  # nothing was missing
    health.begin("item", 0.0, 1.0)
    health.leave()
    health.end("item", 5.0)  # given up, as it has left
    health.pinged(True)
    assert health.state(5.0) == "lost"


def test_it_fails_for_no_less_than_it_should(health: Health) -> None:
    health.fail(1.0)
    assert not health.sound(math.nextafter(1.0 + FAILING_FOR, 0))
    health.pinged(False)
    assert not health.sound(1.0 + FAILING_FOR)


def test_what_is_owed_longest(health: Health) -> None:
    for item, since in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        health.begin(item, since, None)
    assert (health.oldest(), health.owes) == (1.0, 3)
    health.end("a", 4.0)
    assert (health.oldest(), health.owes) == (2.0, 2)


def test_what_is_overdue_keeps_it_from_more(health: Health) -> None:
    health.begin("item", 0.0, 1.0)
    assert health.accepts(1.0)
    assert health.sound(1.0)
    assert not health.accepts(1.1)
    assert not health.sound(1.1)
    health.end("item", 1.0)
    health.leave()
    assert not health.accepts(2.0)
    assert not health.sound(2.0)
