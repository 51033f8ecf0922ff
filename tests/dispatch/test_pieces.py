"""Bookkeeping of pieces: what became of each copy that was sent."""

import pytest

from fcdcc_keras.dispatch.pieces import Piece, PieceCollector


@pytest.fixture
def collector():
    """Of two pieces and two workers; the first piece was sent to both."""
    collector = PieceCollector([Piece("kind"), Piece("kind")], "ab")
    collector.epoch = 100.0
    collector.sent(0, "a", 1.0)
    collector.sent(0, "b", 2.0, redistributed=True)
    return collector


def test_nothing_has_happened_at_first():
    collector = PieceCollector([Piece("kind")], "ab")
    assert collector.records == collector.exposed == []
    assert (collector.disputed, collector.abandoned) == (False, None)
    assert (collector.missing, collector.survivors) == ([0], ())
    assert not collector.complete


def test_each_copy_that_is_sent_has_a_record(collector):
    first, second = collector.records
    assert (first.worker, first.address, first.piece) == (0, "a", 0)
    assert (second.worker, second.address, second.piece) == (1, "b", 0)
    assert (first.sent, second.sent) == (101.0, 102.0)
    assert (first.redistributed, second.redistributed) == (False, True)
    assert first.outcome == second.outcome == "late"
    assert first.received is second.received is None
    assert collector.record(0, "b") is second


def test_what_comes_is_noted_used_or_not(collector):
    collector.came(0, "b", 3.0, 8, 20.0, 21.0)
    collector.use(0, "b")
    collector.stop()
    collector.came(0, "a", 4.0, 16)
    late, used = collector.records
    assert (used.outcome, used.received, used.bytes_received) == ("used", 103.0, 8)
    assert (used.started, used.finished) == (20.0, 21.0)  # by the worker's clock
    assert (late.outcome, late.received, late.bytes_received) == ("late", 104.0, 16)
    assert late.started is late.finished is None
    assert (collector.used, collector.survivors) == ({0: "b"}, (1,))
    assert collector.missing == [1]


def test_a_failure_has_a_time_and_a_reason(collector):
    collector.failed(0, "a", 3.0, "it raised")
    collector.failed(1, "a", 3.0, "it was never sent that")
    first, second = collector.records
    assert (first.outcome, first.detail, first.received) == (
        "failed",
        "it raised",
        103.0,
    )
    assert second.outcome == "late"


def test_what_was_used_or_comes_to_nothing_after_the_end_is_no_failure(collector):
    collector.use(0, "a")
    collector.failed(0, "a", 3.0, "it raised")
    collector.stop()
    collector.failed(0, "b", 3.0, "it raised")
    assert [r.outcome for r in collector.records] == ["used", "late"]


def test_all_that_is_waited_for_fails(collector):
    collector.sent(1, "a", 2.5)
    collector.use(0, "a")
    collector.fail_all(3.0, "closed")
    found = [(r.outcome, r.detail) for r in collector.records]
    assert found == [("used", ""), ("late", ""), ("failed", "closed")]
