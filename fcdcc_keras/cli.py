"""The command line, ``fcdcc-keras``.

Each command is loaded when it is asked for, and imports what it needs when it runs:
a worker on a weak board starts without the others', and TensorFlow takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from fcdcc_keras.errors import FcdccError

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


def _tls_file(name: str, what: str) -> Callable[[Callable[..., None]], Any]:
    return click.option(
        f"--tls-{name}",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help=f"For tls:// addresses: {what}, in PEM.",
    )


_NETWORK = {
    "scheduler-file": "What `dask scheduler --scheduler-file` writes, for ADDRESS.",
    "host": "The worker's own address, where it has several.",
    "interface": "The network interface to use, as eth0.",
    "worker-port": "The worker's port, or a range to take one from, as 3000:3010.",
    "nanny-port": "The same for the process that watches over it.",
    "listen-address": "Where the worker listens, as tcp://0.0.0.0:9000, if others do "
    "not reach it by that.",
    "contact-address": "What others reach it by, as tcp://gateway:9000; with "
    "--listen-address.",
}
"""Options that go to ``dask worker`` as they are."""


def _network_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, what in reversed(_NETWORK.items()):
        command = click.option(f"--{name}", metavar="TEXT", help=what)(command)
    return command


def _seconds(ctx: click.Context, parameter: click.Parameter, value: float) -> float:
    """Returns seconds; NaN is in no range, but click does not see that."""
    if math.isnan(value):
        raise click.BadParameter(
            f"Seconds must be a number. Received: {value}. Write for example --wait 60."
        )
    return value


@main.command()
@click.argument("address", required=False, envvar="DASK_SCHEDULER_ADDRESS")
@click.option("--name", help="The worker's name.  [default: its address]")
@click.option(
    "--nthreads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads for convolutions.",
)
@click.option(
    "--memory-limit",
    default="auto",
    show_default=True,
    help='Memory the worker may use: "4GB", a share such as "0.5", "auto", or "0" for '
    "no limit.",
)
@click.option(
    "--nanny/--no-nanny",
    default=True,
    show_default=True,
    help="Watch over the worker by a second process, which starts it anew.",
)
@click.option(
    "--engine",
    type=click.Choice(("auto", "light", "tensorflow")),
    default="auto",
    show_default=True,
    help="What computes: LiteRT, in a tenth of the memory, or TensorFlow. auto: "
    "TensorFlow with --gpu, and else LiteRT where it is installed.",
)
@click.option(
    "--gpu",
    type=click.IntRange(min=0),
    metavar="INDEX",
    help="The one GPU to use.  [default: all that TensorFlow sees]",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    callback=_seconds,
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a scheduler that does not answer yet.",
)
@_network_options
@_tls_file("ca-file", "the authority's certificate")
@_tls_file("cert", "the worker's certificate")
@_tls_file("key", "the worker's private key")
def worker(
    address: str | None,
    tls_ca_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    **options: Any,
) -> None:
    """Run one worker for the scheduler at ADDRESS until the scheduler ends it.

    ADDRESS is what the scheduler printed when it was started, for example
    tcp://192.168.1.10:8786; by default what DASK_SCHEDULER_ADDRESS says. A worker that
    was cut off from its scheduler comes back, as soon as one answers there.
    """
    from fcdcc_keras.worker.process import serve

    files = {"ca-file": tls_ca_file, "cert": tls_cert, "key": tls_key}
    tls = {name: file for name, file in files.items() if file is not None}
    said = {name: options.pop(name.replace("-", "_")) for name in _NETWORK}
    network = {name: value for name, value in said.items() if value is not None}
    if "scheduler-file" in network:
        address = None
    elif address is None:
        raise click.UsageError(
            "A worker needs its scheduler. Received: neither ADDRESS nor "
            "--scheduler-file. Give what `dask scheduler` prints."
        )
    serve(address, tls=tls, network=network, **options)
