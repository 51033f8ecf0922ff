"""Measuring a cluster, and distributing only what gains by it."""

import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution import calibrate as calibration
from fcdcc_keras.execution.calibrate import calibrate, measure, nonnegative
from fcdcc_keras.execution.local import LOST


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    """Has figures be rough, for it is their order that is tested."""
    monkeypatch.setattr(calibration, "ROUNDS", 4)
    monkeypatch.setattr(calibration, "LEFT_OUT", 1)


def test_prices_are_found_and_never_negative():
    costs = [(1.0, 2.0, 0.0), (3.0, 1.0, 1.0), (1.0, 5.0, 2.0), (2.0, 2.0, 7.0)]
    true = (0.5, 0.0, 2.0)
    seconds = [sum(a * b for a, b in zip(c, true, strict=True)) for c in costs]
    assert nonnegative(costs, seconds) == pytest.approx(true)
    # The second would have to be negative: without it, the nearest.
    assert nonnegative([(1.0, 0.0), (1.0, 1.0)], [2.0, 1.0])[1] == 0.0


def test_a_real_cluster_is_measured(client):
    found = calibrate(client)
    assert 1e-4 < found.latency < 10
    assert 1e5 < found.bandwidth < 1e12
    assert 1e7 < found.worker_rate < 1e13
    assert 1e7 < found.client_rate < 1e13
    assert 1e6 < found.coding_rate < 1e13
    assert 1e7 < found.engine_rate < 1e13
    assert 1e6 < found.engine_memory_rate < 1e13
    assert 1e6 < found.engine_kernel_rate < 1e13
    assert found.worker_memory_rate < 1e15
    assert 0 < found.engine_operation < 1
    assert 0 < found.worker_operation < 100
    assert fk.Calibration.from_dict(found.to_dict()) == found
    assert found.near
    held = client.run(lambda dask_worker: [str(k) for k in dask_worker.data])
    assert not any("calibration" in key for keys in held.values() for key in keys)


def test_speeds_are_relative_to_the_usual_worker():
    runs = [{0: 1.0, 1: 2.0, 2: 1.0}, {0: 3.0, 1: 6.6, 2: 3.0}, {0: 2.0, 2: 2.0}]
    assert calibration.speeds(runs) == (1.0, 0.48, 1.0)
    assert calibration.speeds([{0: 1.0, 1: 1.2}]) == calibration.speeds([]) == ()


def test_without_a_light_engine_workers_are_like_this_process(monkeypatch):
    monkeypatch.setattr(calibration, "engine_speed", lambda geometry: None)
    found = measure(fk.LocalExecutor(3), 1)
    assert found.engine_rate == 0
    slower = found.client_rate / found.worker_rate
    assert found.worker_memory_rate == pytest.approx(found.client_memory_rate / slower)


def test_too_few_answers():
    executor = fk.LocalExecutor(4, {0: LOST, 1: LOST})
    with (
        pytest.warns(RuntimeWarning, match="needs the results"),
        pytest.raises(fk.ClusterError, match="Calibration needs workers that answer"),
    ):
        measure(executor, 1)
    assert executor.placements == []
