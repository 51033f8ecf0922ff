"""How much longer than usual a subtask takes: models of straggling workers.

A slowdown multiplies the seconds that a worker computes; 1 is its usual speed, infinity
never ends. The shifted exponential and Pareto laws are the usual ones of the literature
(Lee et al., arXiv:1512.02673; Dean and Barroso, "The tail at scale").
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcdcc_keras.checks import is_number, json_value
from fcdcc_keras.errors import PlanError

Floats = NDArray[np.float64]


class Straggling(ABC):
    """The law of the slowdown of a subtask. Workers are independent."""

    name: ClassVar[str]
    lasting: ClassVar[bool] = False
    """Whether slowdowns outlast a pass of a model; otherwise each subtask has one of
    its own."""

    @abstractmethod
    def cdf(self, slowdown: ArrayLike) -> Floats:
        """Returns the probability that a slowdown is at most each of these."""

    @abstractmethod
    def quantile(self, probability: ArrayLike) -> Floats:
        """Returns the least slowdown that is not exceeded with each probability."""

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> Floats:
        """Returns independent slowdowns, an array of the size."""
        return self.quantile(rng.random(size))

    def to_dict(self) -> dict[str, Any]:
        """Returns the model as JSON-ready plain data."""
        fields: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        # JSON has no infinity.
        return {"name": self.name} | {
            key: None if value == math.inf else value for key, value in fields.items()
        }


@dataclass(frozen=True)
class NoStraggling(Straggling):
    """Every subtask takes as long as usual."""

    name = "none"

    def cdf(self, slowdown: ArrayLike) -> Floats:
        """See ``Straggling.cdf``."""
        return np.where(np.asarray(slowdown) >= 1, 1.0, 0.0)

    def quantile(self, probability: ArrayLike) -> Floats:
        """See ``Straggling.quantile``."""
        return np.ones(np.shape(probability))


@dataclass(frozen=True)
class ShiftedExponential(Straggling):
    """1 + an exponentially distributed excess."""

    mean: float
    """Of the excess, as a part of the usual time."""

    name = "exponential"

    def __post_init__(self) -> None:
        _check(
            _positive(self.mean), "mean", self.mean, "a positive mean excess, as 0.5"
        )

    def cdf(self, slowdown: ArrayLike) -> Floats:
        """See ``Straggling.cdf``."""
        excess = np.maximum(np.asarray(slowdown, float) - 1, 0)
        return np.asarray(-np.expm1(-excess / self.mean))

    def quantile(self, probability: ArrayLike) -> Floats:
        """See ``Straggling.quantile``."""
        with np.errstate(divide="ignore"):  # the quantile of 1 is infinite
            excess = -self.mean * np.log1p(-np.asarray(probability, float))
        return np.asarray(1 + excess)


@dataclass(frozen=True)
class Pareto(Straggling):
    """P(slowdown > x) = x^−shape for x ≥ 1: rare, but long delays."""

    shape: float
    """The smaller, the heavier the tail; a mean exists above 1."""

    name = "pareto"

    def __post_init__(self) -> None:
        _check(_positive(self.shape), "shape", self.shape, "a positive exponent, as 2")

    def cdf(self, slowdown: ArrayLike) -> Floats:
        """See ``Straggling.cdf``."""
        return np.asarray(1 - np.maximum(slowdown, 1.0) ** -self.shape)

    def quantile(self, probability: ArrayLike) -> Floats:
        """See ``Straggling.quantile``."""
        with np.errstate(divide="ignore"):
            return np.asarray((1 - np.asarray(probability, float)) ** (-1 / self.shape))


@dataclass(frozen=True)
class OnOff(Straggling):
    """Usual speed or slowed, in spells of exponentially distributed lengths.

    ``cdf`` and the others are about any one moment; a simulation that follows a worker
    through time lets it change at the rates 1/spell and 1/``usual_spell``.
    """

    probability: float
    """Part of the time that a worker is slowed."""
    factor: float
    """Slowdown meanwhile; infinity: it is stopped."""
    spell: float = 10.0
    """Mean seconds until a slowed worker is at its usual speed again."""

    name = "onoff"
    lasting = True

    def __post_init__(self) -> None:
        _check(
            is_number(self.probability, least=0) and self.probability <= 1,
            "probability",
            self.probability,
            "a probability from 0 to 1",
        )
        _check(
            is_number(self.factor, least=1), "factor", self.factor, "at least 1, or inf"
        )
        _check(
            _positive(self.spell) and self.spell < math.inf,
            "spell",
            self.spell,
            "positive seconds",
        )

    @property
    def usual_spell(self) -> float:
        """Mean seconds until a worker at its usual speed is slowed."""
        if self.probability == 0:
            return math.inf
        return self.spell * (1 - self.probability) / self.probability

    def cdf(self, slowdown: ArrayLike) -> Floats:
        """See ``Straggling.cdf``."""
        x = np.asarray(slowdown, float)
        usual = np.where(x >= 1, 1 - self.probability, 0.0)
        return np.where(x >= self.factor, 1.0, usual)

    def quantile(self, probability: ArrayLike) -> Floats:
        """See ``Straggling.quantile``."""
        p = np.asarray(probability, float)
        return np.where(p <= 1 - self.probability, 1.0, self.factor)


@dataclass(frozen=True)
class MeasuredTrace(Straggling):
    """What was measured: each factor is as likely as any other."""

    factors: tuple[float, ...]
    """Measured seconds of subtasks over their usual seconds."""

    name = "trace"

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(sorted(map(float, self.factors))))
        good = bool(self.factors) and all(0 < f < math.inf for f in self.factors)
        _check(good, "factors", self.factors[:5], "one positive number or more")

    def cdf(self, slowdown: ArrayLike) -> Floats:
        """See ``Straggling.cdf``."""
        below = np.searchsorted(self.factors, np.asarray(slowdown, float), "right")
        return np.asarray(below / len(self.factors))

    def quantile(self, probability: ArrayLike) -> Floats:
        """See ``Straggling.quantile``."""
        count = len(self.factors)
        rank = np.ceil(np.asarray(probability, float) * count).astype(int) - 1
        return np.asarray(np.take(self.factors, np.clip(rank, 0, count - 1)))


_MODELS: tuple[type[Straggling], ...] = (
    NoStraggling,
    ShiftedExponential,
    Pareto,
    OnOff,
    MeasuredTrace,
)
_BY_NAME = {model.name: model for model in _MODELS}


def from_dict(data: Mapping[str, Any]) -> Straggling:
    """Returns the model that ``to_dict`` described.

    Raises:
        PlanError: The data is not that of a model.
    """
    fields = {k: math.inf if v is None else v for k, v in data.items() if k != "name"}
    try:
        return _BY_NAME[data["name"]](**fields)
    except (KeyError, TypeError) as error:
        raise _not_a_model(dict(data)) from error


def from_spec(text: str) -> Straggling:
    """Returns the model that a short text stands for.

    Args:
        text: "none", "exponential:MEAN", "pareto:SHAPE",
            "onoff:PROBABILITY,FACTOR[,SPELL]" (FACTOR may be inf), or "trace:FILE",
            a file with a JSON list of factors.

    Raises:
        PlanError: It stands for none.
    """
    name, _, rest = text.partition(":")
    try:
        if name == MeasuredTrace.name:
            return MeasuredTrace(tuple(json_value(Path(rest).read_text("utf-8"))))
        return _BY_NAME[name](*(float(word) for word in rest.split(",") if rest))
    except PlanError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _not_a_model(text) from error


def _not_a_model(received: object) -> PlanError:
    return PlanError(
        "Stragglers must be described by a known model. Received: "
        f"{str(received)[:80]!r}. Use none, exponential:MEAN, pareto:SHAPE, "
        "onoff:PROBABILITY,FACTOR[,SPELL] or trace:FILE."
    )


def _positive(value: object) -> bool:
    return is_number(value, least=math.ulp(0.0))


def _check(good: bool, field: str, value: object, wanted: str) -> None:
    if not good:
        raise PlanError(
            "A model of stragglers must describe a law of slowdowns. Received: "
            f"{field}={value!r}. Give {wanted}."
        )
