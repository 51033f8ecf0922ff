"""``fcdcc-keras bench``, from the words of its user to JSON and a picture."""

import importlib.util
import json

import keras
import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from benchmarks.figures import growth, lab, layer_cost, models, picture
from benchmarks.figures.estimate import Estimate
from benchmarks.figures.figure import Figure, Goal, Outcome
from benchmarks.figures.registry import FIGURES
from benchmarks.figures.show import table
from cluster import edge_lab
from fcdcc_keras.cli import main
from fcdcc_keras.errors import ClusterError, FcdccError
from fcdcc_keras.observe import plotting


def bench(*words: str):
    return CliRunner().invoke(main, ["bench", *words])


def test_list_names_every_figure_in_a_line() -> None:
    lines = bench("--list").output.splitlines()
    assert [line.split()[0] for line in lines] == [e.goal.name for e in FIGURES]
    assert all(len(line.split()) > 3 for line in lines)
    (line,) = bench("--list", "--only", "edge_speedup").output.splitlines()
    assert line.startswith("edge_speedup ")


def test_unknown_figures_are_refused() -> None:
    result = bench("--only", "vgg19")
    assert result.exit_code == 1
    assert "Received: vgg19." in result.output
    assert "layer_fixed_ms_direct" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("words", [["--repeats", "1"], ["--images", "0"], ["fast"]])
def test_wrong_usage_is_refused(words: list[str]) -> None:
    assert bench(*words).exit_code == 2


def test_the_edge_figures_say_what_is_missing(monkeypatch) -> None:
    def unprivileged() -> None:
        raise ClusterError("Only root may. Received: user 7. Use sudo.")

    monkeypatch.setattr(edge_lab, "check_requirements", unprivileged)
    result = bench("--only", "edge_speedup")
    assert result.exit_code == 1
    assert "Received: user 7." in result.output
    lab.isolate(required=False)  # the other figures can be measured


def small(application: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3), name=application)
    x = keras.layers.Conv2D(8, 3, activation="relu")(inputs)
    x = keras.layers.Conv2D(8, 3)(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def small_images(batch: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, 16, 16, 3)).astype("float32")


def test_figures_are_measured_and_printed_as_json(monkeypatch, tmp_path) -> None:
    children = set(psutil.Process().children())
    for module in (layer_cost, models):
        monkeypatch.setattr(module, "WORKERS", 2)
    monkeypatch.setattr(models, "build", small)
    monkeypatch.setattr(models, "random_images", small_images)
    names = [
        *("layer_fixed_ms_direct", "layer_1mb_over_sockets", "layer_tasks_over_submit"),
        *("vgg16_b1_over_plain", "peers_b16"),
    ]
    only = [word for name in names for word in ("--only", name)]
    result = bench(*only, "--repeats", "2", "--json")
    assert result.exit_code == 0, result.output
    found = {figure["name"]: figure for figure in json.loads(result.stdout)}
    assert list(found) == names
    for figure in found.values():
        assert {"name", "value", "unit", "spread"} <= set(figure)
        assert figure["spread"] >= 0
        assert figure["rounds"] == 2
        assert figure["client_convolutions"] == 0
        assert figure["parts"]
        assert figure["name"] in result.stderr
    fixed = found["layer_fixed_ms_direct"]["parts"]
    assert fixed["bytes_each_way"] == 4096
    assert fixed["over_empty_rpc"]["limit"] == 1.5
    assert {"encode_ms", "decode_ms", "actors_ms", "sockets_ms"} <= set(fixed)
    assert found["layer_1mb_over_sockets"]["parts"]["bytes_each_way"] == 1 << 20
    assert found["vgg16_b1_over_plain"]["parts"]["layers"] == 2
    for name in ("vgg16_b1_over_plain", "peers_b16"):
        assert found[name]["parts"]["largest_deviation"] < 1e-5
    assert set(psutil.Process().children()) <= children


def test_the_slope_over_workers_in_few_processes(monkeypatch) -> None:
    children = set(psutil.Process().children())
    monkeypatch.setattr(growth, "SIZES", (2, 4))
    monkeypatch.setattr(growth, "HOSTS", 2)
    name = "overhead_slope_ms_per_worker"
    result = bench("--only", name, "--repeats", "2", "--json")
    assert result.exit_code == 0, result.output
    (figure,) = json.loads(result.stdout)
    assert figure["unit"] == "ms/worker"
    assert set(figure["parts"]["overhead_ms"]) == {"2", "4"}
    assert figure["client_convolutions"] == 0
    assert set(psutil.Process().children()) <= children


def figures() -> list[Figure]:
    outcome = Outcome(Estimate(1.2, (1.1, 1.4)), 9, 0)
    return [
        Figure(Goal("kept", "", "ratio", 1.5, 1.0), outcome),
        Figure(Goal("broken", "", "ratio", 2, higher_is_better=True), outcome),
        Figure(Goal("free", "", "ms"), outcome),
        Figure(Goal("missing", "", "ratio", 2), None, "no root"),
    ]


def test_the_table_says_which_limits_are_kept() -> None:
    text = table(figures())
    assert "1 of 2 limits kept" in text
    assert "≥ 2" in text
    assert "≤ 1.5" in text


def test_a_picture_without_matplotlib_names_the_command(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(plotting, "find_spec", lambda name: None)
    result = bench("--only", "peers_b16", "--plot", str(tmp_path / "bench.png"))
    assert result.exit_code == 1
    assert "pip install 'fcdcc-keras[plot]'" in result.output
    assert importlib.util.find_spec("click")


@pytest.mark.parametrize(
    ("name", "rule"), [("bench.jpg", "must end in"), ("no/bench.png", "folder")]
)
def test_pictures_must_have_a_place(name: str, rule: str, tmp_path) -> None:
    with pytest.raises(FcdccError, match=rf"{rule}.*Received: "):
        plotting.check_plotting(tmp_path / name)


def test_a_picture_is_drawn(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "bench.png"
    picture.draw(figures(), path)
    assert path.read_bytes().startswith(b"\x89PNG")
