"""How much error any allowed set of survivors of a code can cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fcdcc_keras.checks import record
from fcdcc_keras.errors import PlanError
from fcdcc_keras.programs.exactness import TYPICAL_TERMS, plain_error
from fcdcc_keras.programs.program import DTYPES

_UNIT = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Half a unit in the last place: results of these types are rounded to them once."""


@dataclass(frozen=True)
class Certificate:
    """Error amplification and conditioning over the survivor sets of one code."""

    amplification_worst: float
    """Largest α found. Dimensionless, as all that follows."""
    amplification_99: float
    """99th percentile of α over survivor sets of exactly δ workers."""
    amplification_median: float
    """Median of α."""
    condition_worst: float
    """2-norm condition number of the set with the largest α, or the largest of all
    where ``exact``."""
    condition_median: float
    """Median of the condition number."""
    worst_survivors: tuple[int, ...]
    """The set with the largest α."""
    exact: bool
    """Whether every set was tried. Otherwise percentiles are of a random sample,
    and the worst is what an adversarial search found: it may be exceeded."""
    sets: int
    """Survivor sets tried for the percentiles."""

    def error(
        self,
        dtype: str = "float32",
        *,
        worst: bool = False,
        terms: int = TYPICAL_TERMS,
    ) -> float:
        """Predicts the relative error of a decoded layer.

        Coding happens in at least float32; a narrower type costs one rounding of
        the result.

        Args:
            dtype: Type of the layer: float64, float32, float16 or bfloat16.
            worst: Of the worst survivor set, in place of the 99th percentile.
            terms: Products in the sum of one output, K_H·K_W·C.

        Returns:
            Expected largest error in units of the largest output.

        Raises:
            PlanError: No prediction is made for the type.
        """
        if dtype not in DTYPES and dtype not in _UNIT:
            known = ", ".join((*DTYPES, *_UNIT))
            raise PlanError(
                f"`dtype` must be one of {known}. Received: dtype={dtype!r}. Choose "
                "the type that the layer computes in."
            )
        alpha = self.amplification_worst if worst else self.amplification_99
        coded_in = dtype if dtype in DTYPES else "float32"
        return alpha * plain_error(coded_in, terms) + _UNIT.get(dtype, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Returns the certificate as JSON-ready plain data."""
        return {**asdict(self), "worst_survivors": list(self.worst_survivors)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Certificate:
        """Returns the certificate that ``to_dict`` described.

        Raises:
            PlanError: The data is not that of a certificate.
        """
        return record(cls, data)
