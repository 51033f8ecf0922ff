"""Choosing the code and split of each layer: the cheapest that is exact enough."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fcdcc_keras import codes
from fcdcc_keras.checks import is_number
from fcdcc_keras.codes import Code, certify
from fcdcc_keras.codes.certify import (
    all_within,
    certifiable,
    certified_within,
    check_certifiable,
    screen,
)
from fcdcc_keras.codes.figures import rounded
from fcdcc_keras.errors import PlanError, UnsupportedLayerError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning.cost import layer_cost
from fcdcc_keras.planning.layer_plan import LayerPlan
from fcdcc_keras.planning.objective import Objective
from fcdcc_keras.planning.redundancy import check_redundancy
from fcdcc_keras.programs.exactness import plain_error

AUTO = "auto"
TOLERANCE = {"float32": 1e-4, "float64": 3e-14}
"""Default of the largest relative error of a layer, by the type of its coding.

In float64 its square is 1e-27, the mean squared error that arXiv:2411.01579 reports
for AlexNet over 20 workers.
"""
_SAME_PRICE = 1.05
"""Prices up to this factor apart are equal, for the model is no better: the code
with the least error is taken."""
_SAME_PRICE_HEDGED = 1.005
"""The same where nobody is expected to be late: saving the coding counts, and plain
blocks are as exact as can be."""
_MANY_WORKERS = 128
"""n beyond which δ are thinned out, and most designs are excluded by smaller ones of
their kind."""
_THRESHOLD_BITS = 4
"""Of the δ that are tried there: at most an eighth apart, and with many divisors."""
_SMALLEST_RUNG = 8
_RANK_DIGITS = 9
"""Of what designs are compared by."""
UNPROTECTED = ("uncoded", "replication")
"""Codes that "auto" takes only where no worker may be missing."""


def candidates(
    code: str | Code | type[Code], workers: int, stragglers: int
) -> list[Code]:
    """Returns every code that lets any γ of n workers be missing.

    A δ below n − γ is included: it may divide a layer better (7 has no pair of
    even factors, 6 has four), at the price of more work for each worker. Codes that
    are too large to be certified are left out, and of many thresholds δ most.

    Args:
        code: "auto", a name, a code's class, or one code with its split.
        workers: n.
        stragglers: γ, the least number of workers that may be missing.

    Raises:
        PlanError: The code is unknown, or made for another n or a smaller γ.
    """
    check_redundancy(workers, stragglers)
    check_certifiable(workers)
    if isinstance(code, Code):
        if code.workers != workers or code.stragglers < stragglers:
            raise PlanError(
                f"A given code must be made for `workers` and tolerate `stragglers`. "
                f"Received: a code for {code.workers} workers that tolerates "
                f"{code.stragglers}, with workers={workers}, "
                f"stragglers={stragglers}. Make the code for these numbers."
            )
        return [code]
    designs = [
        design
        for family in families(code, stragglers)
        for threshold in _thresholds(workers, stragglers)
        for design in family.designs(workers, threshold)
        if certifiable(design)
    ]
    if not designs:
        raise PlanError(
            f"The code {code!r} cannot let {stragglers} of {workers} workers "
            f"be missing. Received: code={code!r}, workers={workers}, "
            f"stragglers={stragglers}. Use stragglers=0, or code='auto'."
        )
    return designs


def _thresholds(workers: int, stragglers: int) -> list[int]:
    """Returns the δ to try, the largest first."""
    most = workers - stragglers
    if workers <= _MANY_WORKERS:
        return list(range(most, 0, -1))
    few = [d for d in range(most - 1, 0, -1) if _is_round(d)]
    return [most, *few]


def _is_round(threshold: int) -> bool:
    """Returns whether a number has four significant binary digits."""
    step: int = 1 << max(0, threshold.bit_length() - _THRESHOLD_BITS)
    return threshold % step == 0


def plan_layer(
    path: str,
    geometry: ConvGeometry,
    *,
    workers: int,
    stragglers: int = 1,
    code: str | Code | type[Code] = AUTO,
    tolerance: float | None = None,
    dtype: str = "float32",
    hedged: bool | None = False,
    objective: Objective | None = None,
    holding: float = 0.0,
) -> LayerPlan:
    """Returns the cheapest plan for one layer that is exact enough.

    Args:
        path: Name of the layer, with the models it stands in.
        geometry: Sizes of the layer.
        workers: n.
        stragglers: γ, the least number of workers that may be missing.
        code: "auto", a name, a code's class, or one code with its split.
        tolerance: Largest relative error of the layer at the 99th percentile of
            survivor sets; default ``TOLERANCE``.
        dtype: Type in which the layer is coded: float32 or float64.
        hedged: Whether only as many workers as needed are sent to at first; None:
            whichever is better.
        objective: What is to be little; default: the price by ``Prices()``.
        holding: What each byte that a worker holds adds to that.

    Raises:
        PlanError: No code fits, or none is exact enough.
        UnsupportedLayerError: None codes only those sides that the layer allows.
    """
    objective = objective or Objective()
    tolerance = check_tolerance(tolerance, dtype)
    itemsize = 8 if dtype == "float64" else 4
    limit = tolerance / plain_error(dtype, geometry.terms)
    designs = [d for d in candidates(code, workers, stragglers) if suits(d, geometry)]
    if not designs:
        raise _not_suited(code, geometry)
    able = promising(designs, limit) if workers > _MANY_WORKERS else designs
    best: tuple[float, Code, bool] | None = None
    for late in (False, True) if hedged is None else (hedged,):
        priced = sorted(
            (
                (_rank(geometry, design, objective, itemsize, late, holding), design)
                for design in able
            ),
            key=lambda pair: pair[0],
        )
        same = _SAME_PRICE_HEDGED if late else _SAME_PRICE
        found = _most_exact_of_cheapest(priced, same, limit)
        if found is None:
            raise _not_exact_enough(able, tolerance, dtype, geometry)
        if best is None or found[0] < best[0]:
            best = (*found, late)
    assert best is not None
    _, design, late = best
    return LayerPlan.of(
        path,
        geometry,
        design,
        itemsize,
        hedged=late,
        objective=objective,
    )


def landscape(
    geometry: ConvGeometry,
    *,
    workers: int,
    stragglers: int,
    objective: Objective,
    code: str | Code | type[Code] = AUTO,
    hedged: bool = False,
) -> dict[tuple[int, int], tuple[float, Code]]:
    """Returns the best code of each split (k_A, k_B), with what it is ranked by.

    Args:
        geometry: Sizes of the layer.
        workers: n.
        stragglers: γ.
        objective: What is to be little.
        code: As for ``plan_layer``.
        hedged: Whether only as many workers as needed are sent to.
    """
    found: dict[tuple[int, int], tuple[float, Code]] = {}
    for design in candidates(code, workers, stragglers):
        if suits(design, geometry):
            rank = objective.rank(geometry, design, 4, hedged)
            split = design.k_a, design.k_b
            if split not in found or rank < found[split][0]:
                found[split] = rank, design
    return found


def suits(code: Code, geometry: ConvGeometry) -> bool:
    """Returns whether a code leaves uncoded what a layer's kind does not allow."""
    return (code.k_a == 1 or geometry.codes_input) and (
        code.k_b == 1 or geometry.codes_kernel
    )


def check_tolerance(tolerance: float | None, dtype: str) -> float:
    """Returns the tolerance, or its default for a type.

    Raises:
        PlanError: It is not a positive number.
    """
    if tolerance is None:
        return TOLERANCE[dtype]
    if not is_number(tolerance, least=math.ulp(0.0)):
        raise PlanError(
            "`tolerance` must be a positive number, the largest relative error. "
            f"Received: tolerance={tolerance!r}. Give for example 1e-4."
        )
    return float(tolerance)


def _rank(
    geometry: ConvGeometry,
    code: Code,
    objective: Objective,
    itemsize: int,
    hedged: bool,
    holding: float,
) -> float:
    """Returns what a layer is planned by; a dense one by what a worker holds of it."""
    storage = layer_cost(geometry, code, objective.prices, itemsize).storage
    if geometry.kind == "dense":
        return storage
    rank = objective.rank(geometry, code, itemsize, hedged)
    return rounded(rank + holding * storage * itemsize, _RANK_DIGITS)


def _most_exact_of_cheapest(
    priced: Sequence[tuple[float, Code]], same_price: float, limit: float
) -> tuple[float, Code] | None:
    """Takes designs by price, and those of equal price by their error.

    Returns:
        The first whose amplification is within the limit, with its price, or None.
    """
    left = list(priced)
    while left:
        price = left[0][0] * same_price
        equal = [pair for pair in left if pair[0] <= price]
        left = left[len(equal) :]
        for cost, design in _by_error(equal, limit):
            if certified_within(design, limit):
                return cost, design
    return None


def _by_error(
    priced: Sequence[tuple[float, Code]], limit: float
) -> Iterator[tuple[float, Code]]:
    """Yields designs whose error seems to be within a limit, the most exact first."""
    left = list(priced)
    while left:
        # Certifying takes seconds where n is large; a glance excludes most.
        least, alpha = None, limit
        for pair in left:
            found = screen(pair[1], most=alpha)
            if found < alpha or (found == alpha and least is None):
                least, alpha = pair, found
        if least is None:
            return
        yield least
        left.remove(least)


def promising(designs: Sequence[Code], limit: float) -> list[Code]:
    """Returns the designs no smaller of whose kind is known to be inexact.

    Random mixtures amplify the more, the more of them are solved for. So of each kind
    designs of δ = 8, 16, 32 … are screened in turn, and from the first that is not
    exact enough on none is left.

    Args:
        designs: For the same n.
        limit: The largest α.
    """
    kinds: dict[tuple[object, ...], list[Code]] = {}
    for design in designs:
        kinds.setdefault(_kind(design), []).append(design)
    return [design for kind in kinds.values() for design in _up_to(kind, limit)]


def _kind(code: Code) -> tuple[object, ...]:
    one_sided = code.k_a == 1 or code.k_b == 1
    parity = getattr(code, "parity", "")
    return code.name, parity, code.ell_a, code.ell_b, one_sided


def _up_to(kind: list[Code], limit: float) -> list[Code]:
    """Returns the designs of one kind below the first rung that is not exact enough."""
    by_size: dict[int, list[Code]] = {}
    for design in kind:
        by_size.setdefault(design.recovery_threshold, []).append(design)
    rung = _SMALLEST_RUNG
    while rung <= max(by_size):
        there = by_size.get(rung)
        if there and not any(all_within(d, limit) for d in there):
            return [d for d in kind if d.recovery_threshold < rung] or there
        rung *= 2
    return kind


def _not_suited(code: object, geometry: ConvGeometry) -> UnsupportedLayerError:
    side, k = ("input", "k_b") if geometry.codes_input else ("kernel", "k_a")
    grouped = ", grouped," if geometry.groups > 1 else ""
    return UnsupportedLayerError(
        f"A layer of kind {geometry.kind!r}{grouped} can only be coded on the side of "
        f"its {side}. Received: code={code!r}. Use a code with {k}=1, or code='auto'."
    )


def _not_exact_enough(
    designs: Sequence[Code], tolerance: float, dtype: str, geometry: ConvGeometry
) -> PlanError:
    (_, best), *_ = _by_error([(0.0, design) for design in designs], math.inf)
    certificate = certify(best)
    error = certificate.error(dtype, terms=geometry.terms)
    return PlanError(
        f"A layer's relative error must stay within tolerance={tolerance:g} for 99% "
        f"of survivor sets. Received: {error:.2g} in {dtype} at best, by {best.name} "
        f"with k_a={best.k_a}, k_b={best.k_b} for workers={best.workers}, "
        f"stragglers={best.stragglers} (amplification "
        f"{certificate.amplification_99:.3g} of a plain error of "
        f"{plain_error(dtype, geometry.terms):.2g}). Tolerate fewer stragglers, use "
        "code='auto', compute in float64, or allow a larger `tolerance`."
    )


def families(code: object, stragglers: int) -> list[type[Code]]:
    """Returns the kinds of codes that ``code`` stands for.

    Raises:
        PlanError: It stands for none.
    """
    if code == AUTO:
        names = [
            name for name in codes.names() if not (stragglers and name in UNPROTECTED)
        ]
        return [codes.get(name) for name in names]
    if isinstance(code, str):
        return [codes.get(code)]
    if isinstance(code, type) and issubclass(code, Code) and hasattr(code, "name"):
        return [code]
    raise PlanError(
        "`code` must be a name, a Code or a Code class. Received: "
        f"code={code!r}. Choose one of {', '.join((AUTO, *codes.names()))}."
    )
