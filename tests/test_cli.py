"""The command line, without the work behind it."""

import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from fcdcc_keras import cli
from fcdcc_keras.errors import ClusterError


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Replaces the worker process; holds what it was asked for."""
    asked: list[tuple[str, dict[str, Any]]] = []
    module = ModuleType("fcdcc_keras.worker.process")

    def serve(address: str, **options: Any) -> None:
        asked.append((address, options))
        if address == "tcp://192.0.2.1:8786":
            raise ClusterError("No scheduler answered. Received: tcp://192.0.2.1:8786.")

    module.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


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


def test_worker_has_sane_defaults(served: list[tuple[str, dict[str, Any]]]) -> None:
    result = CliRunner().invoke(cli.main, ["worker", "tcp://192.0.2.7:8786"])
    assert result.exit_code == 0, result.output
    assert served == [
        (
            "tcp://192.0.2.7:8786",
            {
                "name": None,
                "nthreads": 1,
                "memory_limit": "auto",
                "nanny": True,
                "engine": "auto",
                "gpu": None,
                "wait": 300,
                "tls": {},
                "network": {},
            },
        )
    ]


def test_worker_passes_its_options_on(
    served: list[tuple[str, dict[str, Any]]],
) -> None:
    options = "--name board-3 --nthreads 2 --memory-limit 1GB --no-nanny --gpu 1"
    options += " --engine light"
    options += f" --wait 5 --tls-ca-file {__file__} --tls-key {__file__}"
    options += " --interface eth0 --worker-port 3000:3010 --nanny-port 3011:3021"
    arguments = ["worker", "tcp://192.0.2.7:8786", *options.split()]
    assert CliRunner().invoke(cli.main, arguments).exit_code == 0
    assert served[0][1] == {
        "name": "board-3",
        "nthreads": 2,
        "memory_limit": "1GB",
        "nanny": False,
        "engine": "light",
        "gpu": 1,
        "wait": 5,
        "tls": {"ca-file": __file__, "key": __file__},
        "network": {
            "interface": "eth0",
            "worker-port": "3000:3010",
            "nanny-port": "3011:3021",
        },
    }


@pytest.mark.parametrize(
    ("arguments", "variables", "address", "network"),
    [
        (["--scheduler-file", "a.json"], {}, None, {"scheduler-file": "a.json"}),
        ([], {"DASK_SCHEDULER_ADDRESS": "tcp://h:1"}, "tcp://h:1", {}),
        (["ws://h:1", "--host", "h2"], {}, "ws://h:1", {"host": "h2"}),
    ],
)
def test_where_a_worker_finds_its_scheduler(
    served: list[tuple[str, dict[str, Any]]],
    arguments: list[str],
    variables: dict[str, str],
    address: str | None,
    network: dict[str, str],
) -> None:
    runner = CliRunner(env=variables)
    result = runner.invoke(cli.main, ["worker", *arguments])
    assert result.exit_code == 0, result.output
    assert served[0][0] == address
    assert served[0][1]["network"] == network


def test_own_errors_have_no_traceback(
    served: list[tuple[str, dict[str, Any]]],
) -> None:
    result = CliRunner().invoke(cli.main, ["worker", "tcp://192.0.2.1:8786"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: No scheduler answered. Received: tcp://")
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["worker"],
        ["worker", "tcp://192.0.2.7:8786", "--nthreads", "0"],
        ["worker", "tcp://192.0.2.7:8786", "--gpu", "-1"],
        ["worker", "tcp://192.0.2.7:8786", "--wait", "soon"],
        ["worker", "tls://192.0.2.7:8786", "--tls-cert", "no-such-file"],
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
def test_wrong_usage_is_refused(
    arguments: list[str], served: list[tuple[str, dict[str, Any]]]
) -> None:
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 2
    assert "Error: " in result.output
    assert served == []


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
