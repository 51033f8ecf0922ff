"""What Slurm is asked for, and what its answers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcdcc_keras.errors import ClusterError

WORKER = "fcdcc_keras.worker"
LOGS = "slurm-logs"
"""Folder of the jobs' output, below the one that they are submitted from."""
COLUMNS = "%i|%T|%r|%N"
"""Of ``squeue``: number, state, reason, node."""

_ADVICE = {
    "PENDING": "It waits ({reason}). See `squeue --start`; ask for less, or for "
    "another partition (`sinfo`), or give it longer: --patience",
    "RUNNING": "It runs on {node} and has not joined. See whether that reaches the "
    "scheduler's address, which --host or --interface says; its log: {log}",
    None: "It has ended. Its last words: {last!r}; all of them: {log}",
}


@dataclass(frozen=True)
class SlurmJob:
    """What became of a job."""

    number: str
    state: str | None
    """As Slurm calls it; None: it knows it no more."""
    reason: str = ""
    """Why it waits."""
    node: str = ""
    log: Path = Path()
    last: str = ""
    """Its last line."""


def options(
    *,
    cpus: int,
    memory: str,
    walltime: str,
    python: str | None,
    queue: str | None,
    account: str | None,
    host: str | None,
    interface: str | None,
    dashboard: str,
) -> dict[str, Any]:
    """Returns what ``dask_jobqueue.SLURMCluster`` is given.

    One worker a job: it has no nanny, for the job is submitted again when it ends.

    Args:
        cpus: Cores of a job, and threads of its worker.
        memory: Of a job, and so the most that its worker may take.
        walltime: Of a job, as "01:00:00".
        python: The Python on the nodes; None: this one's path.
        queue: The partition; None: Slurm's default.
        account: Whom it is charged to; None: likewise.
        host: The scheduler's address; None: Dask finds it out.
        interface: The network that scheduler and workers use; None: likewise.
        dashboard: Where the scheduler's pages are to be.
    """
    scheduler = {"dashboard_address": dashboard, "host": host}
    return {
        "cores": cpus,
        "processes": 1,
        "memory": memory,
        "walltime": walltime,
        "queue": queue,
        "account": account,
        # In place of the shell, so that Slurm's signals reach it.
        "python": None if python is None else f"exec {python}",
        "interface": interface,
        "worker_command": WORKER,
        "worker_extra_args": ["--no-nanny"],
        "log_directory": LOGS,
        "scheduler_options": {k: v for k, v in scheduler.items() if v is not None},
    }


def read_jobs(
    numbers: Sequence[str], rows: str, logs: Mapping[str, tuple[Path, str]]
) -> list[SlurmJob]:
    """Returns what became of jobs.

    Args:
        numbers: The jobs'.
        rows: What ``squeue`` wrote of them in ``COLUMNS``.
        logs: For each job its log and the last line of that.
    """
    known = {
        fields[0]: fields[1:] for fields in (r.split("|") for r in rows.splitlines())
    }
    found = []
    for number in numbers:
        log, last = logs[number]
        state, reason, node = known.get(number, (None, "", ""))
        found.append(SlurmJob(number, state, reason, node, log, last))
    return found


def away(
    wanted: int, there: int, patience: float, jobs: Sequence[SlurmJob]
) -> ClusterError:
    """Returns the error that says why workers are missing.

    Args:
        wanted: How many workers were to come.
        there: How many have come.
        patience: In how many seconds.
        jobs: Those whose workers have not.
    """
    lines = [
        f"\n  job {job.number}: "
        + _ADVICE.get(job.state, f"It is {job.state}").format(
            reason=job.reason, node=job.node, last=job.last, log=job.log
        )
        for job in jobs
    ]
    return ClusterError(
        f"{wanted} jobs must have become workers within {patience:g} s. Received: "
        f"{there}; of the others:{''.join(lines)}\nMend that, or ask for fewer: --jobs."
    )
