"""The picture of ``fcdcc-keras plan --plot``: what each split would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fcdcc_keras.observe.plotting import bare, canvas, check_plotting
from fcdcc_keras.planning import LayerPlan, Objective, Plan
from fcdcc_keras.planning.search import landscape

_MOST, _COLUMNS = 12, 4
_WORST = 3.0
"""Times the least from which on all colours are the same."""


def plot_plan(plan: Plan, objective: Objective, path: str | Path) -> None:
    """Draws the cost of every split of each layer, the planned one ringed.

    Layers of the same sizes share a panel; there are at most twelve, those with the
    most work.

    Args:
        plan: The plan.
        objective: What it was made by.
        path: Where to write the picture: png, svg or pdf by its suffix.

    Raises:
        FcdccError: The picture cannot be drawn or written; see ``check_plotting``.
    """
    path = check_plotting(path)
    alike: dict[object, list[LayerPlan]] = {}
    for layer in plan.layers:
        alike.setdefault((layer.geometry, layer.code), []).append(layer)
    by_work = sorted(
        alike.values(),
        key=lambda layers: -len(layers) * layers[0].geometry.multiply_adds,
    )
    shown = [layers for layers in alike.values() if layers in by_work[:_MOST]]
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = canvas(3.2 * columns + 1.2, 2.9 * rows + 0.8)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    points = None
    for axis, layers in zip(axes, shown, strict=False):
        points = _draw(axis, plan, layers, objective)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    what = "expected latency" if objective.by == "latency" else "price"
    if points is not None:
        figure.colorbar(
            points, ax=figure.axes, label=f"{what}, of the least", shrink=0.8
        )
    figure.suptitle(
        f"{plan.model}, {plan.workers} workers, {plan.stragglers} may be missing: "
        f"{what} of each split (ringed: planned)",
        fontsize=12,
    )
    figure.savefig(path, dpi=150)


def _draw(axis: Any, plan: Plan, layers: list[LayerPlan], objective: Objective) -> Any:
    first = layers[0]
    ranks = landscape(
        first.geometry,
        workers=plan.workers,
        stragglers=plan.stragglers,
        objective=objective,
        hedged=first.hedged,
    )
    own = objective.rank(first.geometry, first.code, 4, first.hedged)
    split = first.code.k_a, first.code.k_b
    costs = {at: rank for at, (rank, _) in ranks.items()} | {split: own}
    least = min(costs.values())
    points = axis.scatter(
        [k_a for k_a, _ in costs],
        [k_b for _, k_b in costs],
        c=[cost / least for cost in costs.values()],
        **{"cmap": "viridis_r", "vmin": 1, "vmax": _WORST, "s": 70},
    )
    axis.scatter(*split, s=190, facecolors="none", edgecolors="#D55E00", linewidths=2)
    for scale, label in ((axis.set_xscale, "k_A"), (axis.set_yscale, "k_B")):
        scale("log", base=2)
        getattr(axis, f"set_{'x' if label == 'k_A' else 'y'}label")(label)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(lambda value, _: f"{value:g}")
    axis.margins(0.15)
    more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
    size = "×".join(map(str, first.geometry.input_size))
    channels = f"{first.geometry.channels} → {first.geometry.filters}"
    axis.set_title(f"{first.path}{more}\n{size}, {channels}", fontsize=9, loc="left")
    bare(axis, grid="both")
    return points
