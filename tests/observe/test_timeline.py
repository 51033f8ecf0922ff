"""Records as bars on one time axis, and as trace events; scripted, so exact."""

import json

import pytest

from fcdcc_keras.dispatch.collector import SubtaskRecord
from fcdcc_keras.execution.records import LayerRecord
from fcdcc_keras.monitoring.split import Split
from fcdcc_keras.monitoring.timeline import Span, lanes, phase_lanes, timeline
from fcdcc_keras.observe.chrome import chrome_events, write_chrome
from fcdcc_keras.observe.summary import Summary


def share(worker: int, outcome: str, *times: float | None, **more) -> SubtaskRecord:
    """A share with its times: sent, started, finished, received."""
    more = {"bytes_sent": 100, "bytes_received": 10} | more
    return SubtaskRecord(worker, f"w{worker}", outcome, *times, **more)


def layer(name: str, call: int, started: float, *shares, **more) -> LayerRecord:
    times = {"encode": 0.25, "collect": 2.0, "decode": 0.5, "transport": "direct"}
    return LayerRecord(name, call, started, subtasks=shares, **(times | more))


NOTHING = {"bytes_sent": 0, "bytes_received": 0}
RECORDS = [
    layer(
        *("b", 1, 1003.0),
        share(0, "used", 1003.25, 1003.5, 1004.5, 1005.0),
        share(1, "used", 1003.25, 1003.5, 1004.0, 1005.25),
        share(2, "failed", None, None, None, 1003.0, detail="gone", **NOTHING),
        share(3, "skipped", None, None, None, None, **NOTHING),
    ),
    layer(
        *("a", 0, 1000.0),
        share(0, "used", 1000.25, 1000.5, 1001.0, 1001.25),
        share(1, "used", 1000.25, 5.0, 6.0, 1002.25),  # another clock
        share(2, "late", 1000.25, None, None, None, bytes_sent=100, bytes_received=0),
        share(3, "late", 1000.25, 1002.0, 1004.0, 1004.5),
    ),
]


def test_bars_lie_where_their_shares_were_under_way() -> None:
    line = timeline(RECORDS)
    assert line.origin == 1000.0
    assert line.shares == {"w0": 0, "w1": 1, "w2": 2, "w3": 3}
    bars = {(bar.layer, bar.worker): bar for bar in line.bars}
    assert len(bars) == len(line.bars) == 7  # the skipped one was never under way
    assert bars["a", 0].span == Span(0.25, 1.25)
    assert bars["a", 0].convolution == Span(0.5, 1.0)
    assert bars["a", 3].span == Span(0.25, 4.5)
    assert [bars[key].outcome for key in (("a", 3), ("b", 2))] == ["late", "failed"]


def test_without_an_answer_a_bar_ends_with_collecting() -> None:
    (silent,) = [b for b in timeline(RECORDS).bars if b.outcome == "late"][:1]
    assert (silent.worker, silent.answered, silent.convolution) == (2, False, None)
    assert silent.span == Span(0.25, 2.25)


def test_of_another_clock_only_the_duration_counts() -> None:
    bar = next(b for b in timeline(RECORDS).bars if b.layer == "a" and b.worker == 1)
    assert bar.span == Span(0.25, 2.25)
    assert bar.convolution == Span(0.75, 1.75)


def test_who_waited_for_halos_says_so() -> None:
    tile = {"piece": 3, "engine": "light", "waited": 0.125, "detail": "late"}
    for more, said in (
        (tile, "tile 3, light, waited 125 ms for halos, late"),
        ({}, ""),
    ):
        task = share(0, "used", 1000.25, 1000.5, 1001.0, 1001.25, **more)
        (bar,) = timeline([layer("a", 0, 1000.0, task)]).bars
        assert bar.about == said


def test_what_failed_before_it_was_sent_has_no_length() -> None:
    bar = next(b for b in timeline(RECORDS).bars if b.outcome == "failed")
    assert bar.span == Span(3.0, 3.0)
    assert (bar.answered, bar.detail) == (False, "gone")


def test_phases_follow_each_other() -> None:
    phases = timeline(RECORDS).phases
    assert [p.stage for p in phases] == ["encode", "collect", "decode"] * 2
    assert [p.span for p in phases[:3]] == [
        *(Span(0.0, 0.25), Span(0.25, 2.25), Span(2.25, 2.75)),
    ]
    both = timeline([RECORDS[1], layer("c", 2, 1001.0), layer("d", 3, 1004.0)]).phases
    assert phase_lanes(both) == [0, 0, 0, 1, 1, 1, 0, 0, 0]


def test_a_layer_of_the_client_is_a_phase() -> None:
    local = LayerRecord("a", 0, 5.0, convolve=2.0, local="empty batch")
    (phase,) = timeline([local]).phases
    assert (phase.stage, phase.span) == ("convolve", Span(0.0, 2.0))


def test_times_of_the_executor_in_process_start_with_its_layer() -> None:
    task = share(0, "used", 0.0, 77.0, 77.5, 3.0)
    records = [RECORDS[1], layer("z", 9, 1010.0, task, transport="in process")]
    bar = timeline(records).bars[-1]
    assert bar.span == Span(10.0, 13.5)
    assert bar.convolution.duration == 0.5


def test_nothing_happened() -> None:
    line = timeline([])
    assert (line.bars, line.phases, dict(line.shares)) == ((), (), {})


def test_overlapping_spans_have_lanes_of_their_own() -> None:
    spans = [Span(2, 3), Span(0, 2), Span(1, 4), Span(3, 5), Span(3.5, 4.5)]
    assert lanes(spans) == [0, 0, 1, 0, 2]
    assert lanes([]) == []


def test_summaries_can_be_added_to() -> None:
    whole, parts = Summary(RECORDS), Summary(RECORDS[:1])
    parts.add(RECORDS[1:])
    assert str(parts) == str(whole)
    assert parts.outcomes == whole.outcomes
    assert parts.outcomes["w3"] == {"late": 1, "skipped": 1}
    assert parts.bytes_received == {"w0": 20, "w1": 20, "w2": 0, "w3": 10}
    assert (whole.calls, whole.local) == (2, 0)


def test_micro_batches_of_a_call_are_one_call() -> None:
    summary = Summary([RECORDS[1], layer("a", 0, 1003.0), layer("a", 5, 1020.0)])
    assert summary.calls == 2
    assert summary.layers["a"].splits[0] == Split(0.5, 3.0, 1.0, 1.0)
    assert summary.layers["a"].median == Split(0.375, 2.5, 0.5, 0.75)
    assert "convolution ms" in str(summary)


def test_trace_events_are_those_of_the_viewers() -> None:
    events = chrome_events(timeline(RECORDS))
    names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert names == {
        **{0: "client", 1: "worker 0: w0", 2: "worker 1: w1"},
        **{3: "worker 2: w2", 4: "worker 3: w3"},
    }
    shares = [e for e in events if e.get("cat") in ("used", "late", "failed")]
    assert len(shares) == 7
    first = next(e for e in shares if e["pid"] == 1)
    assert (first["ph"], first["name"], first["cname"]) == ("X", "a", "good")
    assert (first["ts"], first["dur"]) == (250_000, 1_000_000)
    assert first["args"]["bytes_sent"] == 100


def test_trace_events_of_a_thread_nest() -> None:
    events = [e for e in chrome_events(timeline(RECORDS)) if e["ph"] == "X"]
    for a in events:
        for b in events:
            if (a["pid"], a["tid"]) == (b["pid"], b["tid"]) and a is not b:
                first, second = sorted((a, b), key=lambda e: (e["ts"], -e["dur"]))
                end = first["ts"] + first["dur"]
                inside = second["ts"] + second["dur"] <= end
                assert inside or second["ts"] >= end


def test_the_file_is_json(tmp_path) -> None:
    path = tmp_path / "trace.json"
    write_chrome(timeline(RECORDS), path)
    found = json.loads(path.read_text("utf-8"))
    assert found["displayTimeUnit"] == "ms"
    assert len(found["traceEvents"]) == len(chrome_events(timeline(RECORDS)))


@pytest.mark.parametrize("records", [RECORDS, []])
def test_pictures_are_drawn(records, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    from fcdcc_keras.observe.trace_plot import plot_trace

    plot_trace(records, tmp_path / "trace.png")
    assert (tmp_path / "trace.png").read_bytes().startswith(b"\x89PNG")


def test_tiles_are_told_apart():
    tiles = [share(0, "used", 1.0, 2.0, 3.0, 4.0, piece=number) for number in (0, 3)]
    events = chrome_events(timeline([layer("a … b", 0, 1.0, *tiles)]))
    shares = [event["args"] for event in events if event.get("cat") == "used"]
    assert [args["tile"] for args in shares] == [0, 3]
    assert all("tile" not in event.get("args", {}) for event in _of_coded_layers())


def _of_coded_layers():
    return chrome_events(timeline(RECORDS))
