"""Keeping what each worker holds within its memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from fcdcc_keras.checks import is_number
from fcdcc_keras.errors import PlanError
from fcdcc_keras.text import bytes_text

T = TypeVar("T")
_STEPS = 30
_PREFIXES = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_AMOUNT = re.compile(r"([0-9.]+(?:e[0-9]+)?) *(?:([kmgt]?)(i?)b?)?", re.IGNORECASE)


def limit_bytes(limit: float | str | None) -> float | None:
    """Returns a limit of memory in bytes.

    Args:
        limit: A number, or a text with a unit as Dask has them: "5MB" or "4GiB".

    Raises:
        PlanError: It is no positive number of bytes.
    """
    if limit is None:
        return None
    number: float | None = None
    if isinstance(limit, str):
        found = _AMOUNT.fullmatch(limit.strip())
        if found and is_number(_float(found[1])):
            base = 1024 if found[3] else 1000
            number = float(found[1]) * base ** _PREFIXES[(found[2] or "").lower()]
    elif is_number(limit):
        number = float(limit)
    if number is None or not number > 0:
        raise PlanError(
            "A limit of memory must be a positive number of bytes. Received: "
            f"memory_limit={limit!r}. Give for example 200e6 or '200MB'."
        )
    return number


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def within_memory(
    plan_all: Callable[[float], T], limit: float | None, held: Callable[[T], float]
) -> T:
    """Returns the best plans of all layers whose shares fit a worker together.

    A price on each byte held, the same in all layers, makes the shares smaller where
    that costs least: the least price that is enough is searched for.

    Args:
        plan_all: Plans all layers where each byte that a worker holds has a given
            price.
        limit: Bytes that a worker can hold; None: any number.
        held: Gives the bytes that it holds under such plans.

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
