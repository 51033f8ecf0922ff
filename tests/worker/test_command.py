"""The command that starts workers, without the work behind it."""

import math
import os
import signal
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from fcdcc_keras import cli
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.worker import process
from fcdcc_keras.worker.command import worker

ADDRESS = "tcp://192.0.2.7:8786"
Served = list[tuple[str | None, dict[str, Any]]]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """Replaces the worker process; holds what it was asked for."""
    asked: Served = []
    module = ModuleType("fcdcc_keras.worker.process")

    def serve(address: str | None, **options: Any) -> None:
        asked.append((address, options))
        if address == "tcp://192.0.2.1:8786":
            raise ClusterError("No scheduler answered. Received: tcp://192.0.2.1:8786.")

    module.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


def test_sane_defaults(served: Served) -> None:
    result = CliRunner().invoke(cli.main, ["worker", ADDRESS])
    assert result.exit_code == 0, result.output
    assert served == [
        (
            ADDRESS,
            {
                "name": None,
                "workers": 1,
                "nthreads": 1,
                "memory_limit": "auto",
                "nanny": True,
                "engine": "auto",
                "gpu": None,
                "wait": 300,
                "wait_again": math.inf,
                "grace": 20,
                "dashboard": False,
                "more": (),
            },
        )
    ]


def test_options_are_passed_on(served: Served) -> None:
    options = "--name board-3 --nworkers auto --nthreads 2 --memory-limit 1GB --gpu 1"
    options += " --no-nanny --engine light --grace 1m --dashboard"
    options += f" --wait 5 --tls-ca-file {__file__} --tls-key {__file__}"
    options += " --interface eth0 --worker-port 3000:3010 --nanny-port 3011:3021"
    options += " --preload one --preload two --preload-nanny three"
    assert CliRunner().invoke(worker, [ADDRESS, *options.split()]).exit_code == 0
    assert served[0][1] == {
        "name": "board-3",
        "workers": None,
        "nthreads": 2,
        "memory_limit": "1GB",
        "nanny": False,
        "engine": "light",
        "gpu": 1,
        "wait": 5,
        "wait_again": math.inf,
        "grace": 60,
        "dashboard": True,
        "more": (
            ("interface", "eth0"),
            ("worker-port", "3000:3010"),
            ("nanny-port", "3011:3021"),
            ("tls-ca-file", __file__),
            ("tls-key", __file__),
            ("preload", "one"),
            ("preload", "two"),
            ("preload-nanny", "three"),
        ),
    }


@pytest.mark.parametrize(
    ("arguments", "variables", "address", "more"),
    [
        (["--scheduler-file", "a.json"], {}, None, (("scheduler-file", "a.json"),)),
        ([], {"DASK_SCHEDULER_ADDRESS": "tcp://h:1"}, "tcp://h:1", ()),
        (["ws://h:1", "--host", "h2"], {}, "ws://h:1", (("host", "h2"),)),
    ],
)
def test_where_a_worker_finds_its_scheduler(
    served: Served,
    arguments: list[str],
    variables: dict[str, str],
    address: str | None,
    more: tuple[tuple[str, str], ...],
) -> None:
    result = CliRunner(env=variables).invoke(worker, arguments)
    assert result.exit_code == 0, result.output
    assert served[0][0] == address
    assert served[0][1]["more"] == more


def test_own_errors_have_no_traceback(served: Served) -> None:
    for main, before in ((cli.main, ["worker"]), (worker, [])):
        result = CliRunner().invoke(main, [*before, "tcp://192.0.2.1:8786"])
        assert result.exit_code == 1
        assert result.output.startswith("Error: No scheduler answered. Received: tcp:")
        assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [ADDRESS, "--nthreads", "0"],
        [ADDRESS, "--nworkers", "0"],
        [ADDRESS, "--nworkers", "some"],
        [ADDRESS, "--gpu", "-1"],
        [ADDRESS, "--wait", "soon"],
        [ADDRESS, "--death-timeout", "nan"],
        [ADDRESS, "--grace", "-1"],
        ["tls://192.0.2.7:8786", "--tls-cert", "no-such-file"],
    ],
)
def test_wrong_usage_is_refused(arguments: list[str], served: Served) -> None:
    result = CliRunner().invoke(worker, arguments)
    assert result.exit_code == 2
    assert "Error: " in result.output
    assert served == []


def test_the_module_is_the_same_command() -> None:
    run = [sys.executable, "-m", "fcdcc_keras.worker", "--help"]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert said.startswith("Usage: fcdcc-keras worker [OPTIONS] [ADDRESS]")


def test_a_job_of_dask_jobqueue_is_understood(served: Served) -> None:
    interrupted = signal.getsignal(signal.SIGINT)
    from dask_jobqueue.slurm import SLURMJob

    signal.signal(signal.SIGINT, interrupted)  # which it takes when it is imported
    job = SLURMJob(
        scheduler=ADDRESS,
        name="SLURMCluster-0",
        cores=4,
        memory="8GB",
        processes=4,
        interface="ib0",
        protocol="tcp",
        death_timeout=60,
        local_directory="/scratch",
        worker_command="fcdcc_keras.worker",
        worker_extra_args=["--nworkers", "4", "--no-nanny"],
    )
    (line,) = (x for x in job.job_script().splitlines() if "fcdcc_keras.worker" in x)
    _, m, module, *arguments = line.split()
    assert (m, module) == ("-m", "fcdcc_keras.worker")
    assert CliRunner().invoke(worker, arguments).exit_code == 0
    address, options = served[0]
    assert address == ADDRESS
    assert options["name"] == "SLURMCluster-0"
    assert (options["workers"], options["nthreads"]) == (4, 1)
    assert (options["wait"], options["wait_again"]) == (60, 60)
    assert ("local-directory", "/scratch") in options["more"]


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """Holds the command lines, with their environments, that a process has become."""
    lines: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(
        process.os, "execve", lambda _, line, variables: lines.append((line, variables))
    )
    return lines


def test_as_many_workers_as_the_machine_can_have(
    monkeypatch: pytest.MonkeyPatch, became: list[tuple[list[str], dict[str, str]]]
) -> None:
    monkeypatch.setattr(process, "workers_here", lambda *asked: asked)
    process.serve(ADDRESS, workers=None, nthreads=2, memory_limit="1GB", engine="light")
    process.serve(ADDRESS, workers=None, nanny=False)
    many = [line[line.index("--nworkers") + 1] for line, _ in became]
    assert many == ["(2, '1GB', 'light')", "1"]


def test_several_workers_need_somebody_to_watch_over_them() -> None:
    with pytest.raises(ClusterError, match="Received: --nworkers 2 with --no-nanny"):
        process.serve(ADDRESS, workers=2, nanny=False)


def test_what_a_worker_is_told_by_its_environment(
    became: list[tuple[list[str], dict[str, str]]],
) -> None:
    process.serve(ADDRESS, engine="light", nthreads=3, gpu=2, grace=7)
    ((_, variables),) = became
    assert variables.items() >= os.environ.items() - {
        (name, os.environ.get(name)) for name in process.variables()
    }
    assert variables["FCDCC_ENGINE"] == "light"
    assert process.grace_of(variables) == 7
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["CUDA_VISIBLE_DEVICES"] == "2"
