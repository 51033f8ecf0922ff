"""What a notebook shows of plans, reports and traces: tables, and no more than that."""

from html.parser import HTMLParser
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import fcdcc_keras as fk
from fcdcc_keras.execution.executors.local import LocalFault
from fcdcc_keras.markup import Table, as_html, as_text
from fcdcc_keras.observe.summary import Summary
from fcdcc_keras.observe.trace_html import last, trace_html
from tests.monitoring.records import layer, records, share

HOSTILE = '"><img src=x onerror=alert(1)><script>&'
VOID = {"rect"}


class Shown(HTMLParser):
    """What a browser would show of some HTML, and whether its tags match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.attributes: set[str] = set()
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)


ALLOWED = {
    *("div", "style", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"),
    *("span", "svg", "rect", "text", "title"),
}


def check(html: str) -> Shown:
    shown = Shown(html)
    assert shown.tags <= ALLOWED
    assert not any(name.startswith("on") for name in shown.attributes)
    assert shown.attributes.isdisjoint({"src", "href"})
    assert "url(" not in html
    assert "@import" not in html
    return shown


@pytest.fixture(scope="module")
def coded():
    """A plan, a report and a trace of a model."""
    layers = [keras.layers.Conv2D(8, 3, name=name) for name in ("first", "second")]
    model = keras.Sequential([keras.Input((12, 12, 3)), *layers])
    executor = fk.LocalExecutor(4, {1: LocalFault(delay=9.0)})
    with fk.closing(fk.distribute(model, executor, stragglers=1)) as made:
        with fk.trace(made) as trace:
            made.predict_on_batch(np.ones((2, 12, 12, 3), "float32"))
        report = fk.report(made)
    plan = fk.plan(model, workers=4, stragglers=1)
    return SimpleNamespace(plan=plan, report=report, trace=trace)


@pytest.mark.parametrize("what", ["plan", "report", "trace"])
def test_it_says_what_the_text_says(coded, what) -> None:
    thing = getattr(coded, what)
    shown = check(thing._repr_html_())
    text = str(thing.summary() if what == "trace" else thing)
    told = set(" ".join(shown.words).split())
    # Headings that a table in a terminal draws lines under.
    assert set(text.replace("─", " ").split()) <= told


def test_a_trace_draws_what_each_worker_did(coded) -> None:
    html = coded.trace._repr_html_()
    assert html.count("<rect") > 2 * 4
    assert "redundant" not in html
    assert "late" in html


def test_names_are_escaped() -> None:
    task = share(0, "failed", 1001.25, None, None, 1002.0, detail=HOSTILE)
    task.address = task.engine = HOSTILE
    shown = check(trace_html([layer(HOSTILE, 1, task)]))
    assert HOSTILE in shown.words
    shown = check(as_html([Table(HOSTILE, [HOSTILE], [[HOSTILE]]), f"{HOSTILE}\n"]))
    assert shown.words.count(HOSTILE) == 4


def test_of_a_long_trace_the_last_part_is_drawn() -> None:
    one = layer("conv", 1, *(share(n, "used", 1, 2, 3, 4) for n in range(40)))
    html = trace_html([one] * 100)
    assert "The last 7 of 100 records are drawn." in html
    assert len(html) < 200_000
    assert last([one] * 3, 1) == [one]


def test_a_trace_of_nothing_is_shown() -> None:
    check(trace_html([]))


def test_summaries_count_who_stood_in_for_another() -> None:
    summary = Summary(records())
    assert {a: n for a, n in summary.redistributed.items() if n} == {"tcp://w1:1": 1}
    assert "redistributed" in as_text(summary.blocks())
