"""The command line, without the work behind it."""

import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from fcdcc_keras import cli


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["demo", "worker", "codes"]),
        (["demo"], ["--json", "--weights", "--only", "two of six workers"]),
        (["worker"], ["ADDRESS", "--nthreads", "--no-nanny", "--gpu"]),
        (["codes"], ["--partition KA,KB", "--plot FILE", " null."]),
    ],
)
def test_help_says_what_there_is(command: list[str], words: list[str]) -> None:
    result = CliRunner().invoke(cli.main, [*command, "--help"])
    assert result.exit_code == 0
    for word in words:
        assert word in result.output


def test_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(cli.main, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("fcdcc-keras, version 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--weights", "mine"],
        ["demo", "--only", "alexnet"],
        ["codes"],
        ["codes", "--workers", "6", "--partition", "44"],
        ["codes", "--workers", "6", "--partition", "4,0"],
        ["codes", "--workers", "6", "--partition", "4,-4"],
        ["codes", "--workers", "6", "--partition", "4,4,1"],
        ["no-such-command"],
    ],
)
def test_wrong_usage_is_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 2
    assert "Error: " in result.output


def test_demo_without_its_pictures_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(cli.main, ["demo"])
    assert result.exit_code == 1
    assert "no module named sklearn and PIL" in result.output
    assert "pip install" in result.output


def test_demo_prints_json_and_fails_on_changed_predictions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Result:
        identical_predictions = False

        def to_json(self) -> dict[str, Any]:
            return {"identical_predictions": False}

    module = ModuleType("fcdcc_keras.commands.demo_run")
    module.MODELS = ("resnet", "vgg16")  # type: ignore[attr-defined]
    module.run = lambda console, **options: Result()  # type: ignore[attr-defined]
    module.DemoResult = Result  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    result = CliRunner().invoke(cli.main, ["demo", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"identical_predictions": False}


def test_seconds_are_a_number():
    words = ["worker", "tcp://127.0.0.1:8786", "--wait", "nan"]
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 2
    assert "Received: nan" in done.output


def test_an_address_needs_a_port():
    done = CliRunner().invoke(cli.main, ["worker", "tcp://127.0.0.1"])
    assert done.exit_code == 1
    assert "must have a host and a port. Received: 'tcp://127.0.0.1'" in done.output


def test_output_is_checked_before_anything_is_computed():
    # No such model either, which would be said first.
    words = ["plan", "no-model", "--workers", "3", "--output", "/nonexistent/p.json"]
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 1
    assert "folder that is there" in done.output
    assert "Received: '/nonexistent/p.json'" in done.output


def test_more_workers_than_codes_are_made_for():
    done = CliRunner().invoke(cli.main, ["codes", "--workers", "3000"])
    assert done.exit_code == 1
    assert "Received: workers=3000" in done.output
