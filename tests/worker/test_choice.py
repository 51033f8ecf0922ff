"""Which engine a worker has: what it was told, and what is installed."""

import pytest
from click.testing import CliRunner

from fcdcc_keras.cli import main
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.partition.program import convolution_program
from fcdcc_keras.worker import cores, installed, process
from fcdcc_keras.worker.engines import choice

BOTH = ("ai_edge_litert", "tensorflow")
PLAIN = ConvGeometry((1, 1), 1, 1, (1, 1))
NOWHERE = "tcp://127.0.0.1:1"


@pytest.fixture
def install(monkeypatch):
    """Has only some packages be installed."""

    def only(*there):
        monkeypatch.setattr(installed, "find_spec", lambda name: name in there or None)

    yield only
    choice.own_engine.cache_clear()


@pytest.mark.parametrize(
    ("asked", "gpu", "there", "comes_to"),
    [
        ("auto", False, BOTH, "light"),
        ("auto", True, BOTH, "tensorflow"),
        ("auto", False, BOTH[1:], "tensorflow"),
        ("light", True, BOTH, "light"),
        ("tensorflow", False, BOTH, "tensorflow"),
    ],
)
def test_what_a_choice_comes_to(install, asked, gpu, there, comes_to):
    install(*there)
    assert installed.resolve(asked, gpu) == comes_to


@pytest.mark.parametrize(
    ("asked", "there", "lacks"),
    [
        ("auto", (), "ai_edge_litert or tensorflow"),
        ("light", BOTH[1:], "ai_edge_litert"),
        ("tensorflow", BOTH[:1], "tensorflow"),
    ],
)
def test_a_worker_without_its_engine_ends_at_its_start(install, asked, there, lacks):
    install(*there)
    ended = CliRunner().invoke(main, ["worker", NOWHERE, "--engine", asked])
    assert ended.exit_code == 1
    assert f"Received: engine='{asked}', for which {lacks} is not" in ended.stderr
    for extra in ("worker", "cpu"):
        assert f"'fcdcc-keras[{extra}]'" in ended.stderr
    # One that `dask worker` started says so when it is asked to compute.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(installed.ENGINE, asked)
        with pytest.raises(ClusterError, match=r"for which .* is not installed"):
            choice.own_engine()


@pytest.mark.parametrize(
    ("options", "engines"),
    [
        ([], ["light", "numpy"]),
        (["--gpu", "0"], ["tensorflow", "tensorflow"]),
        (["--gpu", "0", "--engine", "light"], ["light", "numpy"]),
        (["--engine", "tensorflow"], ["tensorflow", "tensorflow"]),
    ],
)
def test_the_command_tells_the_worker(install, monkeypatch, options, engines):
    install(*BOTH)
    told = []
    monkeypatch.setattr(process.os, "execve", lambda *started: told.append(started[2]))
    assert CliRunner().invoke(main, ["worker", NOWHERE, *options]).exit_code == 0
    (environment,) = told
    monkeypatch.setattr(choice.os, "environ", environment)
    own = choice.own_engine()
    programs = [convolution_program(PLAIN, of) for of in ("float32", "float64")]
    assert [choice.engine_for(p, own).name for p in programs] == engines


@pytest.mark.parametrize(
    ("there", "engines"),
    [
        (BOTH, ["light", "tensorflow"]),
        (BOTH[1:], ["tensorflow", "tensorflow"]),
    ],
)
def test_what_a_client_computes_by(install, there, engines):
    install(*there)
    programs = [convolution_program(PLAIN, of) for of in ("float32", "float64")]
    assert [choice.client_engine(p).name for p in programs] == engines


def test_a_client_uses_the_cores_that_it_has(client, monkeypatch):
    monkeypatch.setattr(choice, "cores", lambda: 7)
    assert choice.client_threads() == 7
    assert client.submit(choice.client_threads, pure=False).result() == 1


@pytest.mark.parametrize(
    ("own", "quotas", "expected"),
    [
        ("0::/a/b", {}, 5),
        ("0::/a/b", {"a/b": "max 100000"}, 5),
        ("0::/a/b", {"a/b": "300000 100000"}, 3),
        ("0::/a/b", {"a/b": "900000 100000", "a": "150000 100000"}, 2),
        ("0::/", {"": "25000 100000"}, 1),
        ("0::/a/b", {"a/b": "nonsense"}, 5),
        ("0::/../../..", {}, 5),
        ("3:cpu:/a/b", {"a/b": "300000 100000"}, 5),  # version 1
    ],
)
def test_cores_that_a_process_may_use(tmp_path, monkeypatch, own, quotas, expected):
    monkeypatch.setattr(
        cores.os, "sched_getaffinity", lambda _: set(range(5)), raising=False
    )
    proc, groups = tmp_path / "cgroup", tmp_path / "groups"
    proc.write_text(f"{own}\n")
    (groups / "a/b").mkdir(parents=True)
    for group, quota in quotas.items():
        (groups / group / "cpu.max").write_text(f"{quota}\n")
    assert cores.cores(proc, groups) == expected
    assert cores.cores(tmp_path / "missing", groups) == 5


def test_a_gpu_that_is_asked_for_is_not_left_unused(install):
    install("ai_edge_litert")
    ended = CliRunner().invoke(main, ["worker", NOWHERE, "--gpu", "0"])
    assert ended.exit_code == 1
    assert "for which tensorflow is not installed" in ended.stderr


def test_an_engine_that_there_is_not_is_told(monkeypatch):
    monkeypatch.setenv(installed.ENGINE, "fast")
    choice.own_engine.cache_clear()
    with pytest.raises(ClusterError, match=r"must be auto, .*Received: 'fast'"):
        choice.own_engine()
    monkeypatch.setenv(installed.ENGINE, "")  # says nothing
    assert choice.own_engine() == "light"
    choice.own_engine.cache_clear()
