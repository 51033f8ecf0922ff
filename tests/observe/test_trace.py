"""``fk.trace`` of a real model: its table, its picture and its JSON."""

import json

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.executors.local import LocalFault


@pytest.fixture(scope="module")
def trace():
    layers = [keras.layers.Conv2D(8, 3, name=name) for name in ("first", "second")]
    model = keras.Sequential([keras.Input((12, 12, 3)), *layers])
    executor = fk.LocalExecutor(
        4, {1: LocalFault(delay=9.0), 2: LocalFault(error="broken")}
    )
    with fk.closing(fk.distribute(model, executor, stragglers=2)) as coded:
        with fk.trace(coded) as trace:
            for executor.engine in ("tensorflow", "light", "light"):
                coded.predict_on_batch(np.ones((2, 12, 12, 3), "float32"))
    return trace


def test_every_layer_has_its_time_split(trace) -> None:
    layers = trace.summary().layers
    assert list(layers) == ["first", "second"]
    for layer in layers.values():
        assert len(layer.splits) == 3
        assert min(layer.median.encode, layer.median.convolution) > 0
        assert layer.median.decode > 0
    by_call = {(r.layer, r.call): r for r in trace.records}
    for (path, call), record in by_call.items():
        whole = record.encode + record.collect + record.decode
        assert layers[path].splits[call].total == pytest.approx(whole)


def test_it_tells_what_each_worker_computed_by(trace, tmp_path) -> None:
    rows = [line.split() for line in str(trace.summary()).splitlines()]
    assert ["worker", "engine", "used"] in [row[:3] for row in rows]
    told = {row[0]: row[1:3] for row in rows if row and row[0].startswith("local-")}
    assert told["local-0"] == told["local-3"] == ["light,", "tensorflow"]
    assert trace.summary().engines["local-2"] == set()  # it failed
    trace.to_chrome(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text("utf-8"))["traceEvents"]
    used = [e["args"] for e in events if e.get("cat") == "used"]
    by_call = dict(sorted({(share["call"], share["engine"]) for share in used}))
    assert list(by_call.values()) == ["tensorflow"] * 2 + ["light"] * 4


def test_every_share_is_an_event(trace, tmp_path) -> None:
    trace.to_chrome(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text("utf-8"))["traceEvents"]
    told = [e["args"]["outcome"] for e in events if "outcome" in e.get("args", {})]
    counted = trace.summary().outcomes.values()
    for outcome in ("used", "late", "failed"):
        assert told.count(outcome) == sum(counts[outcome] for counts in counted)
    assert told.count("failed") == 6


def test_the_picture_is_drawn(trace, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    trace.plot(tmp_path / "trace.svg")
    drawn = (tmp_path / "trace.svg").read_text("utf-8")
    assert drawn.startswith("<?xml")
    with pytest.raises(fk.FcdccError, match="must end in"):
        trace.plot(tmp_path / "trace.jpg")
