"""What a measured cluster says about layers."""

import json
from dataclasses import replace

import keras
import pytest

import fcdcc_keras as fk
from fcdcc_keras.codes import CRME
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Objective, plan_layer
from fcdcc_keras.planning.devices import PROFILES, profile
from fcdcc_keras.planning.layer_time import layer_time
from fcdcc_keras.planning.prediction import convolution_work
from fcdcc_keras.planning.stragglers import ShiftedExponential

BOARDS = fk.Calibration(
    latency=5e-3,
    bandwidth=1e8,
    worker_rate=5e9,
    client_rate=5e9,
    coding_rate=2e9,
)


def faster(**numbers):
    return fk.Calibration(**{**BOARDS.to_dict(), **numbers})


def model():
    """A layer of little work on many pixels, and one of much work on few."""
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(4, 1, name="light")(inputs)
    x = keras.layers.Conv2D(64, 3, name="between")(x)
    return keras.Model(inputs, keras.layers.Conv2D(256, 5, name="heavy")(x))


def seconds(calibration, path):
    plan = fk.plan(model(), workers=6, stragglers=2)
    layer = plan.layer(path)
    there = float(layer_time(layer.geometry, layer.code, calibration).total())
    return there, convolution_work(layer.geometry).seconds(calibration)


def test_each_number_counts():
    there, here = seconds(BOARDS, "heavy")
    assert there < here
    for better in (
        faster(latency=1e-6),
        faster(bandwidth=1e10),
        faster(worker_rate=1e11),
        faster(coding_rate=1e11),
    ):
        assert seconds(better, "heavy")[0] < there
        assert seconds(better, "heavy")[1] == here
    assert seconds(faster(client_rate=1e10), "heavy")[1] == pytest.approx(here / 2)


def test_the_calibration_is_stored_in_the_plan():
    plan = fk.plan(model(), workers=6, calibration=BOARDS)
    again = fk.Plan.from_json(plan.to_json())
    assert again == plan
    assert again.calibration == BOARDS
    assert "calibration" not in json.loads(fk.plan(model(), workers=6).to_json())


def test_prices_follow_the_calibration():
    geometry = fk.plan(model(), workers=6).layer("heavy").geometry
    slow_wire = faster(bandwidth=1e6).prices
    slow_work = faster(worker_rate=1e7).prices
    plans = [
        plan_layer("x", geometry, workers=6, stragglers=2, objective=Objective(prices))
        for prices in (slow_wire, slow_work)
    ]
    assert plans[0].cost.upload <= plans[1].cost.upload


@pytest.mark.parametrize("field", ["latency", "bandwidth", "client_rate"])
def test_numbers_must_be_positive(field):
    with pytest.raises(fk.PlanError, match=rf"Received: {field}=0"):
        faster(**{field: 0})


@pytest.mark.parametrize("name", PROFILES)
def test_a_device_is_known_by_name_or_by_its_file(name, tmp_path):
    device, file = profile(name), tmp_path / "device.json"
    file.write_text(json.dumps(device.to_dict(), allow_nan=False))
    assert profile(file) == profile(str(file)) == device


def test_an_unknown_device_is_refused(tmp_path):
    with pytest.raises(fk.PlanError, match=r"Received: 'abacus'.*Known are pi4"):
        profile("abacus")
    file = tmp_path / "device.json"
    file.write_text('{"speed": 1}')
    with pytest.raises(fk.PlanError, match=r"Calibration must be.*Received: speed=1"):
        profile(file)


def test_a_layer_gains_by_the_time_that_its_plan_predicts():
    """Stragglers and bands included: one model says what is coded and how long."""
    options = {"workers": 6, "stragglers": 2, "straggling": ShiftedExponential(3.0)}
    slowed = fk.plan(model(), calibration=BOARDS, **options)
    here = {
        layer.path: convolution_work(layer.geometry).seconds(BOARDS)
        for layer in slowed.layers
    }
    gain = [x.path for x in slowed.layers if x.latency.expected < here[x.path]]
    calm = fk.plan(model(), workers=6, stragglers=2, calibration=BOARDS)
    assert gain != [x.path for x in calm.layers if x.latency.expected < here[x.path]]


def test_the_client_takes_the_work_and_the_order_of_its_kernel():
    able = faster(client_rate=1e9, client_kernel_rate=1e8)
    geometry = ConvGeometry((10, 10), 4, 12, (3, 3), padding="same")
    work = 10 * 10 * 3 * 3 * 4 * 12 / 0.5  # twelve channels run at half the rate
    seconds = work / 1e9 + 4 * 3 * 3 * 4 * 12 / 1e8
    assert convolution_work(geometry).seconds(able) == pytest.approx(seconds)
    (dense,) = fk.plan(
        keras.Sequential([keras.Input((64,)), keras.layers.Dense(32)]),
        workers=3,
        dense=True,
    ).layers
    # Of one row it takes as long as reading the matrix.
    seconds = convolution_work(dense.geometry).seconds(able)
    assert seconds == pytest.approx(4 * 64 * 32 / 1e8)


def test_mixing_many_parts_takes_their_multiply_adds():
    geometry = ConvGeometry((512, 4), 8, 8, (1, 1))
    able = faster(coding_rate=1e12, client_rate=1e9)
    few, many = (
        layer_time(geometry, code, replace(able, near=True))
        for code in (CRME(4, 1, 4), CRME(256, 1, 140))
    )
    # ℓ = 2 parts of k for each worker, each the sum of k_A of 512/k_A rows.
    assert many.encode == pytest.approx(140 * 2 * 512 * 4 * 8 / 1e9, rel=0.01)
    assert few.encode == pytest.approx(4 * 2 * 512 * 4 * 8 / 1e9, rel=0.02)
    slow = layer_time(geometry, CRME(4, 1, 4), faster(coding_rate=1e6, near=True))
    # By memory: the input is read, and n·ℓ parts of a quarter of it are written.
    assert slow.encode == pytest.approx(4 * 512 * 4 * 8 * (1 + 4 * 2 / 4) / 1e6)
