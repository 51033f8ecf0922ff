"""Choosing the split (k_A, k_B) of each layer: all feasible pairs, the cheapest."""

from __future__ import annotations

from collections.abc import Iterator

from fcdcc_keras import codes
from fcdcc_keras.codes import Code
from fcdcc_keras.errors import PlanError
from fcdcc_keras.partition import ConvGeometry
from fcdcc_keras.planning.cost import Prices, layer_cost
from fcdcc_keras.planning.plan import LayerPlan
from fcdcc_keras.planning.redundancy import check_redundancy

AUTO = "auto"


def candidates(
    code: str | Code | type[Code], workers: int, stragglers: int
) -> Iterator[Code]:
    """Yields every code that lets any γ of n workers be missing.

    A δ below n − γ is included: it may divide a layer better (7 has no pair of
    even factors, 6 has four), at the price of more work for each worker.

    Args:
        code: A name, a code's class, or one code with its split.
        workers: n.
        stragglers: γ, the least number of workers that may be missing.

    Raises:
        PlanError: The code is unknown, or made for another n or a smaller γ.
    """
    check_redundancy(workers, stragglers)
    if isinstance(code, Code):
        if code.workers != workers or code.stragglers < stragglers:
            raise PlanError(
                f"A given code must be made for `workers` and tolerate `stragglers`. "
                f"Received: a code for {code.workers} workers that tolerates "
                f"{code.stragglers}, with workers={workers}, "
                f"stragglers={stragglers}. Make the code for these numbers."
            )
        yield code
        return
    family = _family(code)
    designs = [
        design
        for threshold in range(workers - stragglers, 0, -1)
        for design in family.designs(workers, threshold)
    ]
    yield from designs
    if not designs:
        raise PlanError(
            f"The code {family.name!r} cannot let {stragglers} of {workers} workers "
            f"be missing. Received: code={family.name!r}, workers={workers}, "
            f"stragglers={stragglers}. Use stragglers=0, or code='crme'."
        )


def plan_layer(
    path: str,
    geometry: ConvGeometry,
    *,
    workers: int,
    stragglers: int = 1,
    code: str | Code | type[Code] = AUTO,
    prices: Prices | None = None,
    itemsize: int = 4,
) -> LayerPlan:
    """Returns the cheapest plan for one layer.

    Args:
        path: Name of the layer, with the models it stands in.
        geometry: Sizes of the layer.
        workers: n.
        stragglers: γ, the least number of workers that may be missing.
        code: A name, a code's class, or one code with its split.
        prices: What to weigh costs by; default ``Prices()``.
        itemsize: Bytes of one float of the layer.

    Raises:
        PlanError: No code fits.
    """
    prices = prices or Prices()
    plans = (
        LayerPlan(path, geometry, c, layer_cost(geometry, c, prices, itemsize))
        for c in candidates(code, workers, stragglers)
    )
    return min(plans, key=lambda plan: plan.cost.price)


def _family(code: object) -> type[Code]:
    if isinstance(code, str):
        return codes.get("crme" if code == AUTO else code)
    if isinstance(code, type) and issubclass(code, Code) and hasattr(code, "name"):
        return code
    raise PlanError(
        "`code` must be a name, a Code or a Code class. Received: "
        f"code={code!r}. Choose one of {', '.join((AUTO, *codes.names()))}."
    )
