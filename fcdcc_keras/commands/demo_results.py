"""What the demonstration found out, for programs and for people."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from fcdcc_keras.commands.side_by_side import Comparison
from fcdcc_keras.planning import Plan

WORKERS = 6
STRAGGLERS = 2


@dataclass(frozen=True)
class Mode:
    """One way of running a model, compared with running it plainly."""

    accuracy: float | None
    """Share of images whose class is right, where that is known."""
    top1_agreement: float
    """Share of images given the same class as by the plain model."""
    largest_deviation: float
    """max |logits - plain logits| / max |plain logits| of a batch."""
    seconds_per_image: float
    """Median over batches, after one to warm up."""
    workers_used: int
    """Workers of which at least one answer was used in the timed batches."""

    @classmethod
    def of_plain(cls, found: Comparison, batch_size: int, *, labelled: bool) -> Mode:
        """Returns the mode of the plain model."""
        accuracy = found.plain_right / found.images if labelled else None
        seconds = statistics.median(found.plain_seconds) / batch_size
        return cls(accuracy, 1.0, 0.0, seconds, 0)

    @classmethod
    def of_coded(
        cls, found: Comparison, timed: Comparison, batch_size: int, *, labelled: bool
    ) -> Mode:
        """Returns the mode of the coded model.

        Args:
            found: What its predictions are judged by.
            timed: What its time is taken from.
            batch_size: Images a batch.
            labelled: Whether the classes of the images are known.
        """
        outcomes = timed.summary.outcomes.values()
        return cls(
            accuracy=found.coded_right / found.images if labelled else None,
            top1_agreement=1 - len(found.differences) / found.images,
            largest_deviation=found.deviation,
            seconds_per_image=statistics.median(timed.coded_seconds) / batch_size,
            workers_used=sum(counts["used"] > 0 for counts in outcomes),
        )

    @property
    def identical_predictions(self) -> bool:
        """Whether every image was given the class that the plain model gives it."""
        return self.top1_agreement == 1.0

    def to_json(self) -> dict[str, Any]:
        """Returns what this found as JSON values."""
        return asdict(self) | {"identical_predictions": self.identical_predictions}


BOARD = "pi4"
"""The profile of the boards that are predicted for."""


@dataclass(frozen=True)
class Boards:
    """What six boards at a switch are predicted to bring a seventh, the client."""

    keras_seconds: float
    """Of one image on one board, by plain Keras."""
    engine_seconds: float
    """The same by the light engine."""
    seconds: float
    """With the workers."""
    uses_workers: bool
    """Whether it pays: otherwise all stays on one board."""

    @classmethod
    def of(cls, plan: Plan) -> Boards:
        """Returns what a plan by a profile predicts."""
        assert plan.alone is not None
        assert plan.latency is not None
        alone, expected = plan.alone, plan.latency.expected
        return cls(alone.keras, alone.engine, expected, plan.uses_workers)

    def sentence(self, name: str) -> str:
        """Returns it in words.

        Args:
            name: Of the model.
        """
        alone = min(self.keras_seconds, self.engine_seconds)
        if not self.uses_workers:
            return (
                f"{name}: {_milliseconds(alone)} an image on one, and more workers "
                "would not pay."
            )
        return (
            f"{name}: {_milliseconds(self.keras_seconds)} an image on one by plain "
            f"Keras, {_milliseconds(self.engine_seconds)} by the light engine; with "
            f"six more {_milliseconds(self.seconds)}, "
            f"{self.keras_seconds / self.seconds:.3g} and "
            f"{self.engine_seconds / self.seconds:.3g} times as fast."
        )


@dataclass(frozen=True)
class ModelResult:
    """The three modes of one model, and what boards would do."""

    name: str
    """The model and its data, in a few words."""
    images: int
    """Images compared."""
    plain: Mode
    """The model itself in this process."""
    coded: Mode
    """Over all workers."""
    degraded: Mode
    """With one worker stopped and one killed half way through the images."""
    local_convolutions: int
    """Convolutions of the coded model that no workers computed."""
    boards: Boards
    """Predicted for six boards, as any two of them may be missing."""

    def to_json(self) -> dict[str, Any]:
        """Returns what this found as JSON values."""
        return {
            "model": self.name,
            "images": self.images,
            "plain": self.plain.to_json(),
            "coded": self.coded.to_json(),
            "two_workers_gone": self.degraded.to_json(),
            "local_convolutions": self.local_convolutions,
            "six_boards": {"device": BOARD, **asdict(self.boards)},
        }


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration found out."""

    models: tuple[ModelResult, ...]
    """One result a model."""
    seconds: float
    """How long all of it took."""

    @property
    def identical_predictions(self) -> bool:
        """Whether coding and losing workers changed no prediction of any model."""
        return all(
            mode.identical_predictions
            for model in self.models
            for mode in (model.coded, model.degraded)
        )

    def to_json(self) -> dict[str, Any]:
        """Returns what this found as JSON values."""
        return {
            "workers": WORKERS,
            "stragglers": STRAGGLERS,
            "models": [model.to_json() for model in self.models],
            "identical_predictions": self.identical_predictions,
            "seconds": self.seconds,
        }


def table(result: DemoResult) -> Table:
    """Returns the results as a table, one column a model."""
    made = Table()
    made.add_column(f"{WORKERS} workers, {STRAGGLERS} may be missing")
    for model in result.models:
        made.add_column(model.name, justify="right")
    for text, cell, modes in _SECTIONS:
        for mode in modes:
            cells = (cell(m, getattr(m, mode)) for m in result.models)
            made.add_row(f"{text}, {_MODES[mode]}", *cells)
        made.add_section()
    local = (str(model.local_convolutions) for model in result.models)
    made.add_row("convolutions without workers", *local)
    return made


def closing_words(result: DemoResult) -> str:
    """Returns what a newcomer has seen, and what to do next."""
    if not result.identical_predictions:
        return (
            "Some predictions differ from the plain model's. They should not: please "
            "report this with the table above."
        )
    boards = "\n".join(
        f"  {model.boards.sentence(model.name)}" for model in result.models
    )
    return (
        "What you saw: every convolution was spread over 6 worker processes so that "
        "the answers of any 4 give all of it. Stopping one worker and killing "
        "another changed no prediction, and nothing waited for them. Here all 6 "
        "compete for the cores of one machine, so coded is slower than plain; it is "
        "meant for workers that are machines of their own, each too slow, too small "
        "or too unreliable to do it alone.\n"
        "Predicted for Raspberry Pi 4 at a switch of 1 Gbit/s, in tiles of several "
        "layers, of which two may be missing:\n"
        f"{boards}\n"
        "Next: `fcdcc-keras plan VGG16 --device pi4 --workers 6 --stragglers 2` shows "
        "how, for your own model too. Start workers on your own machines with "
        "`fcdcc-keras worker SCHEDULER_ADDRESS`, and distribute your own Keras model "
        "with `fcdcc_keras.distribute(model, client, stragglers=2)`; README.md shows "
        "how."
    )


def _accuracy(model: ModelResult, mode: Mode) -> str:
    return "–" if mode.accuracy is None else f"{mode.accuracy:.2%}"


def _same(model: ModelResult, mode: Mode) -> str:
    return f"{round(mode.top1_agreement * model.images)} of {model.images}"


def _time(model: ModelResult, mode: Mode) -> str:
    return _milliseconds(mode.seconds_per_image)


def _milliseconds(seconds: float) -> str:
    milliseconds = seconds * 1e3
    return f"{milliseconds:.{2 if milliseconds < 10 else 0}f} ms"


_MODES = {"plain": "plain", "coded": "coded", "degraded": "two gone"}
_CODED = ("coded", "degraded")
_SECTIONS: tuple[tuple[str, Callable[[ModelResult, Mode], str], Iterable[str]], ...] = (
    ("workers that answered", lambda _, mode: str(mode.workers_used), _CODED),
    ("accuracy", _accuracy, _MODES),
    ("same class as plain", _same, _CODED),
    ("largest deviation", lambda _, mode: f"{mode.largest_deviation:.1e}", _CODED),
    ("time per image", _time, _MODES),
)
"""What the table's rows say, how, and of which modes."""
