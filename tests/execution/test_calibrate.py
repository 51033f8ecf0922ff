"""Measuring a cluster, and distributing only what gains by it."""

import keras
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.calibrate import calibrate, measure
from fcdcc_keras.execution.local import LOST


def test_a_real_cluster_is_measured(client):
    calibration = calibrate(client)
    assert 1e-4 < calibration.latency < 10
    assert 1e5 < calibration.bandwidth < 1e12
    assert 1e7 < calibration.worker_rate < 1e13
    assert 1e7 < calibration.client_rate < 1e13
    assert 1e6 < calibration.coding_rate < 1e13
    held = client.run(lambda dask_worker: [str(k) for k in dask_worker.data])
    assert not any("calibration" in key for keys in held.values() for key in keys)


def test_too_few_answers():
    executor = fk.LocalExecutor(4, {0: LOST, 1: LOST})
    with (
        pytest.warns(RuntimeWarning, match="needs the results"),
        pytest.raises(fk.ClusterError, match="Calibration needs workers that answer"),
    ):
        measure(executor, 1)
    assert executor.placements == []


def test_gaining_layers_are_chosen_by_a_measurement(client):
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(2, 1, name="light")(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1, name="lighter")(x))
    # On one machine nothing of the kind is worth its way to another process.
    with pytest.raises(fk.PlanError, match="the workers would take"):
        fk.distribute(model, client, layers="gaining")
