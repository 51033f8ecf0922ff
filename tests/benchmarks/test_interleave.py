"""Who is measured when, and what counts."""

import sys
from itertools import count
from types import SimpleNamespace

import pytest

from benchmarks.figures.interleave import interleave


def test_every_round_starts_with_another() -> None:
    calls: list[str] = []

    def contender(name: str):
        def call() -> float:
            calls.append(name)
            return 1.0

        return call

    steps: list[None] = []
    samples = interleave(
        {name: contender(name) for name in "abc"},
        3,
        warm_up=1,
        step=lambda: steps.append(None),
    )
    assert "".join(calls) == "cab" + "abc" + "bca" + "cab"
    assert samples == {"a": [1.0] * 3, "b": [1.0] * 3, "c": [1.0] * 3}
    assert len(steps) == 4


def test_what_a_contender_returns_counts_or_else_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(perf_counter=count().__next__)
    monkeypatch.setattr(sys.modules[interleave.__module__], "time", clock)
    samples = interleave({"own": lambda: 7.0, "clock": lambda: None}, 2)
    assert samples["own"] == [7.0, 7.0]
    assert samples["clock"] == [1, 1]
