"""Where the time of a pass went: overlapping micro-batches are not counted twice."""

import pytest

from benchmarks.figures.anatomy import Watched
from fcdcc_keras.execution.records import LayerRecord


def record(call, started, ended):
    return LayerRecord("layer", call, started, 0.0, ended - started)


def test_time_outside_of_layers_is_what_none_covers():
    watched = Watched.__new__(Watched)
    watched.passes = [
        [record(0, 10.0, 11.0), record(0, 10.5, 12.0), record(1, 13.0, 13.5)]
    ]
    parts = watched.parts([5.0])
    assert parts["outside_coded_layers_ms"] == pytest.approx(2500)
    assert parts["collect_ms"] == pytest.approx(2500)
    assert parts["layers"] == 2
