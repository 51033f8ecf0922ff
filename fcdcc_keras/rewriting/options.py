"""The keyword arguments of ``fk.distribute``, ``fk.plan`` and their like.

Each option is declared once: its type and its documentation here, its default in
``DEFAULTS``, what its value must be in ``complete``.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from textwrap import indent
from typing import Any, Literal, TypedDict, TypeVar

import keras

from fcdcc_keras.checks import check_choice, check_type
from fcdcc_keras.codes import Code
from fcdcc_keras.codes.certify import check_certifiable
from fcdcc_keras.coding.job import Verify
from fcdcc_keras.execution.executors.connect import TRANSPORTS, TransportChoice
from fcdcc_keras.execution.records import Fallback, Policy
from fcdcc_keras.planning import (
    AUTO,
    OBJECTIVES,
    By,
    Calibration,
    NoStraggling,
    Plan,
    Prices,
    Straggling,
    check_redundancy,
)
from fcdcc_keras.planning.memory import limit_bytes

Layers = str | Collection[str] | Callable[[keras.layers.Layer], bool]
Redundancy = Literal["eager", "hedged", "auto"]
HEDGED: dict[str, bool | None] = {"eager": False, "hedged": True, "auto": None}

_BY_TIME = ("latency", "throughput")

F = TypeVar("F", bound=Callable[..., Any])


class PlanOptions(TypedDict, total=False):
    """What decides which layers are coded, and how."""

    workers: int | None
    """n, the number of workers to use; None: all that the cluster has. Planning
    without a cluster needs it."""
    stragglers: int
    """γ, the least number of workers that may be missing. A layer may tolerate more,
    where n − γ divides it badly."""
    layers: Layers
    """"all", names or paths of layers, or a function that is given a layer and says
    whether the workers are to compute it."""
    dense: bool
    """Whether "all" and functions are about ``Dense`` layers too. Those are
    coded for memory, on the side of the kernel: each worker holds 1/δ of it, and is
    sent the whole input."""
    code: str | Code | type[Code]
    """Name of a code, "auto", a ``Code`` with its split, or a code's class."""
    tolerance: float | None
    """Largest relative error of a layer. A code must keep it for 99% of survivor sets,
    or it is refused; for any of the others more answers are waited for. None: 1e-4
    where a layer is coded in float32, 3e-14 in float64."""
    redundancy: Redundancy
    """"eager" sends every layer to all workers at once, and every tile to γ + 1;
    "hedged" sends them to as many as needed, and to others when one is late; "auto":
    whichever is better by the objective. Under "latency" and "throughput", "auto" is
    what is done where nothing is said."""
    objective: By
    """"price": every layer that can be is coded, with little of what ``prices`` weigh.
    "latency": the least expected seconds of one image; "throughput": most images a
    second. Those choose for each part of the model among tiles of several layers at a
    time, coded layers, and this process itself: nothing goes to workers that does not
    pay."""
    prices: Prices | None
    """What communication, storage and computation are worth; None: by the calibration,
    or ``Prices()``."""
    calibration: Calibration | None
    """What the cluster was measured to do: for "latency", "throughput", predictions.
    ``fk.calibrate`` measures one; ``fcdcc_keras.planning.devices`` has some of known
    devices. None: where there is a cluster it is measured if it is needed."""
    straggling: Straggling | None
    """How workers are slowed, of ``fcdcc_keras.planning.stragglers``; None: they are
    not."""
    memory_limit: float | str | None
    """Bytes of kernels that a worker can hold, as 5e6 or "5MB"; None: what the
    calibration says. Layers are split so that it is kept."""


class Options(PlanOptions, total=False):
    """What ``fk.distribute`` takes: how to plan, and what to do in a running model."""

    plan: Plan | str | Path | None
    """A plan made before, or the path to its JSON. What decided it need not be said
    again, and cannot be said otherwise."""
    transport: TransportChoice
    """"direct" asks the workers themselves, "tasks" goes through the scheduler; "auto"
    takes "direct" where the workers can be reached."""
    verify: Verify
    """"finite" takes a result that holds NaN or infinity for none, unless input or
    kernel do; "parity" also waits for one result more than needed, and checks that
    they agree: where they do not, for another, to find out who is wrong and leave that
    worker out from then on; "off" does neither."""
    fallback: Fallback
    """With too few workers left, "local" computes the layer in this process, with a
    warning the first time; "raise" raises."""
    timeout: float
    """Seconds that a layer may take before the fallback."""


DEFAULTS: Options = {
    "workers": None,
    "stragglers": 1,
    "layers": "all",
    "dense": False,
    "code": AUTO,
    "tolerance": Policy.tolerance,
    "redundancy": "eager",
    "objective": "price",
    "prices": None,
    "calibration": None,
    "straggling": None,
    "memory_limit": None,
    "plan": None,
    "transport": "auto",
    "verify": Policy.verify,
    "fallback": Policy.fallback,
    "timeout": Policy.timeout,
}


def complete(said: PlanOptions, kind: type = Options) -> Options:
    """Returns all options, checked: those that were said and the others' defaults.

    Args:
        said: By the user.
        kind: The class whose options may be said.

    Raises:
        PlanError: A value is not usable.
        TypeError: There is no such option.
    """
    unknown = said.keys() - kind.__annotations__.keys()
    if unknown:
        raise TypeError(
            f"Options must be known. Received: {', '.join(sorted(unknown))}. Use one "
            f"of {', '.join(kind.__annotations__)}."
        )
    options: Options = {**DEFAULTS, **said}
    if "redundancy" not in said and options["objective"] in _BY_TIME:
        options["redundancy"] = "auto"
    workers, stragglers = options["workers"], options["stragglers"]
    if workers is None:
        workers = max(1, stragglers + 1 if isinstance(stragglers, int) else 1)
    check_redundancy(workers, stragglers)
    check_certifiable(workers)
    check_type("dense", options["dense"], bool, "Give True or False.")
    check_choice("redundancy", options["redundancy"], tuple(HEDGED))
    check_choice("objective", options["objective"], OBJECTIVES)
    check_choice("transport", options["transport"], TRANSPORTS)
    policy(options)
    for name, wanted, advice in (
        ("prices", Prices, "Give for example fk.Prices(storage=8e-9)."),
        (
            "calibration",
            Calibration,
            "Pass what `fk.calibrate` returned, or one of `planning.devices`.",
        ),
        (
            "straggling",
            Straggling,
            "Make one with `planning.stragglers.from_spec('onoff:0.1,10')`.",
        ),
    ):
        value: object = options[name]  # type: ignore[literal-required]
        if value is not None:
            check_type(name, value, wanted, advice)
    options["memory_limit"] = limit_bytes(options["memory_limit"])
    if options["straggling"] == NoStraggling():
        options["straggling"] = None
    return options


def policy(options: Options) -> Policy:
    """Returns what a model does when things go wrong."""
    return Policy(
        fallback=options["fallback"],
        timeout=options["timeout"],
        tolerance=options["tolerance"],
        verify=options["verify"],
    )


def takes(kind: type) -> Callable[[F], F]:
    """Has ``help`` show a function's options one by one, in place of ``**options``.

    Args:
        kind: The class whose options it takes.
    """

    def shown(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        options = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=DEFAULTS[name],  # type: ignore[literal-required]
                annotation=getattr(annotation, "__forward_arg__", annotation),
            )
            for name, annotation in kind.__annotations__.items()
        ]
        shown: Any = function
        shown.__signature__ = signature.replace(parameters=[*own, *options])
        if function.__doc__:  # there are none under python -OO
            said = inspect.cleandoc(function.__doc__)
            (line,) = (x for x in said.splitlines() if x.startswith("    **options: "))
            function.__doc__ = said.replace(line, _arguments(kind))
        return function

    return shown


def _arguments(kind: type) -> str:
    """Returns the options as the arguments of a docstring."""
    words = {**_docstrings(PlanOptions), **_docstrings(Options)}
    return "\n".join(
        f"    {name}: {indent(words.get(name, ''), ' ' * 8).lstrip()}"
        for name in kind.__annotations__
    )


@cache
def _docstrings(kind: type) -> Mapping[str, str]:
    """Returns what stands under each field of a class; nothing without its source."""
    try:
        (found,) = ast.parse(inspect.getsource(kind)).body
    except OSError:
        return {}
    assert isinstance(found, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in zip(found.body, found.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
