"""A short storm of scripted faults on real workers; see benchmarks/storm.py."""

import keras
import numpy as np
import pytest
from distributed import Client

import fcdcc_keras as fk
from benchmarks.faults.aftermath import leftovers
from benchmarks.faults.places import loopback
from benchmarks.faults.predictors import Here
from benchmarks.faults.script import RESTARTING, steady_places, write_script
from benchmarks.faults.soak import soak
from benchmarks.faults.subjects import Subject

WORKERS = 5
COUNTS = {"stop": 2, "slow": 2, "exception": 2, "restart": 1, "memory": 1}
COUNTS["terminate"] = 1


def subject():
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(16, 3, padding="same", activation="relu") for _ in range(3)
    ]
    model = keras.Sequential([keras.Input((24, 24, 3)), *layers])
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(1, 24, 24, 3)).astype("float32") for _ in range(20)]
    return Subject(model, inputs, [model.predict_on_batch(x) for x in inputs])


@pytest.fixture(scope="module")
def storm():
    """What happened in the storm, and what was left on scheduler and workers."""
    plain, script = subject(), write_script(2, COUNTS, WORKERS)
    with loopback(WORKERS) as site:
        coded = fk.distribute(plain.model, site.address, stragglers=2, fallback="raise")
        with fk.closing(coded):
            result = soak(
                site,
                Here(coded, plain),
                script,
                inferences=20,
                limit=120,
                progress=lambda text: None,
                calm=3,
            )
        with Client(site.address, set_as_default=False) as client:
            return result, leftovers(client)


def test_a_storm_of_faults(storm):
    result, left = storm
    assert left == {}
    assert result["wrong"] == 0
    assert result["client_convolutions"] == 0
    assert result["faults_by_kind"] == COUNTS
    assert result["trouble"] == []
    assert result["restarted_that_work_again"] == 3
    assert result["all_work_again"]
    assert result["most_at_once"] <= 2


def test_a_worker_runs_out_of_memory(storm):
    result, _ = storm
    assert result["faults_by_kind"]["memory"] == COUNTS["memory"]
    # Ended by its nanny, started anew, and at work again.
    assert result["longest_until_back_s"]["memory"] is not None
    assert result["wrong"] == 0


def test_a_script_is_the_same_for_the_same_seed():
    counts = {"restart": 10, "stop": 20, "link": 15}
    script = write_script(1, counts, 6)
    assert script == write_script(1, counts, 6)
    assert script != write_script(2, counts, 6)
    happened = [fault.kind for lane in script for fault in lane]
    assert {kind: happened.count(kind) for kind in counts} == counts


def test_lanes_share_no_place_and_spare_the_steady_ones():
    script = write_script(1, {"restart": 30, "stop": 30}, 6, lanes=2)
    places = [{fault.place for fault in lane} for lane in script]
    assert places == [{0, 2, 4}, {1, 3, 5}]
    struck = {f.place for lane in script for f in lane if f.kind in RESTARTING}
    assert struck.isdisjoint(steady_places(6, lanes=2))
