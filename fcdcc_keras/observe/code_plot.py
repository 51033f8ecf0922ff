"""The picture of ``fcdcc-keras codes --plot``: α against n and against γ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fcdcc_keras.observe.plotting import bare, canvas, check_plotting
from fcdcc_keras.palette import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY
from fcdcc_keras.planning.comparing.curves import Curve, over_stragglers, over_workers
from fcdcc_keras.planning.search import TOLERANCE
from fcdcc_keras.programs.exactness import plain_error

_LIMIT = TOLERANCE["float32"] / plain_error("float32")
"""α with which a float32 layer has the largest error that is tolerated by default."""
_LIMIT_LABEL = f"tolerated in float32 (α = {_LIMIT:.0f})"
_CEILING = 1e13
"""Where the y axis ends at the latest; above, no digit of a float64 is left."""
# For the codes in the order of their names' registration.
_COLOURS = (BLUE, RED, GREEN, ORANGE, PINK, SKY, GREY, BLACK)
_MARKERS = "osD^v<Px"


def plot_codes(workers: int, stragglers: int, path: str | Path) -> None:
    """Draws α of every kind of code, against n for fixed γ and against γ for fixed n.

    Thick lines are medians, thin ones 99th percentiles. One point is one near-square
    split and ``curves.SAMPLES`` random survivor sets.

    Args:
        workers: n.
        stragglers: γ.
        path: Where to write the picture: png, svg or pdf by its suffix.

    Raises:
        FcdccError: The picture cannot be drawn or written; see ``check_plotting``.
        PlanError: The numbers are impossible.
    """
    path = check_plotting(path)
    panels = (
        (over_workers(workers, stragglers), "workers n", f"γ = {stragglers}", workers),
        (over_stragglers(workers, stragglers), "stragglers γ", f"n = {workers}",
         stragglers),
    )  # fmt: skip
    from matplotlib.ticker import MaxNLocator

    figure = canvas(11, 5.6)
    axes = figure.subplots(1, 2, sharey=True)
    kinds = list(dict.fromkeys(c.kind for curves, *_ in panels for c in curves))
    for axis, (curves, label, fixed, own) in zip(axes, panels, strict=True):
        _draw(axis, curves, kinds)
        axis.axvline(own, color="black", lw=0.8, ls=":", label="the n and γ asked for")
        axis.axhline(_LIMIT, color="black", lw=1.4, ls=(0, (6, 2)), label=_LIMIT_LABEL)
        axis.set_xlabel(label)
        axis.set_title(f"{fixed} fixed", loc="left", fontsize=11)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        bare(axis, grid="both")
    highest = max(_drawable(y) for curves, *_ in panels for c in curves for y in c.high)
    axes[0].set_yscale("log")
    axes[0].set_ylim(0.8, min(_CEILING, 2 * max(highest, _LIMIT)))
    axes[0].set_ylabel("error amplification α")
    shown = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        shown.values(), shown, loc="outside lower center", ncols=4, frameon=False
    )
    figure.suptitle(
        "Growth of rounding errors (thick: median, thin: 99th percentile)", fontsize=13
    )
    figure.savefig(path, dpi=150)


def _draw(axis: Any, curves: Sequence[Curve], kinds: Sequence[str]) -> None:
    for curve in curves:
        i = kinds.index(curve.kind)
        colour = _COLOURS[i % len(_COLOURS)]
        median, high = (list(map(_drawable, y)) for y in (curve.median, curve.high))
        marker = _MARKERS[i % len(_MARKERS)]
        axis.fill_between(curve.at, median, high, color=colour, alpha=0.06, lw=0)
        axis.plot(curve.at, high, color=colour, lw=0.9)
        axis.plot(
            *(curve.at, median),
            **{"color": colour, "lw": 2.2, "marker": marker, "markersize": 5},
            label=curve.kind,
        )


def _drawable(alpha: float) -> float:
    return min(alpha, 1e30)
