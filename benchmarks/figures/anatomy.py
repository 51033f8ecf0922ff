"""Where the time of coded passes went, by the trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.monitoring.split import split, split_together

if TYPE_CHECKING:
    import keras


class Watched:
    """A coded model of which every pass is traced."""

    def __init__(self, model: keras.Model, batch: np.ndarray) -> None:
        """Takes what ``fk.distribute`` returned.

        Args:
            model: The coded model.
            batch: Images, shape ``(B, H, W, C)``.
        """
        import fcdcc_keras as fk

        self.model = model
        # From now on: to begin to watch takes longer than small models do.
        self._trace = fk.trace(model).__enter__()
        self.passes: list[list[LayerRecord]] = []
        """The records of every pass."""
        self._batch = batch

    def predict(self) -> np.ndarray:
        """Returns the predictions for the batch."""
        outputs: np.ndarray = self.model.predict_on_batch(self._batch)
        self.passes.append(self._trace.records.copy())
        self._trace.records.clear()
        return outputs

    def turn(self) -> None:
        """Predicts, to be timed."""
        self.predict()

    @property
    def client_convolutions(self) -> int:
        """Convolutions of coded layers that the client computed itself."""
        return sum(r.local is not None for records in self.passes for r in records)

    def coding_seconds(self, passes: int) -> list[float]:
        """Returns what encoding and decoding took in each of the last passes."""
        return [
            sum(r.encode + r.decode for r in records)
            for records in self.passes[-passes:]
        ]

    def parts(self, seconds: Sequence[float]) -> dict[str, Any]:
        """Returns where the time of a pass went, in milliseconds: medians.

        Micro-batches of a layer overlap: what went on at one time shares that time.

        Args:
            seconds: Of the last passes, as many as there are.
        """
        passes = self.passes[-len(seconds) :]
        splits = [
            split_together((r.started, split(r)) for r in records) for records in passes
        ]
        outside = [whole - s.total for whole, s in zip(seconds, splits, strict=True)]
        return {
            "layers": len({r.call for r in passes[-1]}),
            "encode_ms": _median_ms(s.encode for s in splits),
            "collect_ms": _median_ms(s.transport + s.convolution for s in splits),
            "decode_ms": _median_ms(s.decode for s in splits),
            # Of the workers that were waited for the slowest counts.
            "slowest_convolution_ms": _median_ms(
                sum(_slowest(r) for r in records) for records in passes
            ),
            "outside_coded_layers_ms": _median_ms(outside),
            "subtasks_sent": float(
                np.median([_sent(r) for records in passes for r in records])
            ),
        }


def convolution_seconds(record: LayerRecord) -> list[float]:
    """Returns how long each subtask that was used computed."""
    return [
        task.finished - task.started
        for task in record.subtasks
        if task.outcome == "used"
        and task.finished is not None
        and task.started is not None
    ]


def _slowest(record: LayerRecord) -> float:
    return max(convolution_seconds(record), default=0.0)


def _sent(record: LayerRecord) -> int:
    return sum(task.outcome != "skipped" for task in record.subtasks)


def _median_ms(samples: Any) -> float:
    return float(np.median(list(samples))) * 1e3
