"""The picture of ``fcdcc-keras plan --plot``: what each split would cost."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from fcdcc_keras.observe.plotting import bare, canvas, check_plotting
from fcdcc_keras.planning import LayerPlan, Objective, Plan
from fcdcc_keras.planning.search import landscape
from fcdcc_keras.text import milliseconds

_MOST, _COLUMNS = 12, 4
_COLOURS = {
    "workers": "#0072B2",
    "exchanging": "#56B4E9",
    "client": "#009E73",
    "keras": "#999999",
}
_PLACES = {
    "workers": "workers, in tiles",
    "exchanging": "the same, halos exchanged before it",
    "client": "client, its light engine",
    "keras": "client, plain Keras",
}
_WORST = 3.0
"""Times the least from which on all colours are the same."""


def plot_plan(plan: Plan, objective: Objective, path: str | Path) -> None:
    """Draws the cost of every split of each layer, the planned one ringed.

    Layers of the same sizes share a panel; there are at most twelve, those with the
    most work. Of a plan without any, what its chains take, and one device alone.

    Args:
        plan: The plan.
        objective: What it was made by.
        path: Where to write the picture: png, svg or pdf by its suffix.

    Raises:
        FcdccError: The picture cannot be drawn or written; see ``check_plotting``.
    """
    path = check_plotting(path)
    if not plan.layers:
        _plot_times(plan, path)
        return
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
    what = "price" if objective.by == "price" else "expected latency"
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


def _plot_times(plan: Plan, path: Path) -> None:
    figure = canvas(9, 3.2)
    axis = figure.subplots()
    rows: list[tuple[str, list[tuple[str, float]]]] = []
    if plan.alone is not None:
        rows.append(("plain Keras, alone", [("keras", plan.alone.keras)]))
        if plan.alone.engine:
            rows.append(("light engine, alone", [("client", plan.alone.engine)]))
    parts = []
    for stretch in plan.stretches:
        for before, one in pairwise((None, *stretch.chains)):
            exchanging = before is not None and before.exchange
            if one is not None and one.latency is not None:
                place = "exchanging" if exchanging else one.place
                parts.append((place, one.latency.expected))
    if plan.latency is not None:
        rest = plan.latency.expected - sum(seconds for _, seconds in parts)
        rows.append(("planned", [*parts, ("keras", max(0.0, rest))]))
    for row, (_, spans) in enumerate(rows):
        left = 0.0
        for place, seconds in spans:
            axis.barh(row, seconds * 1e3, left=left, color=_COLOURS[place], ec="white")
            left += seconds * 1e3
        axis.text(left, row, f" {milliseconds(left / 1e3)} ms", va="center", fontsize=9)
    axis.set_yticks(range(len(rows)), [name for name, _ in rows])
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set_xlabel("ms for one image, as expected")
    for place, name in _PLACES.items():
        axis.barh(0, 0, color=_COLOURS[place], label=name)
    axis.legend(frameon=False, fontsize=9, loc="lower right")
    axis.set_title(
        f"{plan.model}, {plan.workers} workers, {plan.stragglers} may be missing",
        loc="left",
    )
    bare(axis, grid="x")
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
