"""Each code block of README and the documentation runs, and prints what it says."""

import gc
import importlib
import importlib.util
import re
import shlex
from contextlib import redirect_stdout, suppress
from importlib.metadata import metadata
from io import StringIO
from pathlib import Path

import click
import keras
import numpy as np
import pytest
from click.testing import CliRunner
from distributed import Client
from distributed.cli import dask_scheduler
from packaging.requirements import Requirement

import fcdcc_keras as fk
from benchmarks.figures.registry import FIGURES
from cluster.edge_lab import cli as edge_lab
from fcdcc_keras import cli
from fcdcc_keras.execution.executors import connect

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(f"docs/{page.name}" for page in ROOT.glob("docs/*.md")))
ADDRESS = "tcp://192.168.1.10:8786"
SMALLER = {
    'VGG16(weights="imagenet")': "VGG16(weights=None, input_shape=(32, 32, 3))",
    'ResNet50(weights="imagenet")': "ResNet50(weights=None, input_shape=(32, 32, 3))",
    "for stragglers in range(4):": "for stragglers in (0, 3):",
    'photos = keras.ops.image.resize(pictures.astype("float32"), (224, 224))': (
        "photos = keras.ops.image.resize(pictures.astype('float32'), (32, 32))"
    ),
}
"""What stands in the pages, and what is run in its place."""


@pytest.fixture
def no_new_cluster(client, monkeypatch):
    """Has models without a cluster use the session's; README's test starts one."""

    def start(workers):
        assert workers == len(client.nthreads())
        return Client(client.scheduler.address, set_as_default=False)

    monkeypatch.setattr(connect, "start_local_cluster", start)
    monkeypatch.setattr(connect, "stop_local_cluster", Client.close)


def names():
    """What a page may use without defining it."""
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3), keras.layers.Flatten()]
    )
    photos = np.ones((2, 16, 16, 3), "float32")
    return {"fk": fk, "keras": keras, "model": model, "photos": photos}


def release(scope):
    for value in scope.values():
        if isinstance(value, keras.Model):
            with suppress(fk.PlanError):
                fk.close(value)
        elif isinstance(value, Client):
            value.close()
    scope.clear()
    gc.collect()


def run(block, scope, address):
    code = block.code.replace(ADDRESS, address)
    for there, here in SMALLER.items():
        code = code.replace(there, here)
    assert "imagenet" not in code, f"{block}: weights would be downloaded"
    printed = StringIO()
    # Lines of errors are those of the page.
    compiled = compile("\n" * block.line + code, str(ROOT / block.page), "exec")
    with redirect_stdout(printed):
        exec(compiled, scope)
    return printed.getvalue()


# The models that stand in for the reader's are too small for anything to pay.
@pytest.mark.filterwarnings("ignore:Nothing of .* is computed by:RuntimeWarning")
# Of Keras, when it saves weights.
@pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")
@pytest.mark.usefixtures("no_new_cluster", "rough_calibration")
@pytest.mark.parametrize("page", PAGES)
def test_python_runs_and_prints_what_stands_below(
    page, documentation, client, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    address = client.scheduler.address
    scope, printed = names(), None
    try:
        scope["client"] = Client(address, set_as_default=False)
        for block in documentation.blocks(page):
            if block.language == "python" and block.test is None:
                printed = run(block, scope, address)
            elif block.language == "text" and block.test is None:
                assert printed is not None, f"{block}: nothing was run"
                assert block.code in printed, f"{block}: it prints\n{printed}"
    finally:
        release(scope)


def commands(block):
    lines = block.code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def parse(command, words):
    """Parses the arguments of a command as its program would."""
    while isinstance(command, click.Group):
        name, *words = words
        command = command.get_command(click.Context(command), name)
    with suppress(click.exceptions.Exit):  # after --help
        command.make_context(command.name, list(words))


def check_pip(words):
    extras = set(metadata("fcdcc-keras").get_all("Provides-Extra"))
    assert words[0] == "install"
    for word in words[1:]:
        assert Requirement(word).name == "fcdcc-keras"
        assert Requirement(word).extras <= extras


def check_make(words):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert set(words) <= set(targets)


def check_dask(words):
    assert words[0] == "scheduler"
    parse(dask_scheduler.main, words[1:])


def check_own(words):
    parse(cli.main, words)
    quick = words[0] == "codes" and "6" in words and "--plot" not in words
    if quick or words[-1] in ("--help", "--list"):
        done = CliRunner().invoke(cli.main, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output


def check_python(words):
    if words[:2] == ["-m", "cluster.edge_lab"]:
        return parse(edge_lab.main, words[2:])
    if words[0] == "-m" and words[1].startswith("examples.paper."):
        return parse(importlib.import_module(words[1]).main, words[2:])
    if words[0] == "-m":
        found = importlib.util.find_spec(words[1])
        assert found is not None
        script, options = Path(found.origin), words[2:]
    else:
        script, options = ROOT / words[0], words[1:]
    source = script.read_text("utf-8")
    for option in options:
        assert not option.startswith("--") or f'"{option}"' in source, option


CHECKS = {
    "dask": check_dask,
    "fcdcc-keras": check_own,
    "make": check_make,
    "pip": check_pip,
    "python": check_python,
    "python3": check_python,
}


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_those_of_the_programs(page, documentation, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in documentation.blocks(page):
        if block.language != "sh":
            continue
        lines = commands(block)
        assert lines, f"{block}: no command"
        for program, *words in lines:
            for file in re.findall(r"\S+\.pem|\bhosts\b", " ".join(words)):
                Path(file).touch()
            name = Path(program).name
            assert name in CHECKS, f"{block}: how is {program!r} checked?"
            CHECKS[name](words)


def test_every_block_is_of_a_kind_that_is_tested(documentation):
    blocks = [b for page in documentation.pages for b in documentation.blocks(page)]
    assert len(blocks) >= 40
    kinds = {"python", "sh", "text"}
    named = {"yaml", "promql"}  # of which each has its test
    others = [b for b in blocks if b.language not in kinds]
    assert [str(b) for b in others if b.language not in named or not b.test] == []
    assert documentation.pages == PAGES


def test_every_block_with_a_name_has_its_test(documentation):
    tests = [p.read_text("utf-8") for p in Path(__file__).parents[1].rglob("*.py")]
    for page in documentation.pages:
        for block in documentation.blocks(page):
            ways = f'block("{page}", "{block.test}")', f"<!-- test: {block.test} -->"
            taken = any(way in test for way in ways for test in tests)
            assert block.test is None or taken, block.test


def test_the_figures_are_what_their_script_draws():
    folder = ROOT / "docs/figures"
    spec = importlib.util.spec_from_file_location("draw", folder / "draw.py")
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    assert {path.stem for path in folder.glob("*.svg")} == set(draw.FIGURES)
    for name, figure in draw.FIGURES.items():
        assert (folder / f"{name}.svg").read_text("utf-8") == figure(), name


def test_every_benchmark_is_explained():
    text = (ROOT / "docs/benchmarks.md").read_text("utf-8")
    explained = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert explained == [entry.goal.name for entry in FIGURES]


def test_every_public_name_is_in_the_reference():
    text = (ROOT / "docs/reference.md").read_text("utf-8")
    listed = set(re.findall(r"^::: fcdcc_keras\.(?:\w+\.)*(\w+)$", text, re.MULTILINE))
    errors = {name for name in fk.__all__ if name.endswith("Error")}
    assert set(fk.__all__) - listed - errors == {"__version__", "codes"}
    assert "errors" in listed
