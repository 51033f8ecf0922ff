"""Certificates: exact where all sets are tried, and an adversary where they are not."""

import json
import math
import sys
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from fcdcc_keras.codes import (
    CRME,
    Certificate,
    Chebyshev,
    KhatriRao,
    Quaternion,
    Replication,
    Systematic,
    Uncoded,
    adversary,
    amplification,
    certify,
)
from fcdcc_keras.codes.adversary import worst_survivors
from fcdcc_keras.codes.amplification import amplifications
from fcdcc_keras.codes.certify import MOST_BLOCKS, all_within, glance, screen
from fcdcc_keras.codes.quaternion import left_multiplications
from fcdcc_keras.errors import PlanError

GOLDEN = json.loads((Path(__file__).parents[1] / "data/crme_golden.json").read_text())
_ROUNDED = 5e-6
"""Half a unit of the last of six digits, of the smallest number that has them."""


@pytest.mark.parametrize(
    "entry",
    GOLDEN,
    ids=lambda e: f"{e['k_a']},{e['k_b']} n={e['workers']} q={e['q']}",
)
def test_certificates_of_crme_are_the_golden_ones(entry):
    code = CRME(entry["k_a"], entry["k_b"], entry["workers"], entry["q"])
    certificate = certify(code)
    assert certificate.exact
    assert certificate.sets == entry["subsets"]
    for found, name in (
        (certificate.amplification_worst, "amplification_worst"),
        (certificate.amplification_median, "amplification_median"),
        (certificate.condition_worst, "cond_worst"),
        (certificate.condition_median, "cond_median"),
    ):
        assert found == pytest.approx(entry[name], rel=_ROUNDED)


def test_certificate_is_that_of_the_decoders(code):
    n, threshold = code.workers, code.recovery_threshold
    if math.comb(n, threshold) > 300:
        pytest.skip("too many sets to go through one by one")
    decoders = [code.decoder(s) for s in combinations(range(n), threshold)]
    alphas = [decoder.amplification for decoder in decoders]
    certificate = certify(code)
    assert certificate.exact
    assert certificate.amplification_worst == pytest.approx(max(alphas), rel=_ROUNDED)
    median = np.median(alphas)
    assert certificate.amplification_median == pytest.approx(median, rel=_ROUNDED)
    assert certificate.amplification_99 <= certificate.amplification_worst
    worst = code.decoder(certificate.worst_survivors)
    assert worst.amplification == pytest.approx(max(alphas), rel=_ROUNDED)


def test_adversary_finds_the_worst_of_all_sets():
    # 4845 sets each, of which the sample of a search sees none.
    for code in (CRME(8, 8, 20), Quaternion(64, 1, 20), KhatriRao(4, 4, 20)):
        exact = certify(code).amplification_worst
        start = np.arange(0, 16)
        found = np.array([worst_survivors(code, start, seed=1)])
        assert amplifications(code, found)[0] >= 0.5 * exact


def test_adversary_finds_crmes_neighbours_at_sixty():
    certificate = certify(CRME(64, 1, 60), samples=100)
    assert not certificate.exact
    assert certificate.amplification_worst > 1e12
    assert certificate.condition_worst > 1e13
    ring = np.diff([*certificate.worst_survivors, certificate.worst_survivors[0] + 60])
    assert (ring != 1).sum() <= 2  # one run of neighbours, or nearly


@pytest.mark.parametrize("code", [Replication(2, 1, 30), Replication(3, 1, 31)])
def test_replications_worst_is_one_copy_of_a_block(code):
    # A sample of 145 million sets never has it.
    certificate = certify(code, samples=100)
    assert not certificate.exact
    assert certificate.amplification_worst == 1.0
    assert certificate.amplification_99 < 1.0
    assert code.decoder(certificate.worst_survivors).amplification == 1.0


def test_sets_that_cannot_be_decoded_amplify_without_limit():
    certificate = certify(Chebyshev(32, 1, 60), samples=100)
    assert certificate.amplification_worst > 1e15
    assert not math.isnan(certificate.amplification_worst)


def test_quaternions_at_sixty_are_of_use():
    certificate = certify(Quaternion(128, 1, 60), samples=300)
    assert certificate.amplification_99 < 60
    assert certificate.amplification_worst < 1e3


def test_error_is_predicted_for_each_type():
    certificate = Certificate(100.0, 50.0, 2.0, 9.0, 3.0, (0, 1), True, 6)
    few = {"terms": 9}  # then blocked sums and others are the same
    assert certificate.error(**few) == pytest.approx(1e-5)
    assert certificate.error("float32", worst=True, **few) == pytest.approx(2e-5)
    assert certificate.error("float64") == pytest.approx(50 * 3.7e-16)
    assert certificate.error("bfloat16", **few) == pytest.approx(1e-5 + 2**-8)
    assert certificate.error("float16", **few) == pytest.approx(1e-5 + 2**-11)
    # A unit roundoff for each root of a term, on the least exact engine.
    assert certificate.error(terms=4096) == pytest.approx(50 * 64 * 2**-24)
    with pytest.raises(PlanError, match=r"`dtype` must be one of.*'int8'"):
        certificate.error("int8")


def test_certificate_survives_json():
    certificate = certify(CRME(4, 4, 6))
    data = json.loads(json.dumps(certificate.to_dict()))
    assert Certificate.from_dict(data) == certificate
    with pytest.raises(PlanError, match=r"what `to_dict` writes. Received"):
        Certificate.from_dict({"exact": True})


def test_certificates_are_remembered_and_the_same_each_time():
    code = Quaternion(16, 4, 24)
    first = certify(code, samples=200)
    assert certify(Quaternion(16, 4, 24), samples=200) is first
    assert first.sets == 200
    assert certify(code, samples=201) is not first


@pytest.mark.parametrize("code", [CRME(8, 1, 8), KhatriRao(4, 1, 8)], ids=str)
def test_a_descent_ends_where_no_swap_is_worse(code):
    sets = list(combinations(range(8), 4))
    alphas = dict(zip(sets, amplifications(code, np.array(sets)), strict=True))
    columns = adversary.scaled(code)
    best = min(sets, key=alphas.__getitem__)
    alpha, found = adversary._descend(columns, np.array(best), 16)
    assert alpha == pytest.approx(alphas[tuple(found)])
    assert alpha > alphas[best]
    for out, into in product(found, set(range(8)) - {*found}):
        swapped = tuple(sorted({*found.tolist(), into} - {out}))
        assert alphas[swapped] <= alpha * (1 + 1e-9)


def _swaps(columns, survivors, tried):
    decoding = adversary.inverse(columns, survivors)
    return adversary._shrinking_swaps(columns, survivors, decoding, tried)


def test_swaps_are_tried_from_the_smallest_determinant_on():
    code, survivors = CRME(8, 1, 8), np.array([0, 2, 4, 6])
    columns = adversary.scaled(code)
    swaps, _ = _swaps(columns, survivors, 16)
    determinants = [
        abs(np.linalg.det(np.hstack(list(columns[swap])))) for swap in swaps
    ]
    assert len({tuple(swap) for swap in swaps}) == 16
    assert all(len({*swap} & {*survivors}) == 3 for swap in swaps.tolist())
    assert (np.diff(determinants) >= -1e-12).all()
    few, _ = _swaps(columns, survivors, 3)
    np.testing.assert_array_equal(few, swaps[:3])
    none, _ = _swaps(columns[:4], np.arange(4), 3)
    assert (none.shape, none.dtype) == ((0, 4), int)


@pytest.mark.parametrize(
    "code", [CRME(8, 4, 12), Quaternion(16, 2, 11), KhatriRao(3, 2, 9)], ids=str
)
def test_what_a_swap_amplifies_is_that_of_the_set_after_it(code):
    columns = adversary.scaled(code)
    for survivors in _some_sets(code, 5):
        swaps, alphas = _swaps(columns, survivors, 24)
        expected = amplifications(code, swaps)
        np.testing.assert_allclose(alphas, expected, rtol=1e-5)


def test_a_swap_that_cannot_be_decoded_amplifies_without_limit():
    # The fifth worker holds what the first one does.
    columns = np.concatenate([np.eye(4), np.eye(4)[:1]])[..., None]
    swaps, alphas = _swaps(columns, np.arange(4), 16)
    by_set = {tuple(swap): alpha for swap, alpha in zip(swaps, alphas, strict=True)}
    assert by_set[1, 2, 3, 4] == 1
    assert by_set[0, 2, 3, 4] == math.inf
    found, _ = adversary._descend(columns, np.arange(4), 16)
    assert found == math.inf


def _some_sets(code, number):
    rng = np.random.default_rng(0)
    threshold = code.recovery_threshold
    draws = [rng.choice(code.workers, threshold, replace=False) for _ in range(number)]
    return np.sort(draws, axis=1)


def test_a_glance_is_of_the_sets_of_its_seed():
    code = Quaternion(16, 4, 24)
    assert screen(code, seed=1) != screen(code, seed=2)
    assert screen(code) == screen(code, seed=0)
    assert glance(code, samples=50)[0] < screen(code)
    exact = certify(CRME(4, 4, 6))
    assert glance(CRME(4, 4, 6)) == (
        exact.amplification_median,
        exact.amplification_99,
    )


@pytest.fixture
def sets_tried(monkeypatch):
    """The number of survivor sets of each call that computes their α."""
    tried = []
    module = sys.modules["fcdcc_keras.codes.certify"]
    alpha = module._alpha

    def counted(code, sets):
        tried.append(len(sets))
        return alpha(code, sets)

    monkeypatch.setattr(module, "_alpha", counted)
    return tried


def test_a_glance_at_a_bad_code_ends_after_a_few_sets(sets_tried):
    code = KhatriRao(24, 1, 41)
    assert not all_within(code, 1.5)
    assert sum(sets_tried) == 1
    assert screen(code, most=1.5) == math.inf
    assert sum(sets_tried) == 2  # of 200 one may exceed it
    full = screen(code)
    assert sum(sets_tried) == 200  # those known before were not computed again
    expected = glance(KhatriRao(24, 1, 41), samples=200)[1]
    assert full == screen(code, most=full) == expected
    assert screen(code, most=full * 0.999) == math.inf


def test_of_many_blocks_the_worst_of_few_sets_counts(monkeypatch):
    module = sys.modules["fcdcc_keras.codes.certify"]
    monkeypatch.setattr(module, "_MANY_BLOCKS", 12)
    monkeypatch.setattr(module, "_EXACT_SETS", 10)
    code = Quaternion(16, 1, 13, seed=5)
    found = certify(code)
    assert (found.sets, found.exact) == (300, False)
    rng = np.random.default_rng(0)
    draws = [rng.choice(13, 4, replace=False) for _ in range(300)]
    alphas = [code.decoder(draw.tolist()).amplification for draw in draws]
    assert found.amplification_99 == pytest.approx(max(alphas), rel=_ROUNDED)
    assert found.amplification_99 == screen(code)
    every = [code.decoder(s).amplification for s in combinations(range(13), 4)]
    assert found.amplification_99 >= np.percentile(every, 99)


def test_generators_are_those_of_each_worker(code):
    side = code.quaternion_side
    if not side:
        for worker, found in enumerate(amplification.generators(code)):
            np.testing.assert_array_equal(found, code.generator([worker]))
        return
    reals = code.k_b if side == "input" else code.k_a
    for worker, found in enumerate(amplification.generators(code)):
        alpha, beta = found[::2].T
        np.testing.assert_array_equal(found[1::2].T, [-beta.conj(), alpha.conj()])
        q = np.array([alpha.real, alpha.imag, beta.real, beta.imag]).T[:, None]
        blocks = left_multiplications(q).reshape(-1, 4, 4)
        if side == "input":
            blocks = blocks.reshape(reals, -1, 4, 4).transpose(1, 2, 0, 3)
        expected = blocks.reshape(-1, 4)
        np.testing.assert_array_equal(expected, code.generator([worker]))


@pytest.mark.parametrize(
    "code",
    [
        Quaternion(8, 3, 9),
        Quaternion(3, 8, 9),
        Systematic(4, 6, 9, parity="quaternion"),
        Systematic(2, 12, 9, parity="quaternion"),
    ],
    ids=str,
)
def test_quaternions_are_solved_for_in_half_the_rows(code, monkeypatch):
    sizes = []
    solve = np.linalg.solve

    def counted(matrices, wanted):
        sizes.append((matrices.shape[1:], wanted.shape))
        return solve(matrices, wanted)

    monkeypatch.setattr(np.linalg, "solve", counted)
    sets = np.array(list(combinations(range(9), 6)))
    found = amplifications(code, sets)
    conditions = amplification.condition_numbers(code, sets)
    assert sizes == [((12, 12), (12, 6))]
    for chosen, alpha, condition in zip(sets, found, conditions, strict=True):
        decoder = code.decoder(chosen.tolist())
        assert alpha == pytest.approx(decoder.amplification, rel=_ROUNDED)
        assert condition == pytest.approx(decoder.condition_number, rel=_ROUNDED)


def test_too_many_blocks():
    with pytest.raises(PlanError, match=rf"k_a·k_b={MOST_BLOCKS} .*k_a=516, k_b=1"):
        certify(Quaternion(516, 1, 200))
    assert certify(Uncoded(1000, 1, 1000)).amplification_worst == 1


def test_random_columns_are_of_unit_norm():
    code = Quaternion(8, 3, 61)  # of which there is no searched one
    assert (code.ell_a, code.ell_b) == (4, 1)
    np.testing.assert_allclose(np.linalg.norm(code.kernel_matrix, axis=0), 1)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"code": "crme"}, "`code` must be a Code. Received: code='crme'"),
        ({"code": CRME}, "`code` must be a Code"),
        ({"samples": 0}, "`samples` must be an integer of at least 1"),
        ({"samples": [5]}, "`samples` must be an integer"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
    ],
)
def test_what_cannot_be_certified(options, match):
    with pytest.raises(PlanError, match=match):
        certify(**{"code": CRME(4, 4, 6), **options})
