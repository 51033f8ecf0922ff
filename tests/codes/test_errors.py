"""What cannot be a code, or cannot be decoded, is said clearly."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fcdcc_keras import codes
from fcdcc_keras.codes import CRME, Uncoded
from fcdcc_keras.codes.decoding import decoding_matrix
from fcdcc_keras.errors import DecodeError, FcdccError, PlanError

_CRME = {"name": "crme", "k_a": 4, "k_b": 4, "workers": 6}

BAD_CODES: dict[str, tuple[Callable[[], Any], str]] = {
    "no blocks": (lambda: CRME(0, 4, 6), "`k_a` must be an integer of at least 1"),
    "negative": (lambda: Uncoded(2, -3, 6), "`k_b` must be an integer of at least 1"),
    "fraction": (lambda: CRME(4, 4.0, 6), "k_b=4.0"),  # type: ignore[arg-type]
    "boolean": (lambda: CRME(True, 4, 6), "k_a=True"),
    "no workers": (lambda: CRME(4, 4, 0), "`workers` must be an integer of at least"),
    "workers as text": (lambda: CRME(4, 4, "6"), "workers='6'"),  # type: ignore[arg-type]
    "odd k_A": (lambda: CRME(3, 4, 6), r"even number .* k_a=3. Use 2 or 4"),
    "odd k_B": (lambda: CRME(4, 5, 6), r"even number .* k_b=5. Use 4 or 6"),
    "small q": (lambda: CRME(4, 4, 6, q=5), r"integer q of at least .* q=5, workers=6"),
    "fractional q": (lambda: CRME(4, 4, 6, q=6.5), "q=6.5"),  # type: ignore[arg-type]
    "too few workers": (lambda: CRME(8, 8, 15), r"as many workers .* which needs 16"),
    "too few for one side": (lambda: CRME(1, 8, 3), "which needs 4"),
    "uncoded spare": (lambda: Uncoded(2, 3, 7), r"exactly one worker .* workers=7"),
    "uncoded lacking": (lambda: Uncoded(2, 3, 5), r"Use workers=6, or a code"),
    "unknown name": (lambda: codes.get("turbo"), r"'crme', .*'uncoded'.* 'turbo'"),
    "unhashable name": (lambda: codes.get([]), r"Received: \[\]"),  # type: ignore[arg-type]
    "no name": (lambda: codes.from_dict({"k_a": 4}), "Received: None"),
    "unknown in data": (lambda: codes.from_dict(_CRME | {"name": "ldpc"}), "'ldpc'"),
    "extra parameter": (lambda: codes.from_dict(_CRME | {"z": 1}), r"those of .* 'z'"),
    "lacking parameter": (
        lambda: codes.from_dict({"name": "uncoded", "k_a": 1, "k_b": 1}),
        "missing .*'workers'",
    ),
    "bad value": (lambda: codes.from_dict(_CRME | {"k_b": 8}), "which needs 8"),
}


@pytest.mark.parametrize(("make", "match"), BAD_CODES.values(), ids=BAD_CODES)
def test_bad_codes(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(PlanError, match=match) as caught:
        make()
    assert "Received:" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FcdccError)


@pytest.mark.parametrize(
    ("survivors", "match"),
    [
        ((), "needs the results of 4 workers. Received: 0"),
        ((0, 1, 2), r"needs the results of 4 workers. Received: 3.*Wait"),
        ((0, 1, 2, 2), "distinct workers from 0 to 5"),
        ((0, 1, 2, 6), "distinct workers from 0 to 5"),
        ((-1, 0, 1, 2), "distinct workers from 0 to 5"),
    ],
)
def test_survivors_that_cannot_be_decoded(
    survivors: tuple[int, ...], match: str
) -> None:
    with pytest.raises(DecodeError, match=match) as caught:
        CRME(4, 4, 6).decoder(survivors)
    assert "Received:" in str(caught.value)


@pytest.mark.parametrize(
    "generator",
    [np.ones((2, 1)), np.ones((2, 2)), np.array([[1.0, 2, 3], [2, 4, 6]])],
    ids=["too few", "equal", "dependent"],
)
def test_generators_that_determine_nothing(generator: np.ndarray) -> None:
    with pytest.raises(DecodeError, match=r"every block.*2 unknown blocks"):
        decoding_matrix(generator)


def test_uncoded_needs_everyone() -> None:
    code = Uncoded(2, 3, 6)
    assert code.stragglers == 0
    with pytest.raises(DecodeError, match="needs the results of 6 workers"):
        code.decoder([0, 1, 2, 3, 4])


def test_decodable_counts_distinct_workers() -> None:
    code = CRME(4, 4, 6)
    assert code.decodable([5, 0, 3, 2])
    assert not code.decodable([5, 0, 3, 3])
    assert not code.decodable([])


def test_names_can_all_be_got() -> None:
    assert set(codes.names()) >= {"crme", "uncoded"}
    assert [codes.get(name).name for name in codes.names()] == list(codes.names())
