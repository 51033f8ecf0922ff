"""Certifying a code: over all its survivor sets, or a sample and its worst enemy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice

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
_SAMPLES = 2_000
_GLANCE = 200
_FIRST = 40
_FEW = 300
"""Random sets of which the worst is beyond the 99th percentile of all with a
probability of 95%: 0.99³⁰⁰ = 0.05."""
_MANY_BLOCKS = 192
"""k_A·k_B beyond which few sets are tried: of 2,000 each would take half a minute."""


MOST_WORKERS = 1_024
"""n up to which codes are certified."""
MOST_BLOCKS = 512
"""k_A·k_B up to which codes are certified: a set takes time ∝ its cube, seconds
beyond, and float32 is of no use there."""


MOST_COMPARED = 128
"""n up to which all codes with δ = n − γ can be certified: those have 4·δ blocks."""


def check_certifiable(workers: int, most: int = MOST_WORKERS) -> None:
    """Checks that codes for n workers can be certified in some time.

    Args:
        workers: n.
        most: Of them.

    Raises:
        PlanError: There are too many.
    """
    if workers > most:
        raise PlanError(
            f"Codes can be certified for {most} workers at most. Received: "
            f"workers={workers}. Give fewer `workers`; what more of them would do "
            "can be simulated (`fcdcc_keras.simulation`)."
        )


def certifiable(code: Code) -> bool:
    """Returns whether a code can be certified in some time."""
    # Where none may be missing, there is but one set.
    return code.k_a * code.k_b <= MOST_BLOCKS or code.stragglers == 0


def certify(code: Code, *, samples: int | None = None, seed: int = 0) -> Certificate:
    """Returns how much error any allowed survivor set can cause; cached.

    All sets of δ workers are tried where that is affordable. Otherwise random ones
    give the percentiles, and a search that swaps survivors for the worse gives the
    worst.

    Args:
        code: The code.
        samples: Random survivor sets, where not all are tried. Default: 2,000; of more
            than 192 blocks k_A·k_B 300, the worst of which then stands for the 99th
            percentile, and is beyond it with a probability of 95%.
        seed: Seed of the sample and of the search.

    Raises:
        PlanError: There is no such code, or no such sample, or it is too large.
    """
    check_type("code", code, Code, "Make one, as fk.codes.get('crme')(4, 4, 6).")
    if samples is not None:
        check_integer("samples", samples, least=1)
    check_integer("seed", seed, least=0)
    check_certifiable(code.workers)
    if not certifiable(code):
        raise PlanError(
            f"Codes can be certified for k_a·k_b={MOST_BLOCKS} blocks at most. "
            f"Received: k_a={code.k_a}, k_b={code.k_b}. Cut into fewer."
        )
    return _certify(code, samples, seed)


def certified_within(code: Code, most: float) -> bool:
    """Returns whether the 99th percentile in a code's certificate is within a bound.

    It takes no search for the worst set, and ends as soon as it is known not to be.

    Args:
        code: The code.
        most: The bound.
    """
    return _of_certificate(code, None, 0).alpha_within(most) is not None


def screen(code: Code, *, seed: int = 0, most: float = math.inf) -> float:
    """Returns a quick estimate of the 99th percentile of α, to compare codes by.

    Args:
        code: The code.
        seed: Seed of the sample.
        most: What is of interest: infinity is returned as soon as it is known to be
            exceeded, of a bad code after a few sets.
    """
    few = _is_large(code)
    sample = _glance(code, _FEW if few else _GLANCE, seed, few)
    alpha = sample.alpha_within(most)
    return math.inf if alpha is None else sample.percentile_99(alpha)


def all_within(code: Code, most: float) -> bool:
    """Returns whether α of the first few survivor sets of a sample is within a bound.

    Args:
        code: The code.
        most: The bound.
    """
    return _glance(code, _FIRST, 0, few=True).alpha_within(most) is not None


def glance(code: Code, *, samples: int = _GLANCE, seed: int = 0) -> tuple[float, float]:
    """Returns quick estimates of the median and the 99th percentile of α.

    Args:
        code: The code.
        samples: Random survivor sets, where there are more than that.
        seed: Seed of the sample.
    """
    sample = _glance(code, samples, seed)
    alpha = sample.alpha()
    return float(np.median(alpha)), sample.percentile_99(alpha)


@lru_cache(maxsize=4096)
def _certify(code: Code, samples: int | None, seed: int) -> Certificate:
    sample = _of_certificate(code, samples, seed)
    alpha, sets = sample.alpha(), sample.sets(sample.count)
    worst = sets[int(alpha.argmax())]
    if not sample.exact:
        found = np.array(_worst(code, worst, seed))
        if _alpha(code, found[None])[0] > alpha.max():
            worst = found
    some = sets if sample.exact else sets[:_CONDITIONED]
    conditions = _conditions(code, some)
    worst_condition = _conditions(code, worst[None])[0]
    return Certificate(
        amplification_worst=float(max(_alpha(code, worst[None])[0], alpha.max())),
        amplification_99=sample.percentile_99(alpha),
        amplification_median=float(np.median(alpha)),
        condition_worst=float(max(conditions.max(), worst_condition)),
        condition_median=float(np.median(conditions)),
        worst_survivors=tuple(int(w) for w in worst),
        exact=sample.exact,
        sets=len(sets),
    )


@dataclass(frozen=True)
class _Sample:
    """Survivor sets of a code; of random ones the first are the same in any number."""

    code: Code
    seed: int
    count: int
    """How many sets."""
    exact: bool
    """Whether they are all that there are."""
    few: bool
    """Whether they are so few that the worst stands for the 99th percentile."""

    def sets(self, number: int) -> np.ndarray:
        """Returns the first sets, shape ``(number, δ)``."""
        n, threshold = self.code.workers, self.code.recovery_threshold
        if self.exact:
            every = combinations(range(n), threshold)
            return np.array(list(islice(every, number)))
        rng = np.random.default_rng(self.seed)
        draws = [rng.choice(n, threshold, replace=False) for _ in range(number)]
        return np.sort(draws, axis=1)

    def alpha(self, number: int | None = None) -> np.ndarray:
        """Returns α of the first sets, computed once; None: of all of them."""
        number = self.count if number is None else number
        known = _known(self.code, self.seed, self.exact)
        alpha = known.alpha
        if len(alpha) < number:
            new = self.sets(number)[len(alpha) :]
            alpha = known.alpha = np.append(alpha, _alpha(self.code, new))
        return alpha[:number]

    def alpha_within(self, most: float) -> np.ndarray | None:
        """Returns α of all sets; None as soon as the percentile exceeds a bound."""
        allowed, tried = self.count - 1 - self._place, 0
        alpha = np.empty(0)
        while tried < self.count:
            tried = min(self.count, max(2 * tried, allowed + 1))
            alpha = self.alpha(tried)
            if (alpha > most).sum() > allowed:
                return None
        return alpha

    def percentile_99(self, alpha: np.ndarray) -> float:
        """Returns the 99th percentile, by α of all sets."""
        return float(np.sort(alpha)[self._place])

    @property
    def _place(self) -> int:
        """Which set, by rising α, has the 99th percentile."""
        return self.count - 1 if self.few else math.ceil(0.99 * (self.count - 1))


class _Known:
    """α of the first survivor sets of a code, as far as they were asked for."""

    def __init__(self) -> None:
        self.alpha = np.empty(0)


@lru_cache(maxsize=4096)
def _known(code: Code, seed: int, exact: bool) -> _Known:
    return _Known()


def _of_certificate(code: Code, samples: int | None, seed: int) -> _Sample:
    if _all_affordable(code):
        return _Sample(code, seed, _count(code), exact=True, few=False)
    few = samples is None and _is_large(code)
    count = samples or (_FEW if few else _SAMPLES)
    return _Sample(code, seed, count, exact=False, few=few)


def _glance(code: Code, samples: int, seed: int, few: bool = False) -> _Sample:
    total = _count(code)
    return _Sample(code, seed, min(samples, total), total <= samples, few)


def _is_large(code: Code) -> bool:
    return code.k_a * code.k_b > _MANY_BLOCKS and not _all_affordable(code)


def _all_affordable(code: Code) -> bool:
    total = _count(code)
    return total <= _EXACT_SETS and total * (code.k_a * code.k_b) ** 3 <= _EXACT_WORK


def _worst(code: Code, start: np.ndarray, seed: int) -> tuple[int, ...]:
    known = code.worst_survivors
    return known or worst_survivors(code, start=start, seed=seed)


def _count(code: Code) -> int:
    return math.comb(code.workers, code.recovery_threshold)


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
