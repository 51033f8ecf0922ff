"""Stages on a terminal, and where there is none."""

import io

from rich.console import Console

from fcdcc_keras.commands.progress import Stages


def test_elsewhere_than_on_a_terminal_each_stage_is_a_line() -> None:
    out = io.StringIO()
    with Stages(Console(file=out)) as stages:
        with stages.stage("Train", 3) as step:
            step()
            step.note("[half] way")
        with stages.stage("Predict"):
            pass
    assert out.getvalue().splitlines() == ["Train", "[half] way", "Predict"]


def test_a_stage_shows_its_steps_and_is_done_at_its_end() -> None:
    with Stages(Console(file=io.StringIO(), force_terminal=True)) as stages:
        with stages.stage("Train") as step:
            (task,) = stages.tasks
            assert task.total is None
            step.expect(4)
            step("whatever a callback says")
            assert (task.completed, task.total) == (1, 4)
        assert task.finished
