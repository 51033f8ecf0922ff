"""What the demonstration reports, to people and to programs."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from fcdcc_keras.commands import demo_results as report
from fcdcc_keras.commands.demo_results import DemoResult, ModelResult, compare

_PLAIN = np.array([[2.0, -8.0, 1.0], [0.0, 1.0, 4.0]], np.float32)


def _result() -> DemoResult:
    plain = compare(_PLAIN, _PLAIN, np.array([0, 1]), 0.002)
    coded = compare(_PLAIN + 1e-6, _PLAIN, np.array([0, 1]), 0.5, 6)
    unlabelled = compare(_PLAIN, _PLAIN, None, 0.25)
    return DemoResult(
        (
            ModelResult("A", 2, plain, coded, coded, 0),
            ModelResult("B", 2, unlabelled, unlabelled, unlabelled, 3),
        ),
        12.5,
    )


def test_compare_measures_against_the_plain_model() -> None:
    other = _PLAIN.copy()
    other[1] = [4.0, 1.0, 2.0]
    mode = compare(other, _PLAIN, np.array([0, 2]), 0.1)
    assert mode.accuracy == 0.5
    assert mode.top1_agreement == 0.5
    assert not mode.identical_predictions
    assert mode.largest_deviation == pytest.approx(4.0 / 8.0)


def test_json_has_the_promised_keys() -> None:
    data = json.loads(json.dumps(_result().to_json()))
    assert set(data) == {
        "workers",
        "stragglers",
        "models",
        "identical_predictions",
        "seconds",
    }
    assert set(data["models"][0]) == {
        "model",
        "images",
        "plain",
        "coded",
        "two_workers_gone",
        "local_convolutions",
    }
    for mode in ("plain", "coded", "two_workers_gone"):
        assert set(data["models"][1][mode]) == {
            "accuracy",
            "top1_agreement",
            "identical_predictions",
            "largest_deviation",
            "seconds_per_image",
            "workers_used",
        }
    assert data["models"][1]["plain"]["accuracy"] is None


def test_table_fits_a_terminal_and_shows_every_figure() -> None:
    console = Console(width=80, record=True)
    console.print(report.table(_result()))
    text = console.export_text()
    for figure in (
        "50.00%",
        "–",
        "2 of 2",
        "1.2e-07",
        "2.00 ms",
        "500 ms",
        "250 ms",
        "3",
    ):
        assert figure in text
    assert "…" not in text


def test_changed_prediction_is_never_called_a_success() -> None:
    good = _result()
    assert good.identical_predictions
    assert "changed no prediction" in report.closing_words(good)
    first = good.models[0]
    wrong = replace(first.degraded, top1_agreement=0.5)
    bad = replace(good, models=(replace(first, degraded=wrong),))
    assert not bad.identical_predictions
    assert "They should not" in report.closing_words(bad)
