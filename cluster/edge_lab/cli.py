"""The command line: ``python -m cluster.edge_lab``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from cluster.edge_lab import isolation, leftovers
from cluster.edge_lab.cgroups import Cgroup
from cluster.edge_lab.lab import EdgeLab, edge_lab
from cluster.edge_lab.network import CLIENT, device_host
from cluster.edge_lab.protocol import MARK
from cluster.edge_lab.requirements import check_requirements
from cluster.edge_lab.settings import Settings
from cluster.edge_lab.workers import scheduler_at
from fcdcc_keras.cli import Commands
from fcdcc_keras.worker import process as worker_process

ADDRESS = "EDGE_LAB_SCHEDULER"
"""Environment variable with the scheduler's address, in what runs in a lab."""
_DEFAULTS = Settings()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A cluster of weak devices on this machine, cut off from any other.

    Each device is a network namespace with a slow link, a share of a core and a
    Dask worker. Needs Linux and root. Nothing is left when a command ends, however
    it ends.
    """


def _lab_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--pin-client",
            type=int,
            metavar="CORE",
            help="Hold client and scheduler on one core.",
        ),
        click.option(
            "--client",
            type=click.Choice(("free", "device")),
            default=_DEFAULTS.client,
            show_default=True,
            help="Where client and scheduler are: with all cores and a link without "
            "limit, or together on one more device like the others.",
        ),
        click.option(
            "--engine",
            type=click.Choice(("auto", "light", "tensorflow")),
            default=_DEFAULTS.engine,
            show_default=True,
            help="What the workers compute with, as of `fcdcc-keras worker`.",
        ),
        click.option(
            "--latency",
            type=float,
            default=_DEFAULTS.latency,
            show_default=True,
            help="Seconds that each packet takes besides; needs netem in the kernel.",
        ),
        click.option(
            "--rate",
            default=_DEFAULTS.rate,
            show_default=True,
            help='Bits a second of each link, each way, or "none".',
        ),
        click.option(
            "--cpu",
            type=float,
            default=_DEFAULTS.cpu,
            show_default=True,
            help="Share of a core of each device; 0: no limit.",
        ),
        click.option(
            "--devices",
            type=int,
            default=_DEFAULTS.devices,
            show_default=True,
            help="Number of devices.",
        ),
    ):
        command = option(command)
    return command


def _lab(
    devices: int,
    cpu: float,
    rate: str,
    latency: float,
    engine: str,
    client: str,
    pin_client: int,
) -> Any:
    isolation.isolate()
    return edge_lab(
        devices,
        cpu or None,
        None if rate == "none" else rate,
        latency,
        pin_client=pin_client,
        engine=engine,
        client=client,
    )


_command = click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
_to_command = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@main.command(context_settings=_to_command)
@_lab_options
@_command
def run(command: tuple[str, ...], **options: Any) -> None:
    """Bring a lab up, run COMMAND in it, take it down.

    COMMAND finds the scheduler's address in EDGE_LAB_SCHEDULER. It may be a Python
    script.
    """
    with _lab(**options) as lab:
        code = _run(lab, list(command))
    sys.exit(code)


def _run(lab: EdgeLab, command: list[str]) -> int:
    command = isolation.as_program(command)
    environment = {**os.environ, ADDRESS: lab.scheduler_address, MARK: lab.name}
    if lab.client is not None:
        module = [sys.executable, "-m", "cluster.edge_lab"]
        command = [*module, "exec", "--lab", lab.name, "--", *command]
    try:
        process = subprocess.Popen(command, env=isolation.with_packages(environment))
    except OSError as error:
        raise isolation.no_such_program(command, error) from error
    while True:
        try:
            code = process.wait()
            return 128 - code if code < 0 else code
        except KeyboardInterrupt:  # it got the same Ctrl-C, and may want to clean up
            continue


@main.command()
@_lab_options
def up(**options: Any) -> None:
    """Bring a lab up and hold it until Ctrl-C.

    From another terminal, `exec` runs commands in it.
    """
    start = time.perf_counter()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt), _lab(**options) as lab:
        click.echo(
            f"Lab {lab.name} is up after {time.perf_counter() - start:.1f} s: "
            f"{len(lab.devices)} devices, scheduler at {lab.scheduler_address}."
        )
        click.echo("Ctrl-C ends it. To run a program in it, from another terminal:")
        click.echo(f"  python -m cluster.edge_lab exec --lab {lab.name} -- PROGRAM")
        signal.pause()


@main.command(name="exec", context_settings=_to_command)
@click.option("--lab", "name", help="Name of the lab.  [default: the only one]")
@_command
def exec_command(name: str | None, command: tuple[str, ...]) -> None:
    """Run COMMAND as client in a lab that `up` holds; it ends with the lab.

    It finds the scheduler's address in EDGE_LAB_SCHEDULER.
    """
    check_requirements()
    lab = leftovers.the_lab(name)
    isolation.enter(lab.network)
    host, environment = CLIENT, dict(os.environ)
    if lab.client is not None:
        lab.client.join()
        host = device_host(len(lab.cgroups))
        environment = worker_process.environment()  # a device has one core
    environment |= {ADDRESS: scheduler_at(host), MARK: lab.name}
    isolation.replace_process(list(command), environment)


@main.command(context_settings=_to_command)
@_command
def isolate(command: tuple[str, ...]) -> None:
    """Run COMMAND in a namespace without network, where it can make labs itself."""
    isolation.become_isolated(list(command))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def status(as_json: bool) -> None:
    """Show the labs on this machine, and what is left of dead ones."""
    rows: list[dict[str, Any]] = [
        {
            "name": lab.name,
            "alive": lab.alive,
            "devices": [_device(cgroup) for cgroup in lab.cgroups],
            **({} if lab.client is None else {"client": _device(lab.client)}),
        }
        for lab in leftovers.find_labs()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("There is no lab.")
    for row in rows:
        click.echo(
            f"Lab {row['name']}: {'up' if row['alive'] else 'dead; see `clean`'}"
        )
        named = {f"device {i}": device for i, device in enumerate(row["devices"])}
        if "client" in row:
            named["client"] = row["client"]
        for name, device in named.items():
            share = "no quota" if device["cpu"] is None else f"{device['cpu']:g} cores"
            click.echo(f"  {name}: {share}, {device['processes']} processes")


def _device(cgroup: Cgroup) -> dict[str, Any]:
    return {"cpu": cgroup.quota(), "processes": len(cgroup.processes())}


@main.command()
def clean() -> None:
    """Remove what is left of labs whose keeper was killed."""
    names = leftovers.remove_leftovers()
    click.echo(f"Removed: {', '.join(names)}." if names else "Nothing was left.")
