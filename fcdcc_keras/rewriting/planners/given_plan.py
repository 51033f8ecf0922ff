"""The option ``plan``: what it was made by, and what is said beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fcdcc_keras import codes
from fcdcc_keras.checks import record
from fcdcc_keras.codes import Code
from fcdcc_keras.errors import PlanError
from fcdcc_keras.planning import Plan, Prices
from fcdcc_keras.rewriting.eligibility import Eligibility
from fcdcc_keras.rewriting.options import (
    DEFAULTS,
    Options,
    PlanOptions,
    complete,
)
from fcdcc_keras.rewriting.planners.choice import choose

_IN_THE_PLAN = ("workers", "stragglers", "calibration", "straggling")
"""Options that a plan has as fields of its own."""


def recorded(options: Options, chosen: Sequence[Eligibility]) -> dict[str, Any]:
    """Returns what a plan is made by, beside its own fields, as JSON-ready data.

    Args:
        options: All of them.
        chosen: The layers that ``layers`` means.
    """
    code, prices = options["code"], options["prices"]
    return {
        "layers": [one.path for one in chosen],
        "dense": options["dense"],
        "code": code.to_dict() if isinstance(code, Code) else _name(code),
        "tolerance": options["tolerance"],
        "redundancy": options["redundancy"],
        "objective": options["objective"],
        "prices": None if prices is None else asdict(prices),
        "memory_limit": options["memory_limit"],
    }


def beside(plan: Plan, said: Options, examined: Sequence[Eligibility]) -> PlanOptions:
    """Returns what a plan was made by, as options.

    Args:
        plan: The plan.
        said: What the user said beside it.
        examined: The layers of the model.

    Raises:
        PlanError: The plan is for another model, or was made by other options.
    """
    _check_model(plan, examined)
    own = {name: getattr(plan, name) for name in _IN_THE_PLAN}
    mine: dict[str, Any] = {**(plan.made_by or {}), **own}
    options, defaults = complete(said), dict(DEFAULTS)
    chosen = choose(examined, options["layers"], dense=options["dense"])
    others = {**options, **recorded(options, chosen)}
    for name, value in said.items():
        if name not in PlanOptions.__annotations__ or value is defaults[name] is None:
            continue  # None leaves it open
        if name in mine and others[name] == mine[name]:
            continue
        if name == "tolerance" and plan.made_by is None:
            continue  # it also guards what is decoded
        told = "which does not say what it was made by"
        if name in mine:
            told = f"which was made by {name}={mine[name]!r}"
        raise PlanError(
            "What is said beside a plan must be what the plan was made by. Received: "
            f"{name}={value!r} beside a plan, {told}. Leave it out, or plan again."
        )
    return _options(mine)


def _options(mine: Mapping[str, Any]) -> PlanOptions:
    options: Any = dict(mine)
    if isinstance(options.get("code"), Mapping):
        options["code"] = codes.from_dict(options["code"])
    if options.get("prices") is not None:
        options["prices"] = record(Prices, options["prices"])
    unknown = options.keys() - PlanOptions.__annotations__.keys()
    if unknown:
        raise PlanError(
            "A plan must be made by known options. Received: "
            f"{', '.join(sorted(map(repr, unknown)))}. Plan the model again."
        )
    made: PlanOptions = options
    return made


def _name(code: Any) -> Any:
    return getattr(code, "name", code)


def _check_model(plan: Plan, examined: Sequence[Eligibility]) -> None:
    sizes = {one.path: one.geometry for one in examined}
    planned = [(layer.path, layer.geometry) for layer in plan.layers]
    for path, geometry in (*planned, *plan.at_call):
        if sizes.get(path) != geometry:
            raise PlanError(
                "A plan must be for the model that it is used with. Received: layer "
                f"{path!r} with {geometry}, where the model has {sizes.get(path)}. "
                "Plan this model again."
            )
