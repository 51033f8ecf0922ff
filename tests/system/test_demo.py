"""The demo, as a newcomer runs it: `fcdcc-keras demo`."""

import json

import psutil
import pytest
from click.testing import CliRunner

from fcdcc_keras.cli import main


@pytest.mark.timeout(400)
def test_demo_keeps_every_prediction():
    children = set(psutil.Process().children())
    # In this process, which has loaded TensorFlow: as a program it would do so anew.
    done = CliRunner().invoke(main, ["demo", "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    resnet, vgg = json.loads(done.stdout)["models"]
    assert resnet["plain"]["accuracy"] > 0.95
    assert resnet["images"] == 450
    assert vgg["images"] == 2
    for model in (resnet, vgg):
        assert model["local_convolutions"] == 0
        for mode in ("coded", "two_workers_gone"):
            assert model[mode]["identical_predictions"]
            assert model[mode]["accuracy"] == model["plain"]["accuracy"]
            # Float32 rounding, some ten layers deep; wrong answers are far off.
            assert 0 < model[mode]["largest_deviation"] < 1e-5
        assert model["coded"]["workers_used"] > 4
        assert model["two_workers_gone"]["workers_used"] == 4
    boards = vgg["six_boards"]
    assert boards["uses_workers"]
    assert boards["seconds"] < boards["engine_seconds"] < boards["keras_seconds"]
    assert set(psutil.Process().children()) <= children
