"""The paper's experiments, run as a reader of them would, on small inputs."""

import json
import os
import time

import keras
import psutil
import pytest
from click.testing import CliRunner
from distributed import Client

import fcdcc_keras as fk
from examples.paper import (
    models,
    numerical_stability,
    optimal_partition,
    per_layer,
    scalability,
    site,
    stragglers,
)
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning import Objective
from fcdcc_keras.planning.search import landscape


@pytest.fixture
def no_new_cluster(client, monkeypatch):
    """Has experiments use the session's workers, as a cluster of their own."""

    def start(workers):
        assert workers == len(client.nthreads())
        return Client(client.scheduler.address, set_as_default=False)

    monkeypatch.setattr(site, "start_local_cluster", start)
    monkeypatch.setattr(site, "stop_local_cluster", Client.close)


def run(experiment, folder):
    """Returns what an experiment writes as JSON."""
    record, picture = folder / "found.json", folder / "picture.svg"
    words = ["--quick", "--json", str(record), "--plot", str(picture)]
    done = CliRunner().invoke(experiment.main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "</svg>" in picture.read_text("utf-8")
    found = json.loads(record.read_text("utf-8"))
    assert found["site"]
    assert found["machine"]["cores"] >= 1
    return found["rows"]


LAYERS = ["c1", "c3", "c5"]
"""Of LeNet-5, which is what is small."""


def check_coded(row):
    """What the workers answered was decoded, and is right."""
    assert row["client_convolutions"] == 0
    assert row.get("largest_deviation", 0) < 1e-5


@pytest.mark.usefixtures("no_new_cluster")
def test_per_layer(tmp_path):
    rows = run(per_layer, tmp_path)
    assert [row["layer"] for row in rows] == [*LAYERS, "whole"]
    for row in rows:
        check_coded(row)
        assert row["single_ms"]["median"] > 0
        assert row["coded_ms"]["median"] > 0


@pytest.mark.usefixtures("no_new_cluster")
def test_stragglers(tmp_path):
    rows = run(stragglers, tmp_path)
    cases = [(row["way"], row["late"]) for row in rows]
    assert cases == [("coded", 0), ("coded", 1), ("uncoded", 0), ("uncoded", 1)]
    for row in rows:
        check_coded(row)


@pytest.mark.usefixtures("no_new_cluster")
def test_late_workers_are_stopped_and_go_on():
    with site.site("loopback", 4) as there:
        pids = there.cluster.run(os.getpid)
        processes = [psutil.Process(pids[address]) for address in sorted(pids)]

        def stopped():
            return [process.status() == psutil.STATUS_STOPPED for process in processes]

        def turn():
            while stopped() != [True, True, False, False]:  # or the test times out
                time.sleep(0.001)

        there.late(2, 0.3, turn)()
        assert stopped() == [False] * 4


@pytest.mark.usefixtures("no_new_cluster")
def test_scalability(tmp_path):
    rows = run(scalability, tmp_path)
    assert [(r["workers"], r["threshold"]) for r in rows] == [(1, 1), (2, 1), (4, 3)]
    for row in rows:
        check_coded(row)
        assert row["convolution_ms"] > 0


@pytest.mark.usefixtures("no_new_cluster")
@pytest.mark.parametrize(
    ("size", "filters", "kernel", "storage"),
    [
        (64, 64, 1, 1.0),
        (64, 256, 1, 1.0),
        (128, 64, 3, 0.1),
        (128, 64, 3, 1.0),
        (256, 32, 3, 1.0),
        (32, 512, 3, 0.05),
    ],
)
def test_the_search_agrees_with_the_closed_form(size, filters, kernel, storage):
    geometry = ConvGeometry((size, size), 16, filters, (kernel,) * 2, padding="same")
    free = dict.fromkeys(("computation", "coding", "ordering"), 0.0)
    prices = fk.Prices(communication=1.0, storage=storage, **free)
    found = {
        split: rank
        for split, (rank, code) in landscape(
            geometry,
            workers=18,
            stragglers=2,
            objective=Objective(prices),
            code="crme",
        ).items()
        if code.recovery_threshold == 16 and code.ell_a == code.ell_b == 2
    }
    best = min(found, key=found.get)[0]
    exact = optimal_partition.optimal_k_a(
        geometry, 16, communication=1.0, storage=storage
    )
    feasible = sorted(k_a for k_a, _ in found)
    below = max((k for k in feasible if k <= exact), default=feasible[0])
    above = min((k for k in feasible if k >= exact), default=feasible[-1])
    assert best in (below, above)


@pytest.mark.usefixtures("rough_calibration")
def test_optimal_partition(tmp_path):
    rows = run(optimal_partition, tmp_path)
    assert [r["layer"] for r in rows] == LAYERS
    for row in rows:
        check_coded(row)
        assert list(row["cost"]) == ["1, 4", "2, 4", "4, 2", "4, 1"]
        assert list(row["ms"]) == [*row["cost"], "planned"]
        assert row["fastest"] in row["cost"]
        assert row["cost"][row["least_cost"]] == min(row["cost"].values())


@pytest.mark.parametrize(
    ("network", "parameters", "shape"),
    # LeCun et al. (1998), all of S2 to each of C3; Krizhevsky et al. (2012), one tower.
    [("LeNet-5", 61_706, (None, 10)), ("AlexNet", 62_378_344, (None, 1000))],
)
def test_networks_are_those_of_the_literature(network, parameters, shape):
    model = models.build(network, top=True)
    assert model.count_params() == parameters
    assert model.output_shape == shape


@pytest.mark.parametrize(
    ("network", "shapes"),
    [
        ("LeNet-5", [(28, 28, 6), (10, 10, 16), (1, 1, 120)]),
        (
            "AlexNet",
            [(55, 55, 96), (27, 27, 256), (13, 13, 384), (13, 13, 384), (13, 13, 256)],
        ),
    ],
)
def test_maps_are_those_of_the_literature(network, shapes):
    model = models.build(network)
    found = [
        layer.output.shape[1:]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert found == shapes
    assert models.image(model).shape == (1, *model.input_shape[1:])


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    return run(numerical_stability, tmp_path_factory.mktemp("stability"))


def of(rows, workers, dtype, code=None):
    """The rows of one code, by default the one that would be chosen."""
    found = [
        row
        for row in rows
        if (row["workers"], row["dtype"]) == (workers, dtype)
        and (row["chosen"] if code is None else row["code"] == code)
    ]
    assert [row["layer"] for row in found] == [0, 1, 2]
    return found


def test_with_one_straggler_every_code_is_exact(quick):
    kinds = {row["code"] for row in quick}
    assert kinds > {"crme", "quaternion", "systematic, quaternion", "khatri_rao"}
    for kind in kinds:
        for row in of(quick, 5, "float32", kind):
            assert 1e-16 < row["mse"]["median"] < 1e-10
        for row in of(quick, 5, "float64", kind):
            # Systematic codes copy: no error at all, where nobody is missing.
            assert 0 <= row["mse"]["median"] < 1e-27


def test_at_sixty_workers_the_chosen_stays_exact_and_crme_fails(quick):
    for row in of(quick, 60, "float32"):
        # α of at most some 300, of a plain error of 2e-7 at most.
        assert row["mse"]["median"] <= row["mse"]["largest"] < 1e-9
        assert row["mse"]["worst"] < (300 * 2e-7) ** 2
        assert row["condition_number"]["worst"] < 1e4
    for row in of(quick, 60, "float32", "crme"):
        assert not row["chosen"]
        assert row["mse"]["worst"] is None  # noise, which the decoder refuses
        assert row["mse"]["largest"] > 1e-9
        assert row["condition_number"]["worst"] > 1e13
    for row in of(quick, 60, "float64", "vandermonde"):
        assert row["mse"]["median"] is None


def test_float64_has_the_same_growth_from_a_smaller_error(quick):
    pairs = zip(of(quick, 60, "float32"), of(quick, 60, "float64"), strict=True)
    for single, double in pairs:
        ratio = single["mse"]["median"] / double["mse"]["median"]
        assert 1e16 < ratio < 1e19  # (2e-7 / 3.7e-16)² = 3e17
