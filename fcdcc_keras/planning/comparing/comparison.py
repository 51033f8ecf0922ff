"""Comparing codes by their certificates, for ``fcdcc-keras codes``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fcdcc_keras.codes import Certificate, Code, certify
from fcdcc_keras.codes.certify import MOST_COMPARED, check_certifiable
from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning.comparing.designs import all_designs, kinds, may_be_chosen
from fcdcc_keras.planning.redundancy import check_redundancy
from fcdcc_keras.text import table


@dataclass(frozen=True)
class CodeComparison:
    """Codes for the same n and γ, the most exact first."""

    workers: int
    """n."""
    stragglers: int
    """γ."""
    rows: tuple[tuple[Code, Certificate], ...]

    @property
    def chosen(self) -> tuple[Code, Certificate]:
        """The most exact at the 99th percentile of those that `auto` may take."""
        return next(row for row in self.rows if may_be_chosen(row[0]))

    def to_json(self) -> list[dict[str, Any]]:
        """Returns the rows as JSON values, the most exact first.

        JSON has no infinity: figures of survivor sets that cannot be decoded at all
        are null.
        """
        chosen = self.chosen[0]
        return [_row(code, found, code is chosen) for code, found in self.rows]

    def __str__(self) -> str:
        chosen = self.chosen[0]
        rows = [
            (
                f"{code.name}{' *' if code is chosen else ''}",
                ", ".join(f"{k}={v}" for k, v in _options(code).items() if v),
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
        columns = ["code", "options", "k_A, k_B", "median", "99%", "worst"]
        columns += ["condition", "float32 error", "sets"]
        return table(
            f"{self.workers} workers, {self.stragglers} missing: growth of rounding "
            "errors (* the most exact)",
            columns,
            rows,
            right=columns[2:],
        )


def compare_codes(
    workers: int,
    stragglers: int,
    *,
    partition: tuple[int, int] | None = None,
    samples: int = 10_000,
    done: Callable[[Code, int], None] = lambda design, number: None,
) -> CodeComparison:
    """Certifies the codes with recovery threshold n − γ.

    Args:
        workers: n.
        stragglers: γ.
        partition: Only codes with this split (k_A, k_B); default: of each kind of
            code the near-square split and the one-sided one.
        samples: Random survivor sets, where there are too many to try all.
        done: Told of each code that has been certified, and how many there are.

    Raises:
        PlanError: The numbers are impossible, or no code has this split.
    """
    check_redundancy(workers, stragglers)
    check_certifiable(workers, MOST_COMPARED)
    if partition is None:
        designs = [d for kind in kinds(workers, stragglers).values() for d in kind]
    else:
        designs = _of_partition(workers, stragglers, partition)
    rows = []
    for design in designs:
        rows.append((design, certify(design, samples=samples)))
        done(design, len(designs))
    rows.sort(key=lambda row: (row[1].amplification_99, row[1].amplification_worst))
    return CodeComparison(workers, stragglers, tuple(rows))


def _of_partition(
    workers: int, stragglers: int, partition: tuple[int, int]
) -> list[Code]:
    designs = all_designs(workers, stragglers)
    found = [d for d in designs if (d.k_a, d.k_b) == tuple(partition)]
    if any(map(may_be_chosen, found)):
        return found
    possible = sorted({(d.k_a, d.k_b) for d in designs if may_be_chosen(d)})
    raise PlanError(
        f"The split must be that of a code for {workers} workers of which {stragglers} "
        f"may be missing. Received: partition={partition[0]},{partition[1]}. Use one "
        f"of {' '.join(f'{a},{b}' for a, b in possible)}."
    )


def _options(code: Code) -> dict[str, Any]:
    """Returns what distinguishes codes of one name and split."""
    split = ("name", "k_a", "k_b", "workers")
    return {k: v for k, v in code.to_dict().items() if k not in split}


def _row(code: Code, certificate: Certificate, chosen: bool) -> dict[str, Any]:
    return {
        "code": code.name,
        "options": _options(code),
        "chosen": chosen,
        "recovery_threshold": code.recovery_threshold,
        "partition": [code.k_a, code.k_b],
        "amplification": {
            "median": _finite(certificate.amplification_median),
            "p99": _finite(certificate.amplification_99),
            "worst": _finite(certificate.amplification_worst),
            "exact": certificate.exact,
        },
        "condition_number": {
            "median": _finite(certificate.condition_median),
            "worst": _finite(certificate.condition_worst),
        },
        "float32_error": {
            "p99": _finite(certificate.error()),
            "worst": _finite(certificate.error(worst=True)),
        },
        "sets": certificate.sets,
        "worst_survivors": list(certificate.worst_survivors),
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
