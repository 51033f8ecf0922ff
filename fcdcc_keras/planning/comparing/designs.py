"""The designs by which kinds of codes are compared, of all that fit n and γ."""

from __future__ import annotations

from fcdcc_keras import codes
from fcdcc_keras.codes import Code
from fcdcc_keras.planning.search import UNPROTECTED


def kinds(workers: int, stragglers: int) -> dict[str, list[Code]]:
    """Returns the near-square and the one-sided design of each kind of code.

    The near-square one comes first; both are the same where there is but one.
    Exchanging the sides changes nothing but what is sent and what is held, so only
    designs with no more coded kernels than coded inputs are there.

    Args:
        workers: n.
        stragglers: γ; the recovery threshold δ is n − γ.

    Returns:
        Designs by kind: the code's name, with its parity where there are several.
    """
    found: dict[str, list[Code]] = {}
    for design in all_designs(workers, stragglers):
        if design.ell_a >= design.ell_b:
            parity = getattr(design, "parity", "")
            kind = f"{design.name}, {parity}" if parity else design.name
            found.setdefault(kind, []).append(design)
    return {kind: _telling(designs) for kind, designs in found.items()}


def all_designs(workers: int, stragglers: int) -> list[Code]:
    """Returns every code for n workers with recovery threshold n − γ."""
    return [
        design
        for name in codes.names()
        for design in codes.get(name).designs(workers, workers - stragglers)
    ]


def may_be_chosen(code: Code) -> bool:
    """Returns whether ``code="auto"`` may take a code."""
    return not (code.stragglers and code.name in UNPROTECTED)


def _telling(designs: list[Code]) -> list[Code]:
    def key(design: Code) -> tuple[float, float]:
        a, b = design.k_a / design.ell_a, design.k_b / design.ell_b
        # Of 4 × 8 and 8 × 4 the latter: it is what matrices have been searched for.
        return abs(a - b), -a

    square = min(designs, key=key)
    return [square, *(d for d in designs if d.k_b == 1 and d is not square)]
