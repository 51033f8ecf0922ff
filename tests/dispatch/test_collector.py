"""The collector: what happened goes in, what to do comes out."""

import math

from fcdcc_keras.codes import CRME, Chebyshev, Uncoded
from fcdcc_keras.dispatch.collector import Collector, Verdict

CODE = CRME(4, 4, 6)  # any 4 of 6
SIZE = 32


def _collector(sent: int = 6) -> Collector:
    collector = Collector(CODE, [f"w{i}" for i in range(6)])
    for worker in range(sent):
        collector.sent(worker, 1.0, 100 + worker)
    return collector


def _outcomes(collector: Collector) -> list[str]:
    return [record.outcome for record in collector.records]


def test_nothing_has_happened_at_first() -> None:
    collector = _collector(sent=0)
    assert [(r.worker, r.address) for r in collector.records] == [
        (i, f"w{i}") for i in range(6)
    ]
    assert _outcomes(collector) == ["skipped"] * 6
    assert collector.unsent() == list(range(6))
    assert not collector.complete
    assert not collector.hopeless
    assert collector.survivors == ()
    assert collector.answers == []


def test_sending_is_noted() -> None:
    collector = _collector(sent=0)
    collector.sent(4, 2.5, 1234)
    record = collector.records[4]
    assert (record.outcome, record.sent, record.bytes_sent) == ("late", 2.5, 1234)
    assert collector.unsent() == [0, 1, 2, 3, 5]


def test_complete_exactly_at_the_recovery_threshold() -> None:
    collector = _collector()
    complete = []
    for worker in (5, 0, 3, 2):
        complete.append(collector.complete)
        collector.answered(worker, 3.0, SIZE)
    assert complete == [False] * 4
    assert collector.complete
    assert collector.survivors == (0, 2, 3, 5)
    assert collector.answers == [(0, "w0"), (2, "w2"), (3, "w3"), (5, "w5")]


def test_answers_are_recorded() -> None:
    collector = _collector()
    collector.answered(3, 9.0, SIZE, started=5.0, finished=6.0)
    record = collector.records[3]
    assert (record.outcome, record.received) == ("used", 9.0)
    assert (record.started, record.finished) == (5.0, 6.0)
    assert record.bytes_received == 32
    assert record.bytes_sent == 103


def test_answers_after_it_is_complete_are_late_and_not_used() -> None:
    collector = _collector()
    for worker in range(4):
        collector.answered(worker, 3.0, SIZE)
    collector.answered(4, 4.0, SIZE, started=3.1, finished=3.2)
    collector.answered(0, 4.0, SIZE)
    collector.failed(5, 4.0, "too late to matter")
    assert collector.survivors == (0, 1, 2, 3)
    assert _outcomes(collector) == ["used"] * 4 + ["late"] * 2
    late = collector.records[4]  # when it came is known all the same
    assert (late.started, late.finished, late.received) == (3.1, 3.2, 4.0)
    assert late.bytes_received == 32
    assert collector.records[0].received == 3.0
    assert collector.records[5].received is None
    assert collector.records[5].detail == ""


def test_a_part_is_tried_again_by_another_worker() -> None:
    collector = _collector()
    collector.failed(2, 2.0, "it died")
    collector.again(2)
    assert collector.unsent() == [2]
    collector.sent(2, 3.0, 50, "elsewhere")
    assert collector.records[2].address == "elsewhere"
    assert collector.records[2].redistributed
    assert collector.records[2].bytes_sent == 152
    collector.answered(2, 4.0, SIZE)
    assert collector.survivors == (2,)
    collector.again(2)
    assert collector.records[2].outcome == "used"


def test_its_own_worker_that_has_a_part_again_has_it_in_nobodys_place() -> None:
    collector = _collector()
    for address in ("elsewhere", "w2"):
        collector.failed(2, 2.0, "it died")
        collector.again(2)
        collector.sent(2, 3.0, 50, address)
    assert not collector.records[2].redistributed


def test_one_worker_counts_once() -> None:
    collector = _collector()
    for again in range(4):
        collector.answered(1, 3.0 + again, SIZE, address=f"w{again}")
    assert collector.survivors == (1,)
    assert not collector.complete
    # The first answer is the one.
    assert collector.records[1].received == 3.0
    assert collector.answers == [(1, "w0")]


def test_what_comes_once_collecting_has_ended_is_not_used() -> None:
    collector = _collector()
    collector.stop()
    collector.answered(1, 3.0, SIZE)
    assert collector.survivors == ()
    assert collector.records[1].received == 3.0
    assert collector.records[1].outcome == "late"


def test_failures_are_erasures_with_a_reason() -> None:
    collector = _collector()
    collector.failed(2, 4.0, "it died")
    record = collector.records[2]
    assert (record.outcome, record.received, record.detail) == (
        "failed",
        4.0,
        "it died",
    )
    collector.answered(2, 5.0, SIZE)
    assert collector.survivors == ()
    assert record.outcome == "failed"


def test_a_failure_takes_no_answer_back() -> None:
    collector = _collector()
    collector.answered(2, 4.0, SIZE)
    collector.failed(2, 5.0, "it died afterwards")
    assert collector.survivors == (2,)
    assert collector.records[2].outcome == "used"
    assert collector.records[2].detail == ""


def test_all_that_is_waited_for_fails() -> None:
    collector = _collector(sent=5)
    collector.answered(0, 3.0, SIZE)
    collector.fail_all(4.0, "closed")
    assert _outcomes(collector) == ["used"] + ["failed"] * 5
    assert {r.detail for r in collector.records[1:]} == {"closed"}


def test_times_of_records_are_those_of_another_clock() -> None:
    collector = _collector(sent=0)
    collector.epoch = 100.0
    for worker in (0, 1):
        collector.sent(worker, 1.0, SIZE)
    collector.answered(0, 2.0, SIZE, started=5.0)
    collector.failed(1, 3.0, "it died")
    first, second = collector.records[:2]
    assert (first.sent, first.started, first.received) == (101.0, 5.0, 102.0)
    assert (second.sent, second.received) == (101.0, 103.0)


def test_hopeless_once_too_few_are_left() -> None:
    collector = _collector(sent=5)
    hopeless = []
    for worker in (0, 1, 2):
        hopeless.append(collector.hopeless)
        collector.failed(worker, 2.0, "it died")
    # The one that was not sent anything can still be.
    assert hopeless == [False] * 3
    assert collector.hopeless
    assert not collector.complete


def test_a_failure_before_sending_leaves_nothing_to_send() -> None:
    collector = _collector(sent=0)
    collector.failed(1, 2.0, "lost")
    assert collector.unsent() == [0, 2, 3, 4, 5]


def test_a_failed_worker_may_be_sent_to_again() -> None:
    collector = _collector()
    for worker in (0, 1, 2):
        collector.failed(worker, 2.0, "it died")
    collector.sent(0, 3.0, 7)
    assert not collector.hopeless
    assert collector.records[0].outcome == "late"
    collector.answered(0, 4.0, SIZE)
    assert collector.survivors == (0,)


def test_uncoded_is_hopeless_after_one_failure() -> None:
    collector = Collector(Uncoded(2, 1, 2), ["a", "b"])
    collector.answered(0, 1.0, SIZE)
    assert not collector.hopeless
    collector.failed(1, 1.0, "it died")
    assert collector.hopeless


def test_an_answer_that_amplifies_too_much_is_not_enough() -> None:
    alone = CODE.decoder([0, 1, 2, 3]).amplification
    better = CODE.decoder(range(5)).amplification
    for limit, complete in ((alone, True), (math.nextafter(alone, 0), False)):
        collector = Collector(CODE, "abcdef", limit)
        for worker in range(4):
            collector.answered(worker, 1.0, SIZE)
        assert collector.complete == complete
        collector.answered(4, 1.0, SIZE)
        assert collector.complete
    assert better < alone
    collector = Collector(CODE, "abcdef", better)
    assert collector.enough(range(5))
    assert not collector.enough(range(4))
    assert not collector.hopeless
    collector.failed(0, 1.0, "it died")
    collector.failed(1, 1.0, "it died")
    assert collector.hopeless  # the four that are left do not do


def test_a_replaced_worker_is_named_in_the_record() -> None:
    collector = _collector()
    collector.answered(1, 3.0, SIZE, address="elsewhere")
    collector.answered(2, 3.0, SIZE)
    assert [r.address for r in collector.records[1:3]] == ["elsewhere", "w2"]
    assert [r.redistributed for r in collector.records[1:3]] == [True, False]
    assert collector.records[2].started is collector.records[2].finished is None


def test_sending_again_forgets_what_came_of_it_before() -> None:
    collector = _collector()
    collector.failed(2, 2.0, "it died")
    collector.sent(2, 3.0, 50)
    record = collector.records[2]
    assert (record.outcome, record.sent, record.received) == ("late", 3.0, None)
    assert (record.bytes_sent, record.address) == (152, "w2")
    collector.failed(2, 4.0, "it died, too")
    collector.again(2)
    assert (record.outcome, record.detail) == ("skipped", "")


def test_only_what_was_sent_is_late_once_it_is_complete() -> None:
    collector = _collector(sent=5)
    for worker in range(4):
        collector.answered(worker, 3.0, SIZE)
    collector.answered(5, 4.0, SIZE)  # nobody had asked
    assert collector.records[5].received is None
    assert collector.records[5].outcome == "skipped"
    assert collector.survivors == (0, 1, 2, 3)


def test_plain_answers_are_no_question_and_expose_nobody() -> None:
    collector = _collector()
    assert collector.code is CODE
    assert collector.question() is None
    assert collector.judged(Verdict(frozenset({1}), frozenset())) == ()
    assert (collector.disputed, collector.exposed, collector.abandoned) == (
        False,
        [],
        None,
    )


def test_a_failure_after_completion_is_of_no_interest() -> None:
    collector = _collector()
    for worker in range(4):
        collector.answered(worker, 3.0, SIZE)
    collector.failed(5, 4.0, "it died")
    assert _outcomes(collector) == ["used"] * 4 + ["late"] * 2


def test_noise_amplifies_without_limit() -> None:
    collector = Collector(Chebyshev(32, 1, 60), [str(w) for w in range(60)], 1e300)
    assert not collector.enough(range(32))
