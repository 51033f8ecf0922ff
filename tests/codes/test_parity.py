"""Parity equations: what they turn into zeros, and what they show."""

from itertools import combinations

import numpy as np
import pytest

from fcdcc_keras.codes import CRME, Code, Replication
from fcdcc_keras.codes.parity import (
    FALSE_ALARM,
    Parity,
    parity,
    redundant,
    rounding_limit,
)
from fcdcc_keras.programs.exactness import plain_error

EXACT = 1e-11


def _some(code: Code, count: int) -> list[int]:
    order = np.random.default_rng(count).permutation(code.workers)
    return sorted(order[:count].tolist())


def test_true_results_leave_nothing(code: Code) -> None:
    for count in range(code.recovery_threshold, code.workers + 1):
        workers = _some(code, count)
        generator = code.generator(workers)
        equations = parity(code, reversed(workers))
        blocks, results = generator.shape
        assert equations.matrix.shape == (results, results - blocks)
        left = generator @ equations.matrix
        assert np.abs(left).max(initial=0) < EXACT


def _visibility(equations: Parity) -> np.ndarray:
    """Returns the part of an error of each result that the residual shows."""
    return np.linalg.norm(equations.matrix, axis=1) * equations.norms


def test_noise_is_not_amplified(code: Code) -> None:
    equations = parity(code, range(code.workers))
    scaled = equations.matrix * equations.norms[:, None]
    gram = scaled.T @ scaled
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=EXACT)
    assert np.all(_visibility(equations) <= 1 + EXACT)


def test_errors_show_exactly_of_workers_whom_the_others_do_without(code: Code) -> None:
    each = code.ell_a * code.ell_b
    for count in range(code.recovery_threshold, code.workers + 1):
        workers = _some(code, count)
        visibility = _visibility(parity(code, workers))
        for index, worker in enumerate(workers):
            others = [w for w in workers if w != worker]
            of_worker = visibility[index * each : (index + 1) * each]
            assert (of_worker.min() > 1e-7) == code.decodable(others)


def test_what_hardly_shows_hardly_matters(code: Code) -> None:
    """An error of one worker, and the residual that it leaves."""
    if not code.stragglers:
        return
    each = code.ell_a * code.ell_b
    for count in range(code.recovery_threshold + 1, code.workers + 1):
        workers = _some(code, count)
        equations, decoder = parity(code, workers), code.decoder(workers)
        for index, worker in enumerate(workers):
            mine = slice(index * each, (index + 1) * each)
            error_of_residual = np.linalg.pinv(equations.matrix[mine].T)
            gains = decoder.matrix[mine].T @ error_of_residual
            others = [w for w in workers if w != worker]
            alpha = code.decoder(others).amplification
            worst = np.linalg.norm(gains, axis=1).max()
            assert worst <= np.sqrt(1 + alpha**2) * (1 + 1e-9)


def test_redundant_is_decodable_without_any_so_many(code: Code) -> None:
    for spare in (0, 1, 2):
        for count in range(code.workers + 1):
            workers = _some(code, count)
            expected = all(
                code.decodable(set(workers) - set(missing))
                for missing in combinations(workers, min(spare, count))
            )
            assert redundant(code, workers, spare) == expected


def test_redundancy_of_replication_depends_on_who_is_there() -> None:
    code = Replication(3, 1, 9)  # worker w has block w mod 3
    assert redundant(code, [0, 1, 2, 3, 4, 5], 1)
    assert not redundant(code, [0, 1, 2, 3, 6, 4, 7], 1)  # block 2 but once
    assert not redundant(code, [0, 1, 2, 3, 4, 5, 6, 7], 2)
    assert redundant(code, range(9), 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_limit_is_that_of_gaussian_noise(dtype: str) -> None:
    sigma = plain_error(dtype, 300)
    one = rounding_limit(dtype, 300, 1.0, 1)
    many = rounding_limit(dtype, 300, 1.0, 10**6)
    assert 6 * sigma < one < many < 9 * sigma
    assert rounding_limit(dtype, 300, 5.0, 10**6) == pytest.approx(5 * many)
    # P(|e| > z) ≤ 2·exp(−z²/2), over all of them.
    assert 2e6 * np.exp(-((many / sigma) ** 2) / 2) == pytest.approx(FALSE_ALARM)


def test_equations_are_prepared_once() -> None:
    code = CRME(4, 4, 6)
    assert parity(code, [3, 1, 0, 5, 2]) is parity(CRME(4, 4, 6), (0, 1, 2, 3, 5))
