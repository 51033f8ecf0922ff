"""The command line, ``fcdcc-keras``.

Each command is loaded when it is asked for, and imports what it needs when it runs:
a worker on a weak board starts without the others', and TensorFlow takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from fcdcc_keras.errors import FcdccError
from fcdcc_keras.worker.command import worker

_ELSEWHERE = ("bench", "codes", "demo", "doctor", "evaluate", "plan")
"""Commands that have a module of their name."""


class Commands(click.Group):
    """Shows the package's own errors as one message, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except FcdccError as error:
            raise click.ClickException(str(error)) from error


class _All(Commands):
    """Those here, and those that have a module of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of all commands."""
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Returns a command, or None where there is none of the name."""
        if name not in _ELSEWHERE:
            return super().get_command(ctx, name)
        command: click.Command = getattr(
            import_module(f"fcdcc_keras.commands.{name}"), name
        )
        return command


@click.group(cls=_All, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fcdcc-keras", prog_name="fcdcc-keras")
def main() -> None:
    """Keras CNNs over Dask workers that may stall or die: same answers."""


main.add_command(worker)
