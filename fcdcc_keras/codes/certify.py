"""Certifying a code: over all its survivor sets, or a sample and its worst enemy."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations

import numpy as np

from fcdcc_keras.checks import check_integer, check_type
from fcdcc_keras.codes.adversary import worst_survivors
from fcdcc_keras.codes.amplification import amplifications, condition_numbers
from fcdcc_keras.codes.base import Code
from fcdcc_keras.codes.certificate import Certificate
from fcdcc_keras.codes.figures import conditioned
from fcdcc_keras.errors import PlanError

_EXACT_WORK = 3e9
"""Sets times (k_A·k_B)³ up to which all are tried: some ten seconds."""
_EXACT_SETS = 20_000
_CONDITIONED = 200
"""Sets whose condition numbers are taken for their median."""


MOST_WORKERS = 128
"""n up to which codes are certified: it takes time ∝ n³ and more, minutes there, and
float32 is of no use far below."""


def check_certifiable(workers: int) -> None:
    """Checks that codes for n workers can be certified in some time.

    Raises:
        PlanError: There are too many.
    """
    if workers > MOST_WORKERS:
        raise PlanError(
            f"Codes can be certified for {MOST_WORKERS} workers at most. Received: "
            f"workers={workers}. Give fewer `workers`; what more of them would do "
            "can be simulated (`fcdcc_keras.simulation`)."
        )


def certify(code: Code, *, samples: int = 2_000, seed: int = 0) -> Certificate:
    """Returns how much error any allowed survivor set can cause; cached.

    All sets of δ workers are tried where that is affordable. Otherwise ``samples``
    random ones give the percentiles, and a search that swaps survivors for the
    worse gives the worst.

    Args:
        code: The code.
        samples: Random survivor sets, where not all are tried.
        seed: Seed of the sample and of the search.

    Raises:
        PlanError: There is no such code, or no such sample, or n is too large.
    """
    check_type("code", code, Code, "Make one, as fk.codes.get('crme')(4, 4, 6).")
    check_integer("samples", samples, least=1)
    check_integer("seed", seed, least=0)
    check_certifiable(code.workers)
    return _certify(code, samples, seed)


def screen(code: Code, *, samples: int = 200, seed: int = 0) -> float:
    """Returns a quick estimate of the 99th percentile of α, to compare codes by.

    Args:
        code: The code.
        samples: Random survivor sets, where there are more than that.
        seed: Seed of the sample.
    """
    return glance(code, samples=samples, seed=seed)[1]


@lru_cache(maxsize=4096)
def glance(code: Code, *, samples: int = 200, seed: int = 0) -> tuple[float, float]:
    """Returns quick estimates of the median and the 99th percentile of α.

    Args:
        code: The code.
        samples: Random survivor sets, where there are more than that.
        seed: Seed of the sample.
    """
    alpha = _alpha(code, _sets(code, samples, seed, exact=_count(code) <= samples))
    return float(np.median(alpha)), float(np.percentile(alpha, 99, method="higher"))


@lru_cache(maxsize=4096)
def _certify(code: Code, samples: int, seed: int) -> Certificate:
    total = _count(code)
    exact = total <= _EXACT_SETS and total * (code.k_a * code.k_b) ** 3 <= _EXACT_WORK
    sets = _sets(code, samples, seed, exact=exact)
    alpha = _alpha(code, sets)
    worst = sets[int(alpha.argmax())]
    if not exact:
        found = np.array(_worst(code, worst, seed))
        if _alpha(code, found[None])[0] > alpha.max():
            worst = found
    some = sets if exact else sets[:_CONDITIONED]
    conditions = _conditions(code, some)
    worst_condition = _conditions(code, worst[None])[0]
    return Certificate(
        amplification_worst=float(max(_alpha(code, worst[None])[0], alpha.max())),
        amplification_99=float(np.percentile(alpha, 99, method="higher")),
        amplification_median=float(np.median(alpha)),
        condition_worst=float(max(conditions.max(), worst_condition)),
        condition_median=float(np.median(conditions)),
        worst_survivors=tuple(int(w) for w in worst),
        exact=exact,
        sets=len(sets),
    )


def _worst(code: Code, start: np.ndarray, seed: int) -> tuple[int, ...]:
    known = code.worst_survivors
    return known or worst_survivors(code, start=start, seed=seed)


def _count(code: Code) -> int:
    return math.comb(code.workers, code.recovery_threshold)


def _sets(code: Code, samples: int, seed: int, *, exact: bool) -> np.ndarray:
    n, threshold = code.workers, code.recovery_threshold
    if exact:
        return np.array(list(combinations(range(n), threshold)))
    rng = np.random.default_rng(seed)
    draws = [rng.choice(n, threshold, replace=False) for _ in range(samples)]
    return np.sort(draws, axis=1)


def _alpha(code: Code, sets: np.ndarray) -> np.ndarray:
    if _square(code):
        return amplifications(code, sets)
    found = [code.decoder(s).amplification for s in sets.tolist()]
    return conditioned(np.array(found))


def _conditions(code: Code, sets: np.ndarray) -> np.ndarray:
    if _square(code):
        return condition_numbers(code, sets)
    found = [code.decoder(s).condition_number for s in sets.tolist()]
    return conditioned(np.array(found))


def _square(code: Code) -> bool:
    # Not so for replication, whose δ workers hold some blocks twice.
    return code.recovery_threshold * code.ell_a * code.ell_b == code.k_a * code.k_b
