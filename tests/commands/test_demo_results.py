"""What the demonstration reports, to people and to programs."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import keras
from rich.console import Console

import fcdcc_keras as fk
from fcdcc_keras.commands import demo_results as report
from fcdcc_keras.commands.demo_results import Boards, DemoResult, Mode, ModelResult
from fcdcc_keras.commands.side_by_side import Comparison, Difference
from fcdcc_keras.planning.devices import PROFILES


def found(size: int = 2, **what: Any) -> Comparison:
    made = Comparison(images=2, plain_right=1, coded_right=1, deviation=1.2e-7)
    made.plain_seconds, made.coded_seconds = [0.002 * size], [0.5 * size]
    for name, value in what.items():
        setattr(made, name, value)
    return made


def _result() -> DemoResult:
    plain = Mode.of_plain(found(), 2, labelled=True)
    coded = Mode.of_coded(found(), found(), 2, labelled=True)
    quarter = found(plain_seconds=[0.25])
    unlabelled = Mode.of_plain(quarter, 1, labelled=False)
    small = Boards(0.03, 0.02, 0.02, False)
    return DemoResult(
        (
            ModelResult("A", 2, plain, coded, coded, 0, Boards(3.0, 2.0, 0.5, True)),
            ModelResult("B", 2, unlabelled, unlabelled, unlabelled, 3, small),
        ),
        12.5,
    )


def test_a_mode_is_judged_by_one_pass_and_timed_by_another() -> None:
    wrong = found(coded_right=0, deviation=0.5, differences=[Difference(1, 0, 2, 0)])
    timed = found(coded_seconds=[9.0, 0.2, 0.1])
    timed.summary.outcomes = {
        "a": Counter(used=2, late=1),
        "b": Counter(late=3),
        "c": Counter(used=1),
    }
    mode = Mode.of_coded(wrong, timed, 4, labelled=True)
    assert mode == Mode(0.0, 0.5, 0.5, 0.2 / 4, 2)
    assert not mode.identical_predictions
    assert Mode.of_plain(timed, 4, labelled=True) == Mode(0.5, 1.0, 0.0, 0.001, 0)


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
        "six_boards",
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


def test_closing_words_say_what_boards_would_bring() -> None:
    words = report.closing_words(_result())
    assert (
        "A: 3000 ms an image on one by plain Keras, 2000 ms by the light engine; with "
        "six more 500 ms, 6 and 4 times as fast."
    ) in words
    assert "B: 20 ms an image on one, and more workers would not pay." in words


def test_boards_are_those_of_a_plan() -> None:
    pi = PROFILES[report.BOARD]
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)])
    options: Any = {"objective": "latency", "calibration": pi}
    plan = fk.plan(model, workers=6, stragglers=2, **options)
    boards = Boards.of(plan)
    assert plan.alone is not None
    assert (boards.keras_seconds, boards.engine_seconds) == (
        plan.alone.keras,
        plan.alone.engine,
    )
    assert not boards.uses_workers
