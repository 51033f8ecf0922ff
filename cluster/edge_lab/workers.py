"""Dask on the lab: a scheduler where the client is, a worker on each device.

Workers are started by the same command as on a real board, without a nanny.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cluster.edge_lab.process import DeviceProcess
from cluster.edge_lab.supervisor import Supervisor
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.worker import process as worker_process

if TYPE_CHECKING:
    from distributed import Client

_START_TIMEOUT = 180.0
"""Seconds that scheduler and workers together get to start."""
# Each loss of a worker is an error to Dask; here it is an experiment.
_QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical"}


def scheduler_at(host: str) -> str:
    """Returns the address of a lab's scheduler on a host."""
    return f"tcp://{host}:8786"


def start_scheduler(
    supervisor: Supervisor, index: int, host: str, cores: Iterable[int] | None
) -> DeviceProcess:
    """Starts the scheduler.

    Args:
        supervisor: The lab's.
        index: Of the device that it is to be on, or ``OUTSIDE``.
        host: The address that it has there.
        cores: The cores that it may use; None: all.
    """
    return supervisor.start(
        index,
        [
            *(sys.executable, "-m", "distributed.cli.dask_scheduler"),
            *("--host", host, "--port", "8786", "--no-dashboard"),
        ],
        env={**worker_process.environment(), **_QUIET},
        cores=cores,
    )


def start_worker(
    supervisor: Supervisor, index: int, scheduler: str, engine: str
) -> DeviceProcess:
    """Starts the worker of a device, without waiting for it."""
    return supervisor.start(
        index,
        worker_process.command(scheduler, memory_limit="0", nanny=False),
        env={**worker_process.environment(engine=engine), **_QUIET},
    )


def wait_until_warm(
    scheduler: str, processes: Mapping[str, DeviceProcess], gone: Sequence[str] = ()
) -> dict[str, str]:
    """Waits until workers have joined and have convolved once.

    Args:
        scheduler: Address of the one that they join.
        processes: The workers', by their hosts.
        gone: Addresses that the scheduler may hold of earlier workers.

    Returns:
        Their addresses, by their hosts.

    Raises:
        ClusterError: One ended, or took too long.
    """
    from distributed import Client

    from fcdcc_keras.execution.cluster.probe import prepare

    deadline = time.monotonic() + _START_TIMEOUT
    with Client(scheduler, timeout=_START_TIMEOUT, set_as_default=False) as client:
        while True:
            found = {
                host: address
                for address, host in _hosts(client).items()
                if host in processes and address not in gone
            }
            if len(found) == len(processes):
                break
            ended = [
                h for h, process in processes.items() if process.poll() is not None
            ]
            if ended or time.monotonic() > deadline:
                raise ClusterError(
                    f"The workers must join within {_START_TIMEOUT:g} s. Received: "
                    f"{len(found)} of {len(processes)}, while those on "
                    f"{ended or 'no device'} have ended. They said: "
                    f"{[processes[host].log()[-1000:] for host in ended]}."
                )
            time.sleep(0.05)
        lost = client.sync(prepare, client, sorted(found.values())).lacking
    if lost:
        raise ClusterError(
            "The workers must stay when they have joined. Received: "
            f"{'; '.join(f'{address}: {why}' for address, why in lost.items())}. See "
            "whether this machine has the memory for so many."
        )
    return found


def _hosts(client: Client) -> dict[str, str]:
    information: dict[str, Any] = client.scheduler_info(n_workers=-1)
    return {address: w["host"] for address, w in information["workers"].items()}
