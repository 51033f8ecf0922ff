"""Submits the jobs, and has those that end submitted again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask

from cluster.slurm.jobs import COLUMNS, LOGS, SlurmJob, away, read_jobs
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.text import causes

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster

_LOST = {"distributed.deploy.lost-worker-timeout": "5s"}
"""When the job of a worker that has left is submitted again; Dask's own are 15 s."""


@contextmanager
def slurm_cluster(
    jobs: int, *, patience: float, **options: Any
) -> Iterator[SLURMCluster]:
    """Has a scheduler in this process, and so many workers in jobs of their own.

    Args:
        jobs: How many; those that end are submitted again.
        patience: Seconds in which all must have joined at first.
        **options: Of ``jobs.options``, as it returns them.

    Raises:
        ClusterError: Slurm does not take such jobs, or workers are missing.
    """
    with dask.config.set(_LOST), _cluster(options) as cluster:
        _check(cluster.job_script())
        cluster.adapt(minimum=jobs, maximum=jobs)
        with suppress(asyncio.TimeoutError):
            cluster.wait_for_workers(jobs, timeout=patience)
        there = {each["name"] for each in cluster.scheduler_info["workers"].values()}
        if len(there) < jobs:
            missing = {
                str(job.job_id)
                for name, job in cluster.workers.items()
                if name not in there
            }
            raise away(jobs, len(there), patience, _look(missing))
        yield cluster


def _cluster(options: Mapping[str, Any]) -> SLURMCluster:
    interrupted = signal.getsignal(signal.SIGINT)
    from dask_jobqueue import SLURMCluster

    signal.signal(signal.SIGINT, interrupted)  # which that takes when it is imported
    try:
        return SLURMCluster(**options)
    except (OSError, RuntimeError, ValueError) as error:
        *_, first = causes(error)  # what it fails by afterwards says nothing
        raise ClusterError(
            "A scheduler must be able to start on this machine, for jobs as asked for. "
            f"Received: {first}, with {options['scheduler_options']}, interface="
            f"{options['interface']} and memory={options['memory']}. Give an address "
            "or a network of this machine: --host, --interface; and --memory as 2GB."
        ) from error


def _check(script: str) -> None:
    """Has Slurm judge a job without submitting it.

    Raises:
        ClusterError: It would not take it, or there is no Slurm.
    """
    try:
        done = subprocess.run(
            ["sbatch", "--test-only"], input=script, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise ClusterError(
            "Jobs are submitted where Slurm's programs are. Received: no program "
            "'sbatch'. Run this on a login node of your cluster."
        ) from error
    if done.returncode:
        header = [line for line in script.splitlines() if line.startswith("#SBATCH")]
        raise ClusterError(
            f"Slurm must take the jobs. Received: {done.stderr.strip()}, for:\n  "
            + "\n  ".join(header)
            + "\nSee `sinfo` for partitions and their limits, and give what is allowed "
            "by --queue, --account, --walltime, --cpus, --memory."
        )


def _look(numbers: set[str]) -> list[SlurmJob]:
    ordered = sorted(numbers)
    listed = subprocess.run(
        ["squeue", "--noheader", "--format", COLUMNS, "--jobs", ",".join(ordered)],
        capture_output=True,
        text=True,
    )
    logs = {number: _log(number) for number in ordered}
    return read_jobs(ordered, listed.stdout, logs)


def _log(number: str) -> tuple[Path, str]:
    """Returns where a job's log is, and its last line."""
    file = next(Path(LOGS).glob(f"*-{number}.err"), Path(LOGS))
    with suppress(OSError):
        return file, (file.read_text().strip().splitlines() or [""])[-1]
    return file, ""
