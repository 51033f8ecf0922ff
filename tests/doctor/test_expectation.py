"""What is counted with where it is said what can be expected."""

from dataclasses import replace

import pytest

from fcdcc_keras.doctor.expectation import workers_speed_of
from fcdcc_keras.doctor.findings import Touch
from tests.doctor.found import findings, worker

DROPPED = Touch("dropped")


def exchange(found):
    return workers_speed_of(found, 1e-4, 1.0).exchange


def test_halos_that_workers_were_seen_to_exchange_are_counted():
    # From chain to chain a worker gives two others halos, and takes theirs.
    took = [{"halo": 1e-3 * seconds} for seconds in (1, 2, 4, 9)]
    assert exchange(findings(*took)) == pytest.approx(3e-3 / 2)
    two = findings(workers=(worker(0), worker(1)))
    assert exchange(two) == pytest.approx(1e-3)  # of one other each


@pytest.mark.parametrize(
    "change",
    [
        {"halo": None, "unexchanged": "it took too long"},
        {"to_workers": {worker(1).address: DROPPED}},
        {"answers_client": False, "by_client": DROPPED},
    ],
    ids=["did not exchange", "does not reach another", "by way of the scheduler"],
)
def test_where_one_exchanges_nothing_none_does(change):
    assert exchange(findings(change)) == 0


def test_who_computes_nothing_is_waited_for_by_none():
    ill = {"status": "paused", "halo": None, "to_workers": {}}
    cut = {"to_workers": {worker(0).address: DROPPED}}
    assert exchange(findings(ill, cut)) == pytest.approx(0.5e-3)
    (alone,) = findings().workers[:1]
    assert exchange(findings(workers=(replace(alone, halo=None),))) == 0
