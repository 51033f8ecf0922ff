"""Comparing codes by their certificates, for ``fcdcc-keras codes``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fcdcc_keras import codes
from fcdcc_keras.codes import Certificate, Code, certify
from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning.redundancy import check_redundancy
from fcdcc_keras.planning.search import UNPROTECTED
from fcdcc_keras.text import table


@dataclass(frozen=True)
class Comparison:
    """Codes for the same n and γ, the most exact first."""

    workers: int
    """n."""
    stragglers: int
    """γ."""
    rows: tuple[tuple[Code, Certificate], ...]

    @property
    def chosen(self) -> tuple[Code, Certificate]:
        """The most exact at the 99th percentile of those that `auto` may take."""
        return next(row for row in self.rows if _may_be_chosen(row[0]))

    def to_json(self) -> dict[str, Any]:
        """Returns the comparison as JSON values."""
        return {
            "workers": self.workers,
            "stragglers": self.stragglers,
            "chosen": _row(*self.chosen),
            "codes": [_row(*row) for row in self.rows],
        }

    def __str__(self) -> str:
        chosen = self.chosen[0]
        rows = [
            (
                f"{code.name}{' *' if code is chosen else ''}",
                f"{code.k_a}, {code.k_b}",
                f"{certificate.amplification_median:.3g}",
                f"{certificate.amplification_99:.3g}",
                f"{certificate.amplification_worst:.3g}",
                f"{certificate.condition_worst:.2g}",
                f"{certificate.error():.1g}",
                f"all {certificate.sets}" if certificate.exact else "searched",
            )
            for code, certificate in self.rows
        ]
        return table(
            f"{self.workers} workers, {self.stragglers} missing: growth of rounding "
            "errors (* the most exact)",
            [
                "code",
                "k_A, k_B",
                "median",
                "99%",
                "worst",
                "condition",
                "float32 error",
                "sets",
            ],
            rows,
        )


def compare_codes(
    workers: int,
    stragglers: int,
    *,
    k_a: int | None = None,
    k_b: int | None = None,
    samples: int = 10_000,
) -> Comparison:
    """Certifies the codes with recovery threshold n − γ.

    Args:
        workers: n.
        stragglers: γ.
        k_a: Only codes with this number of input blocks; default: of each kind of
            code the near-square split and the one-sided ones.
        k_b: Only codes with this number of kernel blocks.
        samples: Random survivor sets, where there are too many to try all.

    Raises:
        PlanError: The numbers are impossible, or no code has this split.
    """
    check_redundancy(workers, stragglers)
    chosen = []
    for name in codes.names():
        designs = codes.get(name).designs(workers, workers - stragglers)
        if k_a is None and k_b is None:
            designs = _telling(designs)
        chosen += [d for d in designs if k_a in (None, d.k_a) and k_b in (None, d.k_b)]
    if not any(map(_may_be_chosen, chosen)):
        raise PlanError(
            f"No code for {workers} workers of which {stragglers} may be missing has "
            f"this split. Received: k_a={k_a}, k_b={k_b}. Leave one of them out."
        )
    rows = [(design, certify(design, samples=samples)) for design in chosen]
    rows.sort(key=lambda row: row[1].amplification_99)
    return Comparison(workers, stragglers, tuple(rows))


def _may_be_chosen(code: Code) -> bool:
    return not (code.stragglers and code.name in UNPROTECTED)


def _telling(designs: list[Code]) -> list[Code]:
    """Returns the near-square and a one-sided design, of each set of options.

    Exchanging the sides changes nothing but what is sent and what is held.
    """
    kinds: dict[str, list[Code]] = {}
    for design in designs:
        if design.ell_a >= design.ell_b:
            kinds.setdefault(getattr(design, "parity", ""), []).append(design)
    telling = []
    for kind in kinds.values():
        square = min(kind, key=lambda d: abs(d.k_a / d.ell_a - d.k_b / d.ell_b))
        telling += [square, *(d for d in kind if d.k_b == 1 and d is not square)]
    return telling


def _row(code: Code, certificate: Certificate) -> dict[str, Any]:
    return {"code": code.to_dict(), "certificate": certificate.to_dict()}
