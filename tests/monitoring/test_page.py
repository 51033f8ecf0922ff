"""What the dashboard's page shows of scripted records."""

import pytest

from fcdcc_keras.monitoring import ledger as ledger_module
from fcdcc_keras.monitoring.ledger import Ledger
from fcdcc_keras.monitoring.messages import Told
from fcdcc_keras.monitoring.timeline import timeline
from tests.monitoring.records import going, layer, records, share
from tests.monitoring.test_totals import tallied

pytest.importorskip("bokeh")

from fcdcc_keras.monitoring.page import document, names_of, owed, plain

HOSTILE = '<img src=x onerror="alert(1)">$$\\alpha$$'


@pytest.fixture
def shown():
    """Gives the page of some records: its plot, what its sources hold, its text."""
    from bokeh.document import Document
    from bokeh.models import ColumnDataSource, Div, Plot

    def show(*given, under_way=()):
        ledger, doc = Ledger(), Document()
        document(doc, ledger)
        told = Told("me", "m", tallied(given), list(enumerate(given)), under_way)
        ledger.take(told)
        (callback,) = doc.session_callbacks
        callback.callback()
        assert ledger.watched
        rows = []
        for source in doc.select({"type": ColumnDataSource}):
            names = list(source.data)
            for row in zip(*source.data.values(), strict=True):
                rows.append(dict(zip(names, row, strict=True)))
        text = "".join(div.text for div in doc.select({"type": Div}))
        return doc.select_one({"type": Plot}), rows, text

    return show


def test_every_subtask_that_was_sent_is_drawn(shown) -> None:
    plot, rows, text = shown(*records())
    became = [row["became"] for row in rows if row["top"][0] != "client"]
    # Of those that computed, a pale and a full box.
    assert sorted(became) == sorted(
        [*("used", "redistributed", "redundant", "late") * 2, "late", "failed"]
    )
    stages = [row["became"] for row in rows if row["top"][0] == "client"]
    assert sorted(stages) == sorted(
        ["encode", "collect", "decode", "encode", "collect", "convolve", "decode"]
    )
    assert plot.y_range.factors[-1] == "client"
    assert len(plot.y_range.factors) == 8
    assert text.count("<tr>") == 1 + 7
    used = min(
        (row for row in rows if row["became"] == "used"), key=lambda row: row["left"]
    )
    assert used["left"] == pytest.approx(1001.25e3)
    assert used["right"] == pytest.approx(1002.25e3)


def test_what_is_under_way_is_drawn_until_now(shown) -> None:
    _, rows, _ = shown(*records()[:1], under_way=[going()])
    running = [row for row in rows if row["became"] == "running"]
    assert [row["left"] for row in running] == [1006e3, 1008e3]
    assert {row["right"] for row in running} == {1010e3}
    assert [row["top"][0] for row in running] == ["tcp://w1:1", "tcp://w2:1"]
    until_now = [r for r in rows if r["layer"] == "conv" and r["right"] == 1010e3]
    assert ("client", "collect") in [(r["top"][0], r["became"]) for r in until_now]
    # What w3 owed since the layer before it owes until now.
    (owed_yet,) = [r for r in rows if r["top"][0] == "tcp://w3:1"]
    assert (owed_yet["became"], owed_yet["right"]) == ("late", 1010e3)


def test_nobody_looks_at_a_page_that_is_closed(monkeypatch) -> None:
    ledger = Ledger()
    assert not ledger.watched
    now = [50.0]
    monkeypatch.setattr(ledger_module.time, "monotonic", lambda: now[0])
    ledger.look()
    assert ledger.watched
    now[0] += 60
    assert not ledger.watched


def test_names_are_no_markup_and_no_formula(shown) -> None:
    task = share(0, "failed", 1001.25, None, None, 1002.0, detail=HOSTILE)
    task.address = HOSTILE
    plot, rows, text = shown(layer(HOSTILE, 1, task))
    assert "<img" not in text
    assert "&lt;img" in text
    drawn = [*plot.y_range.factors, *(value for row in rows for value in row.values())]
    assert not any("$$" in each for each in drawn if isinstance(each, str))
    for tool in plot.tools:
        assert "safe" not in str(getattr(tool, "tooltips", ""))


def test_nothing_has_happened(shown) -> None:
    plot, rows, _ = shown()
    assert (plot.y_range.factors, rows) == (["client"], [])


def test_names_differ_and_are_short() -> None:
    alike = [f"tcp://{'w' * 60}:{n}" for n in range(3)]
    names = names_of([*alike, "client"])
    assert len(set(names.values()) | {"client"}) == 5
    assert max(map(len, names.values())) < 45
    assert (
        plain("\\(x\\) $$y$$ \\[z\\]").replace("\u2060", "") == "\\(x\\) $$y$$ \\[z\\]"
    )


def test_what_is_owed_lasts_until_the_next_is_sent() -> None:
    calls = [
        layer("a", 1, share(0, "late", 1001.25, None, None, None)),
        layer("b", 8, share(0, "used", 1008.25, 1008.5, 1009.0, 1009.25)),
    ]
    first, second = owed(list(timeline(calls).bars), 10.0)
    assert (first.span.begin, first.span.end) == (0.25, 7.25)
    assert second == timeline(calls).bars[1]
    (only,) = owed(list(timeline(calls[:1]).bars), 10.0)
    assert only.span.end == 10.0
