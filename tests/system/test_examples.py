"""The examples, run as a reader of them would, on small inputs."""

import json
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(run_example):
    """Runs an example; returns what it prints as JSON."""
    return lambda name, *words: json.loads(run_example(name, "--json", *words))


def test_train_head(client, run):
    found = run("train_head.py", "--quick", "--cluster", client.scheduler.address)
    assert found["convolutions_on_workers"] % 11 == 0
    assert found["convolutions_on_workers"] > 0
    assert found["convolutions_in_client"] == 0
    assert found["backbone_unchanged"]
    assert found["loss"][-1] < found["loss"][0]
    assert found["accuracy"] > 0.5  # of five digits


def test_wrap_vgg16(client, run):
    found = run("wrap_vgg16.py", "--side", 32, "--cluster", client.scheduler.address)
    assert found["layers_coded"] == 13
    assert found["convolutions_on_workers"] == 13
    assert found["convolutions_in_client"] == 0
    assert found["largest_deviation"] < 1e-4
    assert found["same_classes"]


def test_wrap_resnet50(client, run):
    found = run("wrap_resnet50.py", "--quick", "--cluster", client.scheduler.address)
    assert found["convolutions_on_workers"] == 2 * 53
    assert found["convolutions_in_client"] == 0
    assert set(found["largest_deviation"]) == {"48x48", "64x64"}
    assert max(found["largest_deviation"].values()) < 1e-4


# Of Keras, when it saves weights.
@pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")
def test_join_cluster(client, run):
    found = run("join_cluster.py", client.scheduler.address, "--side", 32)
    assert set(found["workers"]) == set(client.nthreads())
    assert found["convolutions_on_workers"] > 10
    assert found["convolutions_in_client"] == 0
    assert found["largest_deviation"] < 1e-4


def test_worker_dies():
    path = str(EXAMPLES / "worker_dies.py")
    # Its workers import what it does, as long as nothing is done then: here, nothing.
    example = runpy.run_path(path, run_name="__mp_main__")
    words = ["--json", "--side", "32"]
    done = CliRunner().invoke(example["main"], words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["convolutions_on_workers"] == 3 * 8
    assert found["convolutions_in_client"] == 0
    assert found["largest_deviation"] < 1e-4


def test_read_trace(client, run, tmp_path):
    options = ["--cluster", client.scheduler.address, "--side", 32, "--passes", 2]
    files = ["--plot", tmp_path / "trace.png", "--chrome", tmp_path / "trace.json"]
    found = run("read_trace.py", *options, *files)
    assert len(found["layers"]) > 10
    assert all(min(times.values()) > 0 for times in found["layers"].values())
    assert (tmp_path / "trace.png").stat().st_size > 10_000
    assert len(json.loads((tmp_path / "trace.json").read_text())["traceEvents"]) > 100
    assert set(found["used"]) <= set(client.nthreads())
    # Twice each layer, of which two answers or three suffice.
    assert sum(found["used"].values()) >= 2 * 2 * len(found["layers"])
