"""Who predicts through a storm: this process, or a program on the client's device."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import psutil

from benchmarks.faults.subjects import Subject
from benchmarks.figures.lab import Remote
from fcdcc_keras.dispatch.collector import SubtaskRecord
from fcdcc_keras.execution.records import LayerRecord


@dataclass(frozen=True)
class Answer:
    """What one prediction took and gave."""

    seconds: float
    deviation: float
    """As of ``Subject.deviation``."""
    records: list[LayerRecord] = field(default_factory=list)
    """Of all that was distributed."""

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON-ready plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Answer:
        """Returns the answer that ``to_dict`` described."""
        records = []
        for one in said["records"]:
            tasks = tuple(SubtaskRecord(**task) for task in one["subtasks"])
            tuples = {"survivors": tuple(one["survivors"]), "subtasks": tasks}
            records.append(LayerRecord(**{**one, **tuples}))
        return cls(said["seconds"], said["deviation"], records)


class Predictor(Protocol):
    """A distributed model."""

    @property
    def process(self) -> psutil.Process:
        """The process that predicts."""

    def predict(self, index: int) -> Answer:
        """Predicts for one of the subject's inputs, counted from 0 and round again."""


class Here:
    """Predicts in this process."""

    def __init__(self, coded: Any, subject: Subject) -> None:
        """Takes a model.

        Args:
            coded: The distributed one.
            subject: The plain one, with inputs and outputs.
        """
        self.process = psutil.Process()
        self._coded, self._subject = coded, subject

    def predict(self, index: int) -> Answer:
        """Predicts; see ``Predictor``."""
        import fcdcc_keras as fk

        image = self._subject.input(index)
        with fk.trace(self._coded) as trace:
            started = time.perf_counter()
            output = self._coded.predict_on_batch(image)
            seconds = time.perf_counter() - started
        deviation = self._subject.deviation(index, output)
        return Answer(seconds, deviation, trace.records)


class OnDevice:
    """Has a program on a device predict; see ``faults.device``."""

    def __init__(self, remote: Remote) -> None:
        """Takes one that is ready."""
        self.process = psutil.Process(remote.pid)
        self._remote = remote

    def predict(self, index: int) -> Answer:
        """Predicts; see ``Predictor``."""
        return Answer.from_dict(self._remote.ask("predict", index=index))
