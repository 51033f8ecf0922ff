"""The command line: ``python -m cluster.slurm``."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import click

from cluster.commands import (
    FOR_PROGRAMS,
    ClusterCommand,
    dashboard_option,
    hold,
    patience_option,
)
from cluster.slurm.jobs import options as for_slurm
from fcdcc_keras.commands.faults import orderly_end
from fcdcc_keras.errors import ClusterError


@click.command(cls=ClusterCommand, context_settings=FOR_PROGRAMS)
@click.option(
    "--jobs", type=click.IntRange(min=1), required=True, help="Workers, each in one."
)
@click.option("--walltime", default="01:00:00", show_default=True, help="Of each job.")
@click.option(
    "--cpus",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Cores of each job.",
)
@click.option("--memory", default="2GB", show_default=True, help="Of each job.")
@click.option("--queue", help="The partition.  [default: Slurm's]")
@click.option("--account", help="Whom it is charged to.  [default: Slurm's]")
@click.option("--python", help="The Python on the nodes.  [default: this one's path]")
@click.option("--host", help="The scheduler's address.  [default: Dask finds it out]")
@click.option("--interface", help="The network to use, as ib0.  [default: likewise]")
@dashboard_option
@patience_option(600.0, "How long to wait for all of them at first.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def main(
    jobs: int,
    patience: float,
    python: str | None,
    command: tuple[str, ...],
    **options: Any,
) -> None:
    """Have workers in Slurm jobs, until Ctrl-C or COMMAND ends.

    The scheduler is in this process; a job that ends, as at its walltime, is submitted
    again. COMMAND finds the scheduler's address in DASK_SCHEDULER_ADDRESS, as a Dask
    client without arguments does.
    """
    if find_spec("dask_jobqueue") is None:
        raise ClusterError(
            "Jobs are submitted by a package of Dask's. Received: no module named "
            "'dask_jobqueue'. Install it here: pip install dask-jobqueue"
        )
    from cluster.slurm.launch import slurm_cluster

    said = for_slurm(python=python or sys.executable, **options)
    with orderly_end(), slurm_cluster(jobs, patience=patience, **said) as cluster:
        code = hold(cluster.scheduler_address, f"{jobs} workers", command)
    sys.exit(code)
