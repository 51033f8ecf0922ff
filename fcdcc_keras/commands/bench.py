"""``fcdcc-keras bench``: its figures are in a clone of the repository alone."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from fcdcc_keras.errors import FcdccError

_COMMAND = "benchmarks.figures.command"
_BESIDE = Path(__file__).parents[2]
"""The clone's top folder, if the package was installed from one to be edited."""


class _OfAClone(click.Command):
    """Stands for the clone's command, which has the options and the help."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Has the clone's command read the words: it is then the one that is run."""
        command: click.Command = _figures().bench
        return command.make_context(*args, **more)


bench = _OfAClone(
    "bench",
    short_help="Measure what coded layers cost, beside their peers; needs a clone.",
)


def _figures() -> Any:
    """Returns the module of the clone that the package, or the user, is in.

    Raises:
        FcdccError: There is none.
    """
    for folder in (_BESIDE, Path.cwd()):
        if Path(folder, *_COMMAND.split(".")).with_suffix(".py").is_file():
            if sys.path[0] != str(folder):
                sys.path.insert(0, str(folder))
            # By name: the package does not depend on what measures it.
            return import_module(_COMMAND)
    raise FcdccError(
        "`fcdcc-keras bench` needs a clone of the repository: the figures are not in "
        f"the installed package. Received: no folder benchmarks/figures in {Path.cwd()}"
        ". Run it again in the clone's top folder, or install the package from there: "
        "pip install --editable '.[cpu]'"
    )
