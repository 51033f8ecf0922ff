"""What ``fk.distribute`` and ``fk.attach`` are told, checked before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import keras

from fcdcc_keras.checks import is_number
from fcdcc_keras.codes import Code
from fcdcc_keras.codes.certify import check_certifiable
from fcdcc_keras.coding.job import VERIFY, Verify
from fcdcc_keras.errors import PlanError
from fcdcc_keras.execution.connect import TRANSPORTS, TransportChoice
from fcdcc_keras.execution.records import (
    FALLBACKS,
    REDUNDANCIES,
    Fallback,
    Policy,
    Redundancy,
)
from fcdcc_keras.planning import AUTO, Plan, check_redundancy, check_tolerance

Layers = str | Collection[str] | Callable[[keras.layers.Layer], bool]


class Keywords(TypedDict, total=False):
    """The names and types of the fields of ``Options``."""

    workers: int | None
    stragglers: int
    layers: Layers
    dense: bool
    code: str | Code | type[Code]
    tolerance: float | None
    plan: Plan | str | Path | None
    transport: TransportChoice
    redundancy: Redundancy
    verify: Verify
    fallback: Fallback
    timeout: float


@dataclass(frozen=True)
class Options:
    """The keyword arguments of ``fk.distribute``, which documents them."""

    workers: int | None = None
    stragglers: int = 1
    layers: Layers = "all"
    dense: bool = False
    code: str | Code | type[Code] = AUTO
    tolerance: float | None = None
    plan: Plan | str | Path | None = None
    transport: TransportChoice = "auto"
    redundancy: Redundancy = "eager"
    verify: Verify = "finite"
    fallback: Fallback = "local"
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if not is_number(self.timeout, least=math.ulp(0.0)):
            raise PlanError(
                "`timeout` must be a positive number of seconds. Received: "
                f"timeout={self.timeout!r}. Give for example 60."
            )
        whole = isinstance(self.stragglers, int)
        at_least = max(1, self.stragglers + 1 if whole else 1)
        workers = at_least if self.workers is None else self.workers
        check_redundancy(workers, self.stragglers)
        check_certifiable(workers)
        check_choice("transport", self.transport, TRANSPORTS)
        check_choice("redundancy", self.redundancy, REDUNDANCIES)
        check_choice("verify", self.verify, VERIFY)
        check_choice("fallback", self.fallback, FALLBACKS)
        check_tolerance(self.tolerance, "float32")

    @property
    def policy(self) -> Policy:
        """What a model does when things go wrong."""
        return Policy(
            self.fallback, self.timeout, self.tolerance, self.redundancy, self.verify
        )


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raises ``PlanError`` where a value is none of those that are allowed."""
    if value not in allowed:
        raise PlanError(
            f"`{name}` must be one of {allowed}. Received: {name}={value!r}. Choose "
            "one of them."
        )
