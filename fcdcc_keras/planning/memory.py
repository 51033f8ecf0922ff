"""Keeping what each worker holds within its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning.plan import LayerPlan
from fcdcc_keras.text import bytes_text

PlanAll = Callable[[float], Sequence[LayerPlan]]
"""Plans all layers where each byte that a worker holds has a given price."""
_STEPS = 30


def within_memory(plan_all: PlanAll, limit: float | None) -> Sequence[LayerPlan]:
    """Returns the best plans of all layers whose shares fit a worker together.

    A price on each byte held, the same in all layers, makes the shares smaller where
    that costs least: the least price that is enough is searched for.

    Args:
        plan_all: Plans all layers.
        limit: Bytes that a worker can hold; None: any number.

    Raises:
        PlanError: They do not fit, however they are split.
    """
    plans = plan_all(0.0)
    if limit is None or held(plans) <= limit:
        return plans
    low, high = -15.0, 3.0  # of powers of ten: seconds for each byte
    fitting = plan_all(10**high)
    if held(fitting) > limit:
        raise PlanError(
            "A worker must have the memory for its shares of all layers. Received: "
            f"a limit of {bytes_text(limit)}, where they take "
            f"{bytes_text(held(fitting))} at least. Allow as much, code fewer layers "
            "(`layers`), or use more workers."
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        plans = plan_all(10**middle)
        if held(plans) <= limit:
            high, fitting = middle, plans
        else:
            low = middle
    return fitting


def held(plans: Sequence[LayerPlan]) -> int:
    """Returns the bytes of shares that one worker holds of all layers."""
    return sum(plan.held for plan in plans)
