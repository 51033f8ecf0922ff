"""What users install: the package, without what measures it."""

import os
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from benchmarks.figures.registry import FIGURES
from fcdcc_keras.cli import main

ROOT = Path(__file__).parents[1]
_PROGRAM = """
from pathlib import Path
import fcdcc_keras.cli

assert Path(fcdcc_keras.__file__).is_relative_to(Path(__file__).parent)
fcdcc_keras.cli.main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d"]
    subprocess.run([*command, folder], cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.iterdir()
    with zipfile.ZipFile(file) as opened:
        yield opened


def test_it_holds_the_package_and_nothing_else(wheel) -> None:
    top, rooms = set(), set()
    for name in wheel.namelist():
        first, second, *_ = name.split("/")
        top.add(first)
        if first == "fcdcc_keras":
            rooms.add(second.removesuffix(".py"))
    assert {name for name in top if not name.endswith(".dist-info")} == {"fcdcc_keras"}
    assert {"commands", "codes", "cli", "py.typed"} <= rooms
    assert "fcdcc_keras/commands/page.html" in wheel.namelist()
    assert rooms.isdisjoint({"bench", "benchmarks", "figures", "tests"})


def brought(wheel, extra: str) -> set[str]:
    """Returns what is installed for an extra of the package."""
    (info,) = (each for each in wheel.iterdir() if each.name.endswith(".dist-info"))
    said = message_from_string((info / "METADATA").read_text())
    names: set[str] = set()
    for line in said.get_all("Requires-Dist"):
        one = Requirement(line)
        if one.marker is None or one.marker.evaluate({"extra": extra}):
            if one.name == "fcdcc-keras":
                for other in one.extras:
                    names |= brought(wheel, other)
            names.add(one.name)
    return names


def test_keras_is_installed_for_clients_alone(wheel) -> None:
    heavy = {"keras", "tensorflow", "tensorflow-cpu"}
    worker = brought(zipfile.Path(wheel), "worker")
    assert heavy.isdisjoint(worker)
    assert {"ai-edge-litert", "distributed"} <= worker
    for extra in ("cpu", "gpu"):
        assert "keras" in brought(zipfile.Path(wheel), extra)
        assert heavy & brought(zipfile.Path(wheel), extra) > {"keras"}


def bench(wheel, folder, where):
    """Runs ``fcdcc-keras bench --list`` as installed, in some folder."""
    wheel.extractall(folder)
    program = folder / "program.py"
    program.write_text(_PROGRAM)
    return subprocess.run(
        [sys.executable, program, "bench", "--list"],
        cwd=where,
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_its_bench_says_elsewhere_that_it_needs_a_clone(wheel, tmp_path) -> None:
    done = bench(wheel, tmp_path, tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    said = " ".join(done.stderr.split())
    assert said.startswith("Error: `fcdcc-keras bench` needs a clone")
    assert f"Received: no folder benchmarks/figures in {tmp_path}." in said
    assert "pip install --editable" in said


def listed(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()]


def test_its_bench_runs_in_a_clones_top_folder(wheel, tmp_path) -> None:
    done = bench(wheel, tmp_path, ROOT)
    assert done.returncode == 0, done.stderr
    assert listed(done.stdout) == [entry.goal.name for entry in FIGURES]


def test_bench_of_an_editable_install_runs_anywhere(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    done = CliRunner().invoke(main, ["bench", "--list", "--only", "peers_b16"])
    assert done.exit_code == 0, done.output
    assert listed(done.output) == ["peers_b16"]
