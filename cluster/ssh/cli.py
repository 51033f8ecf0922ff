"""The command line: ``python -m cluster.ssh``."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from cluster.commands import (
    FOR_PROGRAMS,
    ClusterCommand,
    dashboard_option,
    hold,
    patience_option,
)
from cluster.ssh.hosts import parse_hosts
from fcdcc_keras.commands.faults import orderly_end
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.worker.command import engine_option


@click.command(cls=ClusterCommand, context_settings=FOR_PROGRAMS)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A configuration of SSH in place of ~/.ssh/config.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8786,
    show_default=True,
    help="The scheduler's; 0: a free one.",
)
@dashboard_option
@engine_option("What the workers compute with, as of `fcdcc-keras worker`.")
@patience_option(60.0, "How long each process may take to start.")
@click.argument("hosts", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def main(hosts: Path, command: tuple[str, ...], **options: Any) -> None:
    """Bring the machines of a file up as a cluster, until Ctrl-C or COMMAND ends.

    HOSTS names a machine a line, first that of the scheduler: [user@]name[:port], and
    python=PATH, workers=N, address=IP as needed. COMMAND finds the scheduler's address
    in DASK_SCHEDULER_ADDRESS, as a Dask client without arguments does.
    """
    if find_spec("asyncssh") is None:
        raise ClusterError(
            "Machines are reached by a package for SSH. Received: no module named "
            "'asyncssh'. Install it here: pip install asyncssh"
        )
    from cluster.ssh.launch import ssh_cluster

    machines = parse_hosts(hosts.read_text("utf-8"))
    what = f"{sum(machine.workers for machine in machines)} workers"
    with orderly_end(), ssh_cluster(machines, **options) as cluster:
        code = hold(cluster.scheduler_address, what, command)
    sys.exit(code)
