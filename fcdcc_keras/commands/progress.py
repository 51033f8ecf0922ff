"""The list of stages on the screen, each with its progress."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class Stages(Progress):
    """A context manager that shows the stages so far, with a bar for each."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            console=console,
            # Elsewhere than on a terminal, all bars would appear at the very end.
            disable=not console.is_terminal,
        )

    @contextlib.contextmanager
    def stage(self, text: str, steps: int | None = None) -> Iterator[Stage]:
        """Shows one stage while it runs.

        Args:
            text: What is being done.
            steps: How many steps it has, or None where nobody knows.

        Yields:
            The stage, to be called after each step.
        """
        if self.disable:
            self.console.print(text)
        task = self.add_task(text, total=steps)
        yield Stage(self, task)
        self.update(task, total=1, completed=1)


class Stage:
    """A stage that is under way: called after each of its steps."""

    def __init__(self, stages: Stages, task: TaskID) -> None:
        self._stages, self._task = stages, task

    def __call__(self, *_: object) -> None:
        """Shows that another step is done, whatever a callback says of it."""
        self._stages.advance(self._task)

    def expect(self, steps: int) -> None:
        """Shows how many steps there are, as soon as that is known."""
        self._stages.update(self._task, total=steps)

    def note(self, text: str) -> None:
        """Says something about it in a line of its own."""
        self._stages.console.print(text, markup=False, highlight=False, soft_wrap=True)
