"""``fcdcc-keras plan``, from the words of its user to a table, JSON and a picture."""

import json

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
        *("--redundancy", "auto", "--memory-limit", "10MB"),
        *("--output", str(files[0]), "--plot", str(files[1])),
    )
    assert done.exit_code == 0, done.output
    assert "expected ms" in done.stdout
    assert "99% within" in done.stdout
    made = fk.Plan.from_json(files[0])
    assert made.calibration == PROFILES["pi4"]
    assert made.latency.usual < made.latency.expected
    assert files[1].read_bytes().startswith(b"\x89PNG")


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
