"""The command ``fcdcc-keras worker``, which is ``python -m fcdcc_keras.worker``, too.

Its arguments are those of ``dask worker``, in their order and by their names, so that
whatever starts that can start this.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import click

from fcdcc_keras.errors import FcdccError
from fcdcc_keras.worker.installed import MEMORY
from fcdcc_keras.worker.process import GRACE, WAIT
from fcdcc_keras.worker.tls import FILES, parameter_of, tls_options

_AS_THEY_ARE = {
    "scheduler-file": "What `dask scheduler --scheduler-file` writes, for ADDRESS.",
    "host": "The worker's own address, where it has several.",
    "interface": "The network interface to use, as eth0.",
    "protocol": "How the worker is reached, as tcp.  [default: as its scheduler]",
    "worker-port": "The worker's port, or a range to take one from, as 3000:3010.",
    "nanny-port": "The same for the process that watches over it.",
    "listen-address": "Where the worker listens, as tcp://0.0.0.0:9000, if others do "
    "not reach it by that.",
    "contact-address": "What others reach it by, as tcp://gateway:9000; with "
    "--listen-address.",
    "scheduler-sni": "The scheduler's name in its certificate, if that is another.",
    "dashboard-address": "Where the worker's HTTP server listens.  [default: :0]",
    "local-directory": "For the worker's files.",
    "pid-file": "A file to write the number of the process to.",
    "resources": 'What tasks may ask for, as "GPU=1".',
    "lifetime": "Time after which the worker ends, as 55m.",
    "lifetime-stagger": "Time by which that may differ, by chance, as 4m.",
}
"""Options that go to ``dask worker`` as they are."""


class WorkerCommand(click.Command):
    """Shows the package's own errors as one message, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except FcdccError as error:
            raise click.ClickException(str(error)) from error


def _as_they_are(command: Callable[..., None]) -> Callable[..., None]:
    for name, what in reversed(_AS_THEY_ARE.items()):
        command = click.option(f"--{name}", metavar="TEXT", help=what)(command)
    return command


def engine_option(what: str) -> Callable[[Callable[..., None]], Any]:
    """Returns the option that says what workers compute with."""
    return click.option(
        "--engine",
        type=click.Choice(("auto", *MEMORY)),
        default="auto",
        show_default=True,
        help=what,
    )


def _module(name: str, what: str) -> Callable[[Callable[..., None]], Any]:
    return click.option(f"--{name}", multiple=True, metavar="MODULE", help=what)


def _seconds(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> float | None:
    """Returns seconds, given as such or as Dask reads times, as 5m."""
    if value is None:
        return None
    from dask.utils import parse_timedelta

    try:
        seconds = float(parse_timedelta(value))
    except (ValueError, KeyError):
        seconds = math.nan
    if not seconds >= 0:  # NaN is in no range
        raise click.BadParameter(
            f"It must be a time. Received: {value}. Write for example 60, or 5m."
        )
    return seconds


def _time(
    name: str, default: float | None, what: str
) -> Callable[[Callable[..., None]], Any]:
    return click.option(
        f"--{name}",
        callback=_seconds,
        default=None if default is None else f"{default:g}",
        show_default=default is not None,
        metavar="SECONDS",
        help=what,
    )


def _workers(ctx: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """Returns how many workers; None: as many as the machine can have."""
    if value == "auto":
        return None
    if not value.isdecimal() or not int(value):
        raise click.BadParameter(
            f"It must be a number from 1, or auto. Received: {value}. Write for "
            "example --nworkers 4."
        )
    return int(value)


@click.command(
    cls=WorkerCommand, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.argument("address", required=False, envvar="DASK_SCHEDULER_ADDRESS")
@click.option(
    "--name", help="The worker's name; of several, NAME-0, …  [default: its address]"
)
@click.option(
    "--nworkers",
    default="1",
    show_default=True,
    callback=_workers,
    metavar="N",
    help="How many workers. auto: one for every --nthreads cores, as far as the "
    "memory is enough.",
)
@click.option(
    "--nthreads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads for convolutions, of each worker.",
)
@click.option(
    "--memory-limit",
    default="auto",
    show_default=True,
    help='Memory each worker may use: "4GB", a share such as "0.5", "auto", or "0" for '
    "no limit.",
)
@click.option(
    "--nanny/--no-nanny",
    default=True,
    show_default=True,
    help="Watch over the worker by a second process, which starts it anew.",
)
@engine_option(
    "What computes: LiteRT, in a tenth of the memory, or TensorFlow. auto: TensorFlow "
    "with --gpu, and else LiteRT where it is installed."
)
@click.option(
    "--gpu",
    type=click.IntRange(min=0),
    metavar="INDEX",
    help="The one GPU to use.  [default: all that TensorFlow sees]",
)
@_time("wait", WAIT, "How long to wait for a scheduler that does not answer yet.")
@_time(
    "death-timeout",
    None,
    "The same, also whenever the worker was cut off.  [default: then for ever]",
)
@_time(
    "grace",
    GRACE,
    "How long to go on with what it has begun when it is told to end (SIGTERM).",
)
@click.option(
    "--dashboard/--no-dashboard",
    default=False,
    show_default=True,
    help="Have a page for the worker itself.",
)
@_as_they_are
@_module("preload", "A module that the worker loads at its start; for several, again.")
@_module("preload-nanny", "The same for the process that watches over it.")
@tls_options("worker")
def worker(
    address: str | None,
    nworkers: int | None,
    wait: float,
    death_timeout: float | None,
    dashboard: bool,
    preload: tuple[str, ...],
    preload_nanny: tuple[str, ...],
    **options: Any,
) -> None:
    """Run workers for the scheduler at ADDRESS until it ends them, or SIGTERM does.

    ADDRESS is what the scheduler printed when it was started, for example
    tcp://192.168.1.10:8786; by default what DASK_SCHEDULER_ADDRESS says. A worker that
    was cut off from its scheduler comes back, as soon as one answers there.
    """
    from fcdcc_keras.worker.process import serve

    said = {name: options.pop(name.replace("-", "_")) for name in _AS_THEY_ARE}
    said |= {f"tls-{name}": options.pop(parameter_of(name)) for name in FILES}
    more = [(name, text) for name, text in said.items() if text is not None]
    more += [("preload", module) for module in preload]
    more += [("preload-nanny", module) for module in preload_nanny]
    if said["scheduler-file"] is not None:
        address = None
    elif address is None:
        raise click.UsageError(
            "A worker needs its scheduler. Received: neither ADDRESS nor "
            "--scheduler-file. Give what `dask scheduler` prints."
        )
    serve(
        address,
        workers=nworkers,
        wait=wait if death_timeout is None else death_timeout,
        wait_again=math.inf if death_timeout is None else death_timeout,
        more=tuple(more),
        dashboard=dashboard,
        **options,
    )
