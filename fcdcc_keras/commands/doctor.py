"""``fcdcc-keras doctor``."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fcdcc_keras.worker.tls import security_of, tls_options

if TYPE_CHECKING:
    from fcdcc_keras.doctor.expectation import Expectation
    from fcdcc_keras.doctor.findings import Findings


def _seconds(ctx: click.Context, parameter: click.Parameter, value: float) -> float:
    """Returns seconds; NaN is in no range, but click does not see that."""
    if math.isnan(value):
        raise click.BadParameter(f"Seconds must be a number. Received: {value}.")
    return value


@click.command(name="doctor")
@click.argument("address", required=False, envvar="DASK_SCHEDULER_ADDRESS")
@click.option(
    "--scheduler-file",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="What `dask scheduler --scheduler-file` writes, for ADDRESS.",
)
@click.option(
    "--expect",
    multiple=True,
    metavar="NAMES",
    help="Workers that should be there, or machines that should have one: names or "
    "addresses, with commas between. May be given again.",
)
@click.option(
    "--hosts-file",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="The same, one a line.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="Say what can be expected for it, and whether the workers have the memory: a "
    "model as `fcdcc-keras plan` takes. May be given again.",
)
@click.option(
    "--stragglers",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="γ, the workers that may be missing.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1, max=3600),
    callback=_seconds,
    default=15,
    show_default=True,
    metavar="SECONDS",
    help="How long all questions to the cluster may take.",
)
@tls_options("client")
@click.option("--json", "as_json", is_flag=True, help="Print all as JSON.")
def doctor(
    address: str | None,
    scheduler_file: str | None,
    expect: tuple[str, ...],
    hosts_file: str | None,
    models: tuple[str, ...],
    stragglers: int,
    timeout: float,
    as_json: bool,
    **tls: str | None,
) -> None:
    """Find out what ails the cluster of the scheduler at ADDRESS, and how to mend it.

    Asks scheduler and workers what they run, tries the ways between them, and has the
    workers convolve for a moment. Exit status 0: fk.distribute would work.
    """
    from rich.console import Console

    from fcdcc_keras.doctor.diagnosis import diagnose
    from fcdcc_keras.doctor.probes import Patience, examine
    from fcdcc_keras.doctor.show import is_well, show, to_json

    given = _address(address, scheduler_file)
    security, names = security_of("client", tls), _names(expect, hosts_file)
    messages = Console(stderr=True)
    status = messages.status("") if messages.is_terminal else nullcontext()
    with status as shown:
        tell = (lambda text: None) if shown is None else shown.update
        found = examine(given, security, names, Patience.within(timeout), tell)
        expectations = _expectations(found, models, stragglers, tell)
    troubles = diagnose(found, stragglers, expectations)
    if as_json:
        click.echo(json.dumps(to_json(found, troubles, expectations), indent=1))
    else:
        show(Console(), found, troubles, expectations)
    sys.exit(0 if is_well(troubles) else 1)


def _address(address: str | None, file: str | None) -> str:
    if file is not None:
        try:
            return str(json.loads(Path(file).read_text("utf-8"))["address"])
        except (ValueError, LookupError, TypeError) as error:
            raise click.UsageError(
                "--scheduler-file must be one that `dask scheduler --scheduler-file` "
                f"wrote. Received: {file!r}, without an address. Start the scheduler "
                "with it, or give ADDRESS."
            ) from error
    if address is None:
        raise click.UsageError(
            "The doctor needs a scheduler. Received: neither ADDRESS nor "
            "--scheduler-file. Give what `dask scheduler` prints."
        )
    return address


def _names(expect: Sequence[str], file: str | None) -> list[str]:
    lines = [] if file is None else Path(file).read_text("utf-8").splitlines()
    written = (line.partition("#")[0].split() for line in lines)
    hosts = [_machine(words[0]) for words in written if words]
    said = [name.strip() for name in ",".join(expect).split(",")]
    return list(dict.fromkeys(filter(None, hosts + said)))


def _machine(word: str) -> str:
    """Returns the machine of ``user@name:port``, as files of hosts have it."""
    name = word.rpartition("@")[2]
    return name.partition(":")[0] if name.count(":") == 1 else name  # else it is IPv6


def _expectations(
    found: Findings,
    models: Sequence[str],
    stragglers: int,
    tell: Callable[[str], Any],
) -> list[Expectation]:
    if not models or not found.workers:
        return []
    tell("loading TensorFlow")
    # Read when TensorFlow is loaded.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from fcdcc_keras.backend import check_backend

    check_backend()
    from fcdcc_keras.commands.models import architecture
    from fcdcc_keras.doctor.expecting import expect

    return expect(
        found, [(m, partial(architecture, m)) for m in models], stragglers, tell
    )
