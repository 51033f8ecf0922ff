"""The names of the figures, and what is asked of them."""

import io

import pytest
from rich.console import Console

from benchmarks.figures import registry
from benchmarks.figures.estimate import Estimate
from benchmarks.figures.figure import Figure, Goal, Outcome
from benchmarks.figures.run import Run
from fcdcc_keras.commands.progress import Stages
from fcdcc_keras.errors import FcdccError

_ASKED = {
    "layer_fixed_ms_direct": (10, 4),
    "layer_tasks_over_submit": (0.65, None),
    "layer_1mb_over_sockets": (1.5, 1.0),
    "vgg16_b1_over_plain": (1.8, 1.4),
    "vgg16_b16_over_plain": (1.5, 1.2),
    "resnet50_b16_over_plain": (3.0, 1.6),
    "coded_over_uncoded_auto": (1.05, None),
    "coded_over_uncoded_crme": (1.15, None),
    "parity_over_off": (None, None),
    "worker_idle_mb": (110, None),
    "worker_start": (0.25, None),
    "worker_cpu_vgg16": (0.9, None),
    "worker_cpu_resnet50": (0.8, None),
    "edge_speedup": (2.0, 3.0),
    "edge_speedup_two_stopped": (1.8, None),
    "edge_over_speculation": (1.0, None),
    "edge_over_replication": (1.0, None),
    "home_vgg16": (3.5, None),
    "home_vgg16_over_light": (2.6, None),
    "home_vgg16_megabytes": (6, None),
    "home_vgg16_300mbit": (3.0, None),
    "home_vgg16_100mbit": (2.3, None),
    "home_resnet50": (1.8, None),
    "home_resnet50_over_light": (1.2, None),
    "home_mobilenetv2": (0.95, None),
    "home_lenet5": (0.95, None),
    "home_throughput_vgg16": (5.0, None),
    "home_throughput_resnet50": (5.0, None),
    "home_two_stopped": (0.65, None),
    "home_one_slow": (0.75, None),
    "home_prediction": (0.25, None),
    "overhead_slope_ms_per_worker": (None, None),
    "weights_check_ms_per_pass": (None, None),
}
_SMALL = {"home_vgg16_megabytes", "home_prediction"}


def test_every_figure_that_was_asked_for_is_there() -> None:
    goals = {entry.goal.name: entry.goal for entry in registry.FIGURES}
    assert len(goals) == len(registry.FIGURES)
    for name, (limit, aim) in _ASKED.items():
        assert (goals[name].limit, goals[name].aim) == (limit, aim)
        faster = name.startswith(("edge_", "home_")) and name not in _SMALL
        assert goals[name].higher_is_better == faster


def test_every_figure_has_its_function() -> None:
    for entry in registry.FIGURES:
        assert callable(entry.load())
        assert "\n" not in entry.goal.text


def test_selection_keeps_the_order_and_refuses_unknown_names() -> None:
    assert registry.select([]) == registry.FIGURES
    chosen = registry.select(["vgg16_b1_over_plain", "layer_fixed_ms_direct"])
    assert [entry.goal.name for entry in chosen] == [
        "layer_fixed_ms_direct",
        "vgg16_b1_over_plain",
    ]
    with pytest.raises(FcdccError, match=r"Received: vgg19\. Choose from layer_fixed"):
        registry.select(["vgg19", "vgg16_b1_over_plain"])


def test_limits() -> None:
    at_most, at_least = Goal("a", "", "", 2), Goal("b", "", "", 2, None, True)
    assert [at_most.keeps(v) for v in (1, 2, 3)] == [True, True, False]
    assert [at_least.keeps(v) for v in (1, 2, 3)] == [False, True, True]
    assert Goal("c", "", "").keeps(1) is None


def test_a_figure_as_json() -> None:
    goal = Goal("ratio", "a ratio", "ratio", limit=1.5, aim=1.0)
    outcome = Outcome(Estimate(1.2, (1.1, 1.4)), 9, 0, {"a_ms": 3.0})
    found = Figure(goal, outcome).to_json()
    assert found.pop("spread") == pytest.approx(0.3)
    assert found == {
        "name": "ratio",
        "value": 1.2,
        "unit": "ratio",
        "quartiles": [1.1, 1.4],
        "rounds": 9,
        "client_convolutions": 0,
        "limit": 1.5,
        "aim": 1.0,
        "better": "lower",
        "kept": True,
        "parts": {"a_ms": 3.0},
    }


def _fails(run: Run) -> Outcome:
    raise FcdccError("A lab needs root. Received: user 7. Use sudo.")


def test_what_cannot_be_measured_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = registry.Entry(Goal("edge", "", "ratio"), "edge:speedup")
    monkeypatch.setattr(registry.Entry, "load", lambda self: _fails)
    found = entry.measure(Run(), required=False).to_json()
    assert found["value"] is None
    assert found["spread"] is None
    assert found["kept"] is None
    assert found["error"].startswith("A lab needs root.")
    with pytest.raises(FcdccError, match="needs root"):
        entry.measure(Run(), required=True)


def test_one_cluster_at_a_time() -> None:
    from contextlib import contextmanager

    events: list[str] = []

    def make(name: str):
        @contextmanager
        def resource():
            events.append(f"+{name}")
            yield name
            events.append(f"-{name}")

        return resource

    with Run() as run:
        assert run.shared("a", make("a")) == "a"
        assert run.shared("a", make("a")) == "a"
        assert run.shared("b", make("b")) == "b"
    assert events == ["+a", "-a", "+b", "-b"]


def test_steps_are_announced() -> None:
    run = Run()
    with Stages(Console(file=io.StringIO(), force_terminal=True)) as stages:
        with stages.stage("a figure") as run.stage:
            assert run.rounds(7, 2) == 7
            run.step()
            (task,) = stages.tasks
            assert (task.completed, task.total) == (1, 9)
        assert task.finished
        again = Run(repeats=3)
        with stages.stage("another") as again.stage:
            assert again.rounds(7) == 3
            assert stages.tasks[1].total == 4
