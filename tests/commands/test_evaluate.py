"""``fcdcc-keras evaluate``, from the words of its user to JSON and a page."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from fcdcc_keras.cli import main
from fcdcc_keras.commands import shipped
from fcdcc_keras.observe import plotting
from fcdcc_keras.planning.devices import PROFILES
from fcdcc_keras.rewriting import deploy

# Keras's `save` asks TensorFlow's variables for their values in NumPy 1's way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def evaluate(*words: str):
    return CliRunner().invoke(main, ["evaluate", *words])


def test_help_says_what_there_is() -> None:
    text = evaluate("--help").output
    for word in ("--inject", "--cluster", "--report FILE.html", "digits-vgg"):
        assert word in text


@pytest.mark.parametrize(
    "words", [[], ["--model", "digits-vgg", "--workers", "0"], ["digits-vgg"]]
)
def test_wrong_usage_is_refused(words: list[str]) -> None:
    assert evaluate(*words).exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--inject", "kill 2"], "Received: 'kill 2'."),
        (
            ["--inject", "kill 2 at 5%", "--cluster", "tcp://192.0.2.1:8786"],
            "--inject with --cluster tcp://192.0.2.1:8786",
        ),
        (["--model", "MobileNet", "--weights", "random"], "without --data"),
        (["--preprocess", "os:nothing"], "Received: 'os:nothing'"),
        (["--weights", "random", "--stragglers", "9", "--workers", "4"], "stragglers"),
        (
            ["--weights", "random", "--inject", "kill 9 at 5%", "--workers", "4"],
            "numbered from 0 to 3",
        ),
        (["--report", "page.pdf"], "must end in .html"),
    ],
)
def test_what_cannot_work_is_said_before_workers_start(
    words: list[str], message: str
) -> None:
    children = set(psutil.Process().children())
    result = evaluate("--model", "digits-vgg", *words)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
    assert set(psutil.Process().children()) <= children


def test_a_page_without_matplotlib_names_the_command(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(plotting, "find_spec", lambda name: None)
    result = evaluate("--model", "digits-vgg", "--report", str(tmp_path / "a.html"))
    assert result.exit_code == 1
    assert "pip install 'fcdcc-keras[plot]'" in result.output


def test_the_command_in_readme_keeps_every_prediction(tmp_path, monkeypatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # where the page goes
    quick = replace(shipped.RECIPES["digits-vgg"], epochs=8)
    monkeypatch.setitem(shipped.RECIPES, "digits-vgg", quick)
    children = set(psutil.Process().children())
    words = re.search(r"<!-- test: evaluate -->\n```sh\n(.*?)```", README, re.DOTALL)
    program, command, *options = shlex.split(words[1].replace("\\\n", " "))
    assert (program, command) == ("fcdcc-keras", "evaluate")
    result = evaluate(*options, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["accuracy_plain"] == found["accuracy_coded"] >= 0.95
    assert (found["predictions"], found["predictions_differing"]) == (450, 0)
    assert (found["convolutions"], found["local_convolutions"]) == (90, 0)
    assert 0 < found["largest_deviation"] < 1e-5
    workers = {worker["worker"]: worker for worker in found["workers"]}
    assert sorted(workers) == [0, 1, 2, 3]  # the killed one did not come back
    for worker in (1, 2):
        assert 0 < workers[worker]["used"] < 60  # of 90, until it went
    assert (tmp_path / "page.html").stat().st_size > 50_000
    assert set(psutil.Process().children()) <= children


@pytest.mark.parametrize("near", [True, False], ids=["chains", "nothing pays"])
def test_chains_keep_every_prediction(client, monkeypatch, near) -> None:
    measured = replace(PROFILES["pi4"], client_rate=1e5, engine_rate=0.0)
    if not near:
        measured = replace(measured, latency=1e4)
    monkeypatch.setattr(deploy, "measure", lambda executor, stragglers: measured)
    words = ["--model", "digits-vgg", "--weights", "random", "--images", "20"]
    words += ["--cluster", client.scheduler.address, "--objective", "latency", "--json"]
    if near:
        result = evaluate(*words)
    else:
        with pytest.warns(RuntimeWarning, match="computed by workers"):
            result = evaluate(*words)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["predictions"], found["predictions_differing"]) == (20, 0)
    assert (sum(worker["used"] for worker in found["workers"]) > 0) == near
