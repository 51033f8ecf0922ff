"""The result of the demonstration, for people."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table

from fcdcc_keras.commands.demo_results import Mode, ModelResult
from fcdcc_keras.commands.demo_run import DemoResult

_Cell = Callable[[ModelResult], str]


def table(result: DemoResult) -> Table:
    """Returns the results as a table, one column a model."""
    made = Table()
    made.add_column("6 workers, 2 may be missing")
    for model in result.models:
        made.add_column(model.name, justify="right")
    for section in _SECTIONS:
        for text, cell in section:
            made.add_row(text, *(cell(model) for model in result.models))
        made.add_section()
    return made


def closing_words(result: DemoResult) -> str:
    """Returns what a newcomer has seen, and what to do next."""
    if not result.identical_predictions:
        return (
            "Some predictions differ from the plain model's. They should not: please "
            "report this with the table above."
        )
    return (
        "What you saw: every convolution was spread over 6 worker processes so that "
        "the answers of any 4 give all of it. Stopping one worker and killing "
        "another changed no prediction, and nothing waited for them. Here all 6 "
        "compete for the cores of one machine, so coded is slower than plain; it is "
        "meant for workers that are machines of their own, each too slow, too small "
        "or too unreliable to do it alone.\n"
        "Next: start workers on your own machines with `fcdcc-keras worker "
        "SCHEDULER_ADDRESS`, and distribute your own Keras model with "
        "`fcdcc_keras.distribute(model, client, stragglers=2)`; README.md shows how."
    )


def _accuracy(mode: Mode) -> str:
    return "–" if mode.accuracy is None else f"{mode.accuracy:.2%}"


def _same(model: ModelResult, mode: Mode) -> str:
    return f"{round(mode.top1_agreement * model.images)} of {model.images}"


def _time(mode: Mode) -> str:
    milliseconds = mode.seconds_per_image * 1e3
    return f"{milliseconds:.{2 if milliseconds < 10 else 0}f} ms"


_SECTIONS: tuple[tuple[tuple[str, _Cell], ...], ...] = (
    (
        ("workers that answered, coded", lambda model: str(model.coded.workers_used)),
        (
            "workers that answered, two gone",
            lambda model: str(model.degraded.workers_used),
        ),
    ),
    (
        ("accuracy, plain", lambda model: _accuracy(model.plain)),
        ("accuracy, coded", lambda model: _accuracy(model.coded)),
        ("accuracy, two gone", lambda model: _accuracy(model.degraded)),
    ),
    (
        ("same class as plain, coded", lambda model: _same(model, model.coded)),
        (
            "same class as plain, two gone",
            lambda model: _same(model, model.degraded),
        ),
    ),
    (
        (
            "largest deviation, coded",
            lambda model: f"{model.coded.largest_deviation:.1e}",
        ),
        (
            "largest deviation, two gone",
            lambda model: f"{model.degraded.largest_deviation:.1e}",
        ),
    ),
    (
        ("time per image, plain", lambda model: _time(model.plain)),
        ("time per image, coded", lambda model: _time(model.coded)),
        ("time per image, two gone", lambda model: _time(model.degraded)),
    ),
    (
        (
            "convolutions without workers",
            lambda model: str(model.local_convolutions),
        ),
    ),
)
