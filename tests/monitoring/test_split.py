"""Where the time of micro-batches and of whole calls went; scripted, so exact."""

from dataclasses import replace

import pytest

from fcdcc_keras.dispatch.collector import SubtaskRecord
from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.monitoring.split import Split, split, split_together


def used(worker: int, *times: float) -> SubtaskRecord:
    """A share whose answer was decoded: sent, started, finished, received."""
    return SubtaskRecord(worker, f"w{worker}", "used", *times)


def record(*shares: SubtaskRecord, **more: object) -> LayerRecord:
    times = {"encode": 0.25, "collect": 2.0, "decode": 0.5} | more
    return LayerRecord("a", 0, 1000.0, subtasks=shares, **times)


def test_the_convolution_is_that_of_the_last_answer_needed() -> None:
    first, last = used(0, 0.25, 0.5, 1.5, 2.0), used(1, 0.25, 0.5, 1.0, 2.25)
    assert split(record(first, last)) == Split(0.25, 1.5, 0.5, 0.5)
    other_clock = used(1, 0.25, 105.0, 106.0, 2.25)
    assert split(record(first, other_clock)) == Split(0.25, 1.0, 1.0, 0.5)
    assert split(record(first, other_clock)).total == 2.75


def test_of_tiles_it_is_that_of_the_worker_with_most_to_do() -> None:
    def tile(number: int, worker: int, *times: float) -> SubtaskRecord:
        return replace(used(worker, *times), piece=number)

    two = tile(0, 0, 0.25, 0.5, 1.0, 1.25), tile(2, 0, 0.25, 1.0, 1.5, 1.75)
    last = tile(1, 1, 0.25, 1.5, 2.25, 2.25)
    late = replace(tile(3, 0, 0.25, 1.5, 2.25, 2.5), outcome="late")
    assert split(record(*two, last, late)) == Split(0.25, 1.0, 1.0, 0.5)


def test_who_waits_for_halos_computes_nothing() -> None:
    def tile(number: int, waited: float) -> SubtaskRecord:
        shares = used(number, 0.25, 0.5, 2.0, 2.25)
        return replace(shares, piece=number, waited=waited)

    assert split(record(tile(0, 0.5), tile(1, 1.25))) == Split(0.25, 1.0, 1.0, 0.5)


def test_a_layer_of_the_client_waited_first_and_then_convolved() -> None:
    local = LayerRecord("a", 0, 5.0, collect=3.0, convolve=2.0, local="too few workers")
    assert split(local) == Split(0.0, 3.0, 2.0, 0.0)


def test_a_worker_cannot_compute_longer_than_was_waited() -> None:
    assert split(record(used(0, 0.25, 0.0, 99.0, 2.25))) == Split(0.25, 0.0, 2.0, 0.5)


def test_one_after_the_other_they_add_up() -> None:
    each = Split(0.25, 1.0, 1.0, 0.5)
    assert split_together([]) == Split()
    assert split_together([(1.7e9, each)]) == each
    # A pause between them is nobody's time.
    assert split_together([(1.7e9, each), (1.7e9 + 9.0, each)]) == Split(
        0.5, 2.0, 2.0, 1.0
    )


def test_what_overlaps_shares_the_time() -> None:
    # 0–1 encode | 1–2 encode and transport | 2–3 both transport | 3–4 transport
    first, second = Split(1.0, 2.0), Split(1.0, 2.0)
    assert split_together([(0.0, first), (1.0, second)]) == Split(1.5, 2.5)


@pytest.mark.parametrize("apart", [0.0, 0.3, 1.0, 2.75, 4.0])
def test_the_total_is_when_any_was_under_way(apart: float) -> None:
    each = Split(0.25, 1.0, 1.0, 0.5)
    three = [(apart * number, each) for number in range(3)]
    assert split_together(three).total == pytest.approx(2.75 + 2 * min(apart, 2.75))
