"""``fcdcc-keras plan``, from the words of its user to a table, JSON and a picture."""

import json
import re
from dataclasses import replace
from pathlib import Path

import keras
import pytest
from click.testing import CliRunner

import fcdcc_keras as fk
from fcdcc_keras.cli import main
from fcdcc_keras.planning.devices import PROFILES

SMALL = ["digits-vgg", "--workers", "6", "--stragglers", "2"]


def plan(*words: str):
    return CliRunner().invoke(main, ["plan", *words])


def test_the_table_says_how_long_it_takes(tmp_path) -> None:
    files = tmp_path / "plan.json", tmp_path / "plan.png"
    done = plan(
        *(*SMALL, "--device", "pi4", "--straggling", "exponential:0.5"),
        *("--redundancy", "auto", "--memory-limit", "10MB", "--objective", "price"),
        *("--output", str(files[0]), "--plot", str(files[1])),
    )
    assert done.exit_code == 0, done.output
    assert "expected ms" in done.stdout
    assert "99% within" in done.stdout
    made = fk.Plan.from_json(files[0])
    assert made.calibration == PROFILES["pi4"]
    assert made.latency.usual < made.latency.expected
    assert files[1].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_it_ends_with_what_one_device_takes_and_the_ratio(objective, tmp_path) -> None:
    picture, device = tmp_path / "plan.png", tmp_path / "slow.json"
    slow = replace(PROFILES["pi4"], client_rate=1e6, engine_rate=1e6)
    device.write_text(json.dumps(slow.to_dict()))
    words = *SMALL, "--device", str(device), "--objective", objective
    done = plan(*words, "--plot", str(picture))
    assert done.exit_code == 0, done.output
    *_, alone, last = [x for x in done.stdout.splitlines() if "images" not in x]
    assert alone.startswith("one device alone: ")
    assert "by plain Keras" in alone
    assert re.fullmatch(r"over 6 workers it is [\d.]+ and [\d.]+ times as fast", last)
    assert ("many images: " in done.stdout) == (objective == "throughput")
    assert picture.read_bytes().startswith(b"\x89PNG")
    made = fk.Plan.from_json(plan(*words, "--json").stdout)
    assert made.stretches
    assert made.made_by["objective"] == objective


def test_the_documentation_shows_what_it_prints() -> None:
    page = (Path(__file__).parents[2] / "docs/choosing.md").read_text("utf-8")
    before, _, after = page.partition("<!-- test: planned -->\n```text\n")
    command = before.rpartition("fcdcc-keras plan ")[2].partition("\n")[0]
    shown = after.partition("```")[0]
    printed = plan(*command.split()).stdout
    # Keras numbers the inputs of a process, and columns are as wide as their names.
    one, other = (
        re.sub("input_layer_[0-9]+", "input_layer", x) for x in (printed, shown)
    )
    assert one.replace("─", "").split() == other.replace("─", "").split()


def test_it_says_when_nothing_pays(tmp_path) -> None:
    device, far = tmp_path / "far.json", replace(PROFILES["pi4"], latency=100.0)
    device.write_text(json.dumps(replace(far, engine_rate=0.0).to_dict()))
    done = plan(*SMALL, "--device", str(device), "--plot", str(tmp_path / "plan.svg"))
    assert done.exit_code == 0, done.output
    assert "Nothing pays here: over 6 workers" in done.stdout
    assert "times as fast" not in done.stdout


def test_json_is_a_plan() -> None:
    done = plan(*SMALL, "--code", "crme", "--json")
    made = fk.Plan.from_json(done.stdout)
    assert {layer.code.name for layer in made.layers} == {"crme"}
    assert "latency" not in json.loads(done.stdout)


def test_no_weights_are_downloaded(monkeypatch) -> None:
    def refuse(*args, **kwargs):
        raise AssertionError("a download")

    monkeypatch.setattr(keras.utils, "get_file", refuse)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", refuse)
    done = plan("MobileNet", "--workers", "3", "--image-size", "32")
    assert done.exit_code == 0, done.output
    assert "conv_pw_1" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--device", "abacus"], 1, "Known are pi4"),
        (["--straggling", "gauss:1"], 1, "Use none, exponential"),
        (["--objective", "latency"], 1, "Received: no calibration"),
        (["--memory-limit", "much"], 2, "or '200MB'"),
        (["--memory-limit", "1kB"], 1, "limit of 1 kB"),
        (["--plot", "plan.txt"], 1, "must end in .png"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], code: int, message: str) -> None:
    done = plan(*SMALL, *words)
    assert done.exit_code == code
    assert message in " ".join(done.output.split())
