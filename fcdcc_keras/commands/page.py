"""The page of ``fcdcc-keras evaluate --report``: one file that needs no other."""

from __future__ import annotations

import base64
import io
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from fcdcc_keras.commands.evaluation import Evaluation, worker_rows
from fcdcc_keras.commands.side_by_side import Comparison
from fcdcc_keras.monitoring.fates import FATES
from fcdcc_keras.observe.plotting import bare, canvas
from fcdcc_keras.observe.trace_plot import gantt_figure, split_figure
from fcdcc_keras.palette import BLACK, BLUE, GREEN, GREY, RED
from fcdcc_keras.version import __version__

_MOST_POINTS = 2000
_OUTCOMES = {
    **{name: FATES[name][0] for name in ("used", "late", "failed")},
    "skipped": GREY,
}
_LABELS = {"used": "used", "late": "late", "failed": "lost", "skipped": "skipped"}


def write_page(found: Evaluation, path: str | Path) -> None:
    """Writes the results with their pictures as HTML.

    Args:
        found: What was found.
        path: Where to write it.
    """
    Path(path).write_text(page(found), "utf-8")


def page(found: Evaluation) -> str:
    """Returns the results with their pictures as HTML without outside resources."""
    template = files("fcdcc_keras.commands").joinpath("page.html").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(template).render(
        found=found,
        comparison=found.comparison,
        differences=[d.values() for d in found.to_json()["differences"]],
        version=__version__,
        embedded=embedded,
        latency=latency,
        outcomes=outcomes,
        gantt_figure=gantt_figure,
        split_figure=split_figure,
    )


def latency(comparison: Comparison, batch_size: int) -> Any:
    """Returns the time of every batch, plain and coded, with the faults marked."""
    figure = canvas(13, 3.4)
    axis = figure.subplots()
    for name, seconds, colour in (
        ("coded", comparison.coded_seconds, GREEN),
        ("plain", comparison.plain_seconds, BLUE),
    ):
        times = np.array(seconds) * 1e3
        step = -(-len(times) // _MOST_POINTS)
        highest = [times[i : i + step].max() for i in range(0, len(times), step)]
        done = (np.arange(len(highest)) * step + 1) * batch_size
        axis.plot(done, highest, color=colour, lw=1.2, marker=".", ms=4, label=name)
        axis.axhline(np.median(times), color=colour, lw=0.8, ls=":")
    for fault, batch in comparison.struck:
        at = (batch + 0.5) * batch_size
        axis.axvline(at, color=RED, lw=1.2, ls="--")
        axis.annotate(
            *(fault.text, (at, 1.0)),
            xycoords=("data", "axes fraction"),
            xytext=(2, 3),
            textcoords="offset points",
            rotation=20,
            fontsize=8,
            color=BLACK,
        )
    axis.set_yscale("log")
    axis.set_xlabel("images predicted; dotted: medians")
    axis.set_ylabel("ms a batch")
    bare(axis, grid="both")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure


def outcomes(comparison: Comparison) -> Any:
    """Returns what became of each worker's results, as bars."""
    rows = worker_rows(comparison)
    figure = canvas(13, 1.2 + 0.32 * len(rows))
    axis = figure.subplots()
    left = np.zeros(len(rows))
    for outcome, colour in _OUTCOMES.items():
        counts = np.array([row[_LABELS[outcome]] for row in rows])
        axis.barh(
            *(range(len(rows)), counts),
            left=left,
            height=0.7,
            color=colour,
            alpha=1.0 if outcome != "skipped" else 0.4,
            label=_LABELS[outcome],
        )
        left += counts
    axis.set_yticks(range(len(rows)), [f"{r['worker']}  {r['address']}" for r in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlabel("results")
    bare(axis)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return figure


def embedded(figure: Any) -> str:
    """Returns a figure as the address of an image that is the image itself."""
    import matplotlib as mpl

    file = io.BytesIO()
    # Text as text: smaller, and it can be searched.
    with mpl.rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()
