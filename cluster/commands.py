"""What the command lines of clusters have in common."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from fcdcc_keras.errors import ClusterError, FcdccError

ADDRESS = "DASK_SCHEDULER_ADDRESS"
"""Where programs find the scheduler's address in their environment, as Dask does."""
FOR_PROGRAMS = {
    "help_option_names": ["-h", "--help"],
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
}
"""A command's settings, so that what follows its own options is a program's."""


dashboard_option = click.option(
    "--dashboard-address",
    "dashboard",
    default=":8787",
    show_default=True,
    help="Where the scheduler's pages are.",
)


def patience_option(seconds: float, what: str) -> Callable[[Callable[..., None]], Any]:
    """Returns the option that says how long is waited for a cluster."""
    return click.option(
        "--patience",
        type=click.FloatRange(min=0, min_open=True),
        default=seconds,
        show_default=True,
        metavar="SECONDS",
        help=what,
    )


class ClusterCommand(click.Command):
    """Shows the package's own errors as one message, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        # A shell that starts it in the background has it ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return super().invoke(ctx)
        except FcdccError as error:
            raise click.ClickException(str(error)) from error


def hold(address: str, what: str, program: tuple[str, ...]) -> int:
    """Runs a program with a cluster; without one, waits for Ctrl-C.

    Args:
        address: The scheduler's, which the program finds in its environment.
        what: What there is, for the message that it is held.
        program: With its arguments, after "--" or not; none: the cluster is held.

    Returns:
        The program's exit code.

    Raises:
        ClusterError: There is no such program.
    """
    if program[:1] == ("--",):  # as most write it, and click leaves it in
        program = program[1:]
    if not program:
        click.echo(f"{what}, scheduler at {address}. Ctrl-C ends them.")
        with suppress(KeyboardInterrupt):
            signal.pause()
        return 0
    try:
        process = subprocess.Popen(program, env={**os.environ, ADDRESS: address})
    except OSError as error:
        raise ClusterError(
            f"What a cluster is for must be a program. Received: {program[0]!r}, "
            f"{error}. For a script: python SCRIPT"
        ) from error
    while True:
        try:
            code = process.wait()
            return 128 - code if code < 0 else code
        except KeyboardInterrupt:  # it got the same Ctrl-C, and may want to clean up
            continue
