"""Layers without a code: who computes which part, and when it is copied."""

import pytest

from fcdcc_keras.codes import Uncoded
from fcdcc_keras.dispatch.collector import Collector
from fcdcc_keras.dispatch.copies import CopyingRound
from fcdcc_keras.dispatch.crew import Crew
from fcdcc_keras.dispatch.messages import (
    Abandoned,
    Answered,
    CrewChanged,
    Encode,
    Encoded,
    Failed,
    Finish,
    Free,
    Send,
    Tick,
)


def begin(crew=None, now=0.0, timeout=60.0):
    crew = crew or Crew("abcd")
    collector = Collector(Uncoded(4, 1, 4), "abcd")
    layer = CopyingRound(collector, crew, timeout=timeout)
    (encode,) = layer.start(now)
    assert encode == Encode((0, 1, 2, 3))
    return layer, crew, layer.handle(Encoded(encode.slots), now)


def answer(layer, slot, worker, now):
    return layer.handle(Answered(slot, worker, 8, now), now)


def test_each_part_goes_to_its_own_worker_and_all_are_needed():
    layer, _, sent = begin()
    assert sent == [Send(slot, worker) for slot, worker in enumerate("abcd")]
    for slot, worker in enumerate("abc"):
        assert answer(layer, slot, worker, 1.0) == [Free(worker)]
    assert answer(layer, 3, "d", 1.0) == [Finish(), Free("d")]
    assert layer.copies == 0


def test_who_still_owes_something_is_given_work_last():
    crew = Crew("abcd")
    crew.health["a"].begin("of another layer", 0.0, None)
    _, _, sent = begin(crew)
    # Those whose own workers are free keep them; then everybody owes one.
    assert sent == [Send(1, "b"), Send(2, "c"), Send(3, "d"), Send(0, "a")]


def test_late_ones_are_copied_once_half_are_done():
    layer, _, _ = begin()
    assert layer.wake_at() == 60.0
    answer(layer, 0, "a", 1.0)
    assert layer.wake_at() == 60.0
    answer(layer, 1, "b", 2.0)
    # Three times the median of what was done.
    assert layer.wake_at() == 4.5
    assert layer.handle(Tick(), 4.4) == []
    # Of those with the least to do: one copy each, on another worker.
    assert layer.handle(Tick(), 4.5) == [Send(2, "a"), Send(3, "b")]
    assert layer.copies == 2
    assert [r.redistributed for r in layer.collector.records] == [False] * 2 + [
        True
    ] * 2
    assert layer.wake_at() == 60.0
    assert answer(layer, 2, "a", 5.0) == [Free("a")]
    assert answer(layer, 2, "c", 5.5) == [Free("c")]  # the first counted
    assert answer(layer, 3, "d", 6.0) == [Finish(), Free("d")]
    assert answer(layer, 3, "b", 7.0) == [Free("b")]


def test_a_part_is_copied_on_another_worker_though_its_own_has_less_to_do():
    layer, crew, _ = begin()
    answer(layer, 0, "a", 1.0)
    answer(layer, 1, "b", 1.0)
    for address in "ab":
        for item in range(2):
            crew.health[address].begin(item, 1.0, None)
    assert layer.handle(Tick(), 3.0) == [Send(2, "d"), Send(3, "c")]


def test_a_part_goes_to_its_own_worker_among_those_with_as_little_to_do():
    crew = Crew("abcd")
    crew.seen("bcdx", 0.0)
    crew.admitted("x", "", 0.0)
    _, _, sent = begin(crew)
    assert sent == [Send(slot, worker) for slot, worker in enumerate("xbcd")]


def test_what_another_still_computes_is_not_copied_when_it_fails():
    layer, _, _ = begin()
    for slot, worker in enumerate("ab"):
        answer(layer, slot, worker, 1.0)
    assert Send(2, "a") in layer.handle(Tick(), 3.0)
    assert layer.handle(Failed(2, "c", "it raised", 4.0), 4.0) == [Free("c")]
    again, free = layer.handle(Failed(2, "a", "it raised", 5.0), 5.0)
    assert (again.slot, free) == (2, Free("a"))
    assert again.worker != "a"


def test_what_failed_is_tried_elsewhere_at_once():
    layer, _, _ = begin()
    failed = Failed(1, "b", "it raised", 0.5)
    (send, free) = layer.handle(failed, 0.5)
    assert (send.slot, free) == (1, Free("b"))
    assert send.worker != "b"


def test_what_a_lost_worker_was_to_do_is_copied_at_once():
    layer, crew, _ = begin()
    crew.seen("acd", 0.5)
    (send,) = layer.handle(CrewChanged(), 0.5)
    assert send.slot == 1
    assert send.worker in "acd"
    assert layer.handle(CrewChanged(), 0.6) == []


@pytest.mark.parametrize("how", ["fails", "is lost"])
def test_nobody_left_for_a_part_is_the_end(how):
    layer, crew, _ = begin()
    crew.seen("a", 0.5)
    layer.handle(CrewChanged(), 0.5)
    if how == "fails":
        for slot in range(4):
            layer.handle(Failed(slot, "a", "it raised", 1.0), 1.0)
    else:
        crew.seen("", 1.0)
        layer.handle(CrewChanged(), 1.0)
    assert layer.over
    assert not layer.collector.complete


def test_time_is_up():
    layer, _, _ = begin(timeout=2.0)
    assert layer.wake_at() == 2.0
    assert layer.handle(Tick(), 2.0) == [Finish()]
    assert layer.handle(Tick(), 3.0) == []
    assert answer(layer, 0, "a", 3.0) == [Free("a")]
    assert layer.collector.survivors == ()


def test_abandoned_is_over_at_once():
    layer, _, _ = begin()
    assert layer.handle(Abandoned("the model was closed"), 1.0) == [Finish()]
    assert layer.collector.abandoned == "the model was closed"
    assert layer.handle(Abandoned(None), 1.0) == []
    assert answer(layer, 0, "a", 2.0) == [Free("a")]
    assert layer.wake_at() == 60.0
