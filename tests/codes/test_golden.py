"""CRME against matrices and figures that were computed independently."""

import json
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fcdcc_keras.codes import CRME, odd_q
from fcdcc_keras.codes.decoding import condition_number, decoding_matrix

_GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "crme_golden.json").read_text("utf-8")
)
_TOLERANCE = 1e-9


def _label(entry: dict[str, Any]) -> str:
    return "k={k_a},{k_b} n={workers} q={q}".format_map(entry)


def _code(entry: dict[str, Any]) -> CRME:
    return CRME(entry["k_a"], entry["k_b"], entry["workers"], entry["q"])


@pytest.fixture(params=_GOLDEN, ids=_label)
def entry(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def test_the_file_covers_both_choices_of_q_and_both_uncoded_sides() -> None:
    assert len(_GOLDEN) == 19
    assert {e["q"] - e["workers"] for e in _GOLDEN} >= {0, 1}
    assert {1} < {e["k_a"] for e in _GOLDEN}
    assert {1} < {e["k_b"] for e in _GOLDEN}


@pytest.mark.parametrize(
    "entry", [e for e in _GOLDEN if "input_matrix" in e], ids=_label
)
@pytest.mark.parametrize("side", ["input_matrix", "kernel_matrix"])
def test_matrices(entry: dict[str, Any], side: str) -> None:
    np.testing.assert_allclose(
        getattr(_code(entry), side), entry[side], rtol=0, atol=_TOLERANCE
    )


def test_recovery_threshold(entry: dict[str, Any]) -> None:
    code = _code(entry)
    assert code.recovery_threshold == entry["recovery_threshold"]
    assert code.stragglers == entry["workers"] - entry["recovery_threshold"]


def test_decoder_of_the_worst_survivors(entry: dict[str, Any]) -> None:
    decoder = _code(entry).decoder(entry["worst_survivors"])
    assert decoder.condition_number == pytest.approx(
        entry["cond_worst"], rel=_TOLERANCE
    )
    assert decoder.amplification == pytest.approx(
        entry["amplification_worst"], rel=_TOLERANCE
    )


def test_figures_over_all_survivor_sets(entry: dict[str, Any]) -> None:
    code = _code(entry)
    # Columns of one large generator: building each set's anew takes most of the time.
    everyone = code.generator(range(code.workers))
    each = everyone.shape[1] // code.workers
    by_worker = everyone.reshape(len(everyone), code.workers, each)
    conditions, amplifications = [], []
    with threadpool_limits(1):  # a second thread costs more than it does here
        for survivors in combinations(range(code.workers), code.recovery_threshold):
            generator = by_worker[:, survivors].reshape(len(everyone), -1)
            conditions.append(condition_number(generator))
            amplifications.append(decoding_matrix(generator)[1])
    assert len(conditions) == entry["subsets"]
    figures = {
        "cond_worst": max(conditions),
        "cond_median": median(conditions),
        "amplification_worst": max(amplifications),
        "amplification_median": median(amplifications),
    }
    assert figures == pytest.approx({k: entry[k] for k in figures}, rel=_TOLERANCE)


@pytest.mark.parametrize(("workers", "q"), [(1, 1), (2, 3), (5, 5), (6, 7), (20, 21)])
def test_odd_q_is_the_smallest_odd_number_of_at_least_n(workers: int, q: int) -> None:
    assert odd_q(workers) == q


def test_q_is_n_by_default() -> None:
    assert CRME(4, 4, 6) == CRME(4, 4, 6, q=6)
    assert CRME(4, 4, 6) != CRME(4, 4, 6, q=7)
