"""What all plots need: a library, a canvas, and a place to be written to."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fcdcc_keras.checks import check_output
from fcdcc_keras.errors import FcdccError

SUFFIXES = (".png", ".svg", ".pdf")


def check_plotting(path: str | Path, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """Checks that a plot can be drawn and written to a path, and returns it.

    Args:
        path: Where to write it.
        suffixes: What its name may end in.

    Raises:
        FcdccError: matplotlib is missing, the suffix is none of these, or there is
            no such folder.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise FcdccError(
            f"The name of a plot must end in {', '.join(suffixes)}. Received: "
            f"{str(path)!r}. Choose one of these formats."
        )
    check_output(path)
    if find_spec("matplotlib") is None:
        raise FcdccError(
            "Plots need matplotlib. Received: no module named 'matplotlib'. Install "
            "it with: pip install 'fcdcc-keras[plot]'"
        )
    return path


def canvas(width: float, height: float) -> Any:
    """Returns an empty figure of this size in inches, tied to no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not pyplot: it would keep the figure, and might ask for a display.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def bare(axis: Any, grid: str = "x") -> None:
    """Takes the frame off an axis, and gives it a light grid."""
    axis.grid(True, axis=grid, which="major", alpha=0.25, lw=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
