"""Measuring a cluster, and distributing only what gains by it."""

import math

import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.calibration import calibrate as calibration
from fcdcc_keras.execution.calibration import client as calibrate_client
from fcdcc_keras.execution.calibration.calibrate import calibrate, measure
from fcdcc_keras.execution.calibration.figures import (
    Sent,
    Timed,
    additions,
    computing,
    convolutions,
    costs,
    download,
    links,
    prices_of,
    round_trip,
    small_additions,
    upload,
)
from fcdcc_keras.execution.executors.local import LOST
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("rough_calibration")


def test_prices_are_found_and_never_negative():
    costs = [(9.0, 2.0, 0.0), (3.0, 8.0, 1.0), (1.0, 2.0, 7.0)]
    true = (0.5, 0.0, 2.0)
    seconds = [sum(a * b for a, b in zip(c, true, strict=True)) for c in costs]
    assert prices_of(costs, seconds) == pytest.approx(true)
    # The second would have to be negative; the others are as without it.
    seconds[1] -= 1.0
    assert prices_of(costs, seconds) == pytest.approx(true)


def test_a_real_cluster_is_measured(client):
    found = calibrate(client)
    assert 1e-5 < found.latency < 10
    assert found.bandwidth > 1e5
    assert 1e7 < found.worker_rate < 1e13
    assert 1e7 < found.client_rate < 1e13
    assert 1e6 < found.coding_rate < 1e13
    assert 1e7 < found.engine_rate < 1e13
    # Of a difference of times so short noise may leave nothing: then it is not slow.
    assert found.engine_memory_rate > 1e6
    assert 1e6 < found.engine_kernel_rate < 1e13
    assert found.worker_memory_rate > 1e6
    assert 0 < found.engine_operation < 1
    assert 0 < found.client_operation < 1
    assert 0 <= found.client_call < 100
    assert 0 <= found.client_variable < 1
    assert 0 <= found.worker_operation < 100
    assert fk.Calibration.from_dict(found.to_dict()) == found
    assert found.near

    def held():
        keys = client.run(lambda dask_worker: [str(key) for key in dask_worker.data])
        return [key for each in keys.values() for key in each if "calibration" in key]

    until(lambda: not held())  # Dask frees in the background


def test_speeds_are_relative_to_the_usual_worker():
    runs = [{0: 1.0, 1: 2.0, 2: 1.0}, {0: 3.0, 1: 6.6, 2: 3.0}, {0: 2.0, 2: 2.0}]
    assert calibration.speeds(runs) == (1.0, 0.48, 1.0)
    assert calibration.speeds([{0: 1.0, 1: 1.2}]) == calibration.speeds([]) == ()


def test_without_a_light_engine_that_has_no_figures(monkeypatch):
    monkeypatch.setattr(calibration, "engine_speed", lambda geometry: None)
    found = measure(fk.LocalExecutor(3, engine="numpy"), 1)
    assert found.engine_rate == 0
    assert 1e6 < found.worker_rate < 1e15


class Rationed:
    """A processor of which a burst is given after a pause, and then a share."""

    def __init__(self, share, burst):
        self.share, self.now, self._left = share, 0.0, burst

    def __call__(self):
        return self.now

    def work(self, seconds):
        at_once = min(seconds, self._left)
        self._left -= at_once
        self.now += at_once + (seconds - at_once) / self.share


@pytest.mark.parametrize("each", [0.001, 0.02, 0.4])
def test_what_is_sustained_counts_and_not_the_burst_after_a_pause(each):
    processor = Rationed(share=0.25, burst=0.05)
    took = calibrate_client.sustained(lambda: processor.work(each), 0.1, 0.3, processor)
    assert took == pytest.approx(4 * each)


def test_what_is_slow_is_done_a_few_times_and_what_is_quick_for_long(monkeypatch):
    monkeypatch.setattr(calibrate_client, "ROUNDS", 3)
    rounds = {}
    for each in (5.0, 0.01):
        processor, done = Rationed(1.0, 0.0), []

        def run(each=each, processor=processor, done=done):
            done.append(each)
            processor.work(each)

        calibrate_client.sustained(run, 0.1, 0.3, processor)
        rounds[each] = len(done)
    assert rounds[5.0] == 1 + 3
    assert 39 <= rounds[0.01] <= 44


def test_a_spell_in_which_a_packet_is_lost_does_not_count(monkeypatch):
    monkeypatch.setattr(calibrate_client, "ROUNDS", 3)
    processor, done = Rationed(1.0, 0.0), []

    def run():
        done.append(None)
        processor.work(0.3 if len(done) == 13 else 0.02)

    took = calibrate_client.sustained(run, 0.1, 0.3, processor)
    assert took == pytest.approx(0.02)


KINDS = (
    (small_additions, 256),
    (additions, 8),
    (convolutions, 16),
)
PRICES = {"operation": 2e-5, "memory": 1 / 6e9, "kernel": 1 / 3e9, "work": 1 / 13e9}
KERNEL_BYTE = 13e9 / 3e9
"""Multiply-adds that take as long as a byte of a kernel."""


def scripted(call, head_start, prices=PRICES):
    """Returns pairs of programs, timed as a worker of known figures would be."""

    def timed(sized):
        cost = costs(sized)
        steady = sum(a * b for a, b in zip(cost, prices.values(), strict=True))
        return Timed(cost, max(0.0, steady + call - head_start))

    return [(timed(make(many // 4)), timed(make(many))) for make, many in KINDS]


@pytest.mark.parametrize("head_start", [0.0, 1e-3])
def test_what_programs_tell_of_a_worker(head_start):
    found = computing(scripted(3e-4, head_start), 3e-4, KERNEL_BYTE)
    assert found.rate == pytest.approx(13e9)
    assert found.kernel_rate == pytest.approx(3e9)
    assert found.memory_rate == pytest.approx(6e9)
    assert found.operation == pytest.approx(2e-5)
    assert found.head_start == pytest.approx(head_start, abs=1e-9)


def test_what_costs_a_worker_nothing_has_no_price():
    free = {**PRICES, "operation": 0.0, "kernel": 0.0}
    found = computing(scripted(3e-4, 0.0, free), 3e-4, 0.0)
    assert found.rate == pytest.approx(13e9)
    assert found.kernel_rate == math.inf
    assert found.operation < 1e-9


def test_costs_are_those_that_plans_count():
    # 3 convolutions and the mean; two maps each; 0.59 MB each; 3×3×128×128 a pixel.
    operations, moved, kernels, work = costs(convolutions(3))
    pixels, channels = 28 * 28, 128
    assert operations == 4
    assert moved == 4 * channels * (3 * 2 * pixels + pixels + 1)
    assert kernels == 3 * 4 * 9 * channels * channels
    assert work == pytest.approx(3 * 9 * pixels * channels * (channels + 12))
    assert costs(upload(64))[0] == costs(download(64))[0] == 1
    assert costs(upload(64))[1] == costs(download(64))[1] == 4 * 16 * (64 * 256 + 1)


@pytest.mark.parametrize("workers", [1, 2, 6])
def test_links(workers):
    def ways(shared, own, fixed=0.002):
        def sent(nbytes, speed):
            one = max(nbytes / shared, nbytes / own) / speed
            everyone = one + (workers - 1) * nbytes / shared / speed
            return Sent(nbytes, fixed + everyone, fixed + one)

        # The second way is the slower one.
        return [(sent(1e6, v), sent(4e6, v)) for v in (1.5, 1.0)]

    shared, own = links(ways(117e6, 117e6), workers)
    assert (shared, own) == (pytest.approx(117e6), math.inf)
    if workers > 1:
        found = links(ways(1.4e9, 0.12e9), workers)
        assert found == (pytest.approx(1.4e9), pytest.approx(0.12e9))
    free = links(ways(1e15, 1e15), workers)
    assert free == (pytest.approx(2e10), math.inf)  # no way is faster than memory


def test_round_trips():
    # 2 ms, of which 0.3 ms computed; each further worker costs the client 0.5 ms.
    latency, message = round_trip(2e-3 + 5 * 5e-4, 2e-3, 3e-4, 6)
    assert message == pytest.approx(5e-4)
    assert latency == pytest.approx(2e-3 - 5e-4 - 3e-4)
    assert round_trip(2e-3, 2e-3, 3e-4, 1) == (pytest.approx(1.7e-3), 0.0)
    assert round_trip(1e-3, 2e-3, 3e-4, 6)[1] == 0.0
    assert round_trip(1.0, 1e-3, 3e-4, 3)[0] > 0


def test_too_few_answers():
    executor = fk.LocalExecutor(4, {0: LOST, 1: LOST})
    with (
        pytest.warns(RuntimeWarning, match="needs the results"),
        pytest.raises(fk.ClusterError, match="Calibration needs workers that answer"),
    ):
        measure(executor, 1)
    assert executor.placements == []
