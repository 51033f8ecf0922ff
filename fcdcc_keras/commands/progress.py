"""The list of stages on the screen, each with its progress."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


class Stages:
    """A context manager that shows the stages so far, with a bar for each."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # Elsewhere than on a terminal, all bars would appear at the very end.
        self._live = console.is_terminal
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            console=console,
            disable=not self._live,
        )

    def __enter__(self) -> Stages:
        self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.__exit__(kind, error, traceback)

    @contextlib.contextmanager
    def stage(
        self, text: str, steps: int | None = None
    ) -> Iterator[Callable[[], None]]:
        """Shows one stage while it runs.

        Args:
            text: What is being done.
            steps: How many steps it has, or None where nobody knows.

        Yields:
            A function to call after each step.
        """
        if not self._live:
            self._console.print(text)
        task = self._progress.add_task(text, total=steps)
        yield lambda: self._progress.advance(task)
        self._progress.update(task, total=steps or 1, completed=steps or 1)
