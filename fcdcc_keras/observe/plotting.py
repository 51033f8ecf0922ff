"""What all plots need: a library, and a place to be written to."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fcdcc_keras.errors import FcdccError

SUFFIXES = (".png", ".svg", ".pdf")


def check_plotting(path: str | Path) -> Path:
    """Checks that a plot can be drawn and written to a path, and returns it.

    Raises:
        FcdccError: matplotlib is missing, the suffix is none of ``SUFFIXES``, or
            there is no such folder.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise FcdccError(
            f"The name of a plot must end in {', '.join(SUFFIXES)}. Received: "
            f"{str(path)!r}. Choose one of these formats."
        )
    if not path.absolute().parent.is_dir():
        raise FcdccError(
            "A plot must be written to a folder that is there. Received: "
            f"{str(path)!r}. Make the folder first."
        )
    if find_spec("matplotlib") is None:
        raise FcdccError(
            "Plots need matplotlib. Received: no module named 'matplotlib'. Install "
            "it with: pip install 'fcdcc-keras[plot]'"
        )
    return path
