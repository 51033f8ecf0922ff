"""From what the user calls a cluster to an executor whose workers are checked."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

from fcdcc_keras.dask_internals import adaptive_minimum, scheduler_of, workers_of
from fcdcc_keras.errors import ClusterError
from fcdcc_keras.execution.cluster import patience
from fcdcc_keras.execution.cluster.embedded import (
    default_workers,
    start_local_cluster,
    stop_local_cluster,
)
from fcdcc_keras.execution.cluster.hold import Hold
from fcdcc_keras.execution.cluster.patience import (
    close_client,
    knock,
    while_scheduler_answers,
)
from fcdcc_keras.execution.cluster.probe import prepare
from fcdcc_keras.execution.executors.base import Executor
from fcdcc_keras.execution.executors.dask import DaskExecutor
from fcdcc_keras.text import text_of
from fcdcc_keras.wire.direct import DirectTransport
from fcdcc_keras.wire.message_logs import keep_no_messages
from fcdcc_keras.wire.tasks import TaskTransport
from fcdcc_keras.worker.address import check_address

if TYPE_CHECKING:
    from distributed import Client, Security

REACH_TIMEOUT = 3.0
"""Seconds that a worker gets to answer the client directly."""
JOIN_TIMEOUT = 60.0
"""Seconds that an adaptive cluster gets to bring up its workers."""
_JOIN_PAUSE = 0.2
"""Seconds between looks whether it has."""

Cleanup = Callable[[], None]
TransportChoice = Literal["auto", "tasks", "direct"]
TRANSPORTS: tuple[TransportChoice, ...] = ("auto", "tasks", "direct")


def connect(
    cluster: object,
    workers: int | None,
    stragglers: int,
    transport: TransportChoice = "auto",
) -> tuple[Executor, Cleanup]:
    """Returns an executor on the user's cluster, or on one started for it.

    Args:
        cluster: A client, a scheduler address, a Dask cluster, an executor, or
            None for a local cluster.
        workers: n; None: all that the cluster has.
        stragglers: γ; for the size of a local cluster, and how many workers may lack
            memory.
        transport: "direct", "tasks", or "auto": direct where the client reaches the
            workers. An executor of the user's keeps its own.

    Returns:
        The executor, and what ends whatever was started for it.

    Raises:
        ClusterError: The cluster is unreachable, too small, or its workers do not
            fit this client.
    """
    if isinstance(cluster, Executor):
        return _sized(cluster, workers), lambda: None  # it is the user's
    client, disconnect = _client(cluster, workers, stragglers)
    try:
        found = client.sync(_addresses, client, workers)
        _leave_thread(found)
        processes = client.sync(_ready, client, found, workers, stragglers)
        client.sync(while_scheduler_answers, client, keep_no_messages, client)
        client.sync(while_scheduler_answers, client, client.register_plugin, Hold())
        executor = client.sync(_executor, client, processes, transport)
    except BaseException:
        disconnect()
        raise

    def cleanup() -> None:
        try:
            executor.close()
        finally:
            disconnect()

    return executor, cleanup


async def _executor(
    client: Client, processes: dict[str, str], transport: TransportChoice
) -> DaskExecutor:
    executor = await _by_transport(client, processes, transport)
    executor.members.listen()
    return executor


async def _by_transport(
    client: Client, processes: dict[str, str], transport: TransportChoice
) -> DaskExecutor:
    addresses = list(processes)
    if transport == "tasks" or (
        transport == "auto" and client.direct_to_workers is False
    ):
        return DaskExecutor(client, addresses, TaskTransport(client), processes)
    direct = DirectTransport(client)
    silent = await _unreachable(direct, addresses)
    if not silent:
        return DaskExecutor(client, addresses, direct, processes)
    await direct.close()
    if transport == "direct":
        raise ClusterError(
            "transport='direct' needs workers that the client reaches by their own "
            f"addresses. Received: no answer from {', '.join(silent)} within "
            f"{REACH_TIMEOUT:g} s. Open the network to them, or use "
            "transport='tasks', which goes through the scheduler."
        )
    return DaskExecutor(client, addresses, TaskTransport(client), processes)


async def _unreachable(direct: DirectTransport, addresses: list[str]) -> list[str]:
    pings = [asyncio.wait_for(direct.reach(a), REACH_TIMEOUT) for a in addresses]
    answers = await asyncio.gather(*pings, return_exceptions=True)
    pairs = zip(addresses, answers, strict=True)
    return [a for a, answer in pairs if isinstance(answer, BaseException)]


def _client(
    cluster: object, workers: int | None, stragglers: int
) -> tuple[Client, Cleanup]:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

    if cluster is None:
        client = start_local_cluster(workers or default_workers(stragglers))
        return client, lambda: stop_local_cluster(client)
    if isinstance(cluster, Client):
        if cluster.asynchronous:
            raise ClusterError(
                "The client must be synchronous, since Keras calls layers "
                "synchronously. Received: Client(asynchronous=True). Pass "
                "Client(address), or the scheduler's address."
            )
        if cluster.status != "running":
            raise ClusterError(
                "The client must be connected to its scheduler. Received: a client "
                f"with status {cluster.status!r}. Make a new Client(address)."
            )
        return cluster, lambda: None
    if isinstance(cluster, Cluster) and cluster.asynchronous:
        raise ClusterError(
            "The cluster must be synchronous, since Keras calls layers synchronously. "
            "Received: a cluster with asynchronous=True. Make it without, or pass its "
            "address."
        )
    if isinstance(cluster, str):
        check_address(cluster)
    if isinstance(cluster, str | Cluster):
        within = patience.SCHEDULER_TIMEOUT
        try:
            knock(*_entrance(cluster))
            client = Client(cluster, timeout=within, set_as_default=False)
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            raise ClusterError(
                f"A scheduler must answer within {within:g} s. Received: "
                f"cluster={cluster!r}, {text_of(error)}. Start one "
                "with `dask scheduler`, or check the address and the firewall."
            ) from error
        except TypeError as error:  # of Dask, where there is no certificate for tls://
            raise ClusterError(
                "A scheduler with TLS takes clients that show a certificate. Received: "
                f"cluster={cluster!r}, {error}. Pass Client(address, "
                "security=Security(...)), or name the files in Dask's configuration."
            ) from error
        return client, lambda: close_client(client)
    raise ClusterError(
        "`cluster` must be a distributed.Client, a scheduler address, a Dask "
        "cluster, an Executor, or None for a local one. Received: "
        f"cluster={cluster!r}. Pass one of these."
    )


def _entrance(cluster: Any) -> tuple[str, Security]:
    """Returns a scheduler's address, and the certificates for it."""
    from distributed import Security

    if isinstance(cluster, str):
        return cluster, Security()
    return cluster.scheduler_address, cluster.security or Security()


def _sized(executor: Executor, workers: int | None) -> Executor:
    if workers is not None and workers != executor.workers:
        raise ClusterError(
            "`workers` must be the number of the executor's workers. Received: "
            f"workers={workers}, an executor of {executor.workers}. Leave `workers` "
            "out, or make the executor of that size."
        )
    return executor


async def _addresses(client: Client, workers: int | None) -> list[str]:
    minimum = adaptive_minimum(client.cluster)
    found = await _there(client)
    if minimum is not None:
        needed = workers or max(minimum, len(found), 1)
        if minimum < needed and len(found) < needed:
            raise ClusterError(
                "An adaptive cluster must bring up the workers that a model is "
                f"distributed over. Received: adapt(minimum={minimum}) for {needed} "
                f"workers, of which {len(found)} are there. Use "
                f"cluster.adapt(minimum={needed}), or cluster.scale."
            )
        deadline = time.monotonic() + JOIN_TIMEOUT
        while len(found) < needed and time.monotonic() < deadline:
            await asyncio.sleep(_JOIN_PAUSE)
            found = await _there(client)
    if not found or (workers is not None and workers > len(found)):
        raise ClusterError(
            "The cluster must have the workers that are asked for. Received: "
            f"workers={workers}, a cluster of {len(found)}. Start more with "
            f"`fcdcc-keras worker {_scheduler_address(client)}`, or ask for fewer."
        )
    return found


async def _ready(
    client: Client, found: Sequence[str], workers: int | None, stragglers: int
) -> dict[str, str]:
    """Returns the processes that are ready, by address; those that end are replaced."""
    trying, spare = found[:workers], found[len(found[:workers]) :]
    ready: dict[str, str] = {}
    lacking: dict[str, str] = {}
    while trying:
        prepared = await prepare(client, trying)
        ready |= prepared.processes
        lacking |= prepared.lacking
        lost = len(prepared.lacking)
        trying, spare = spare[:lost], spare[lost:]
    if lacking:
        needed = stragglers + 1 if workers is None else workers
        said = "; ".join(f"{address}: {why}" for address, why in lacking.items())
        if len(ready) < needed:
            raise ClusterError(
                f"{needed} workers must have the memory that they need. Received: "
                f"{len(ready)}, and {said}. Start them with a higher --memory-limit, "
                "or on machines with more memory."
            )
        warnings.warn(
            f"The model is distributed without {len(lacking)} of {len(found)} "
            f"workers. {said}. Start them with a higher --memory-limit.",
            RuntimeWarning,
            stacklevel=2,
        )
    return dict(sorted(ready.items()))


def _leave_thread(addresses: Collection[str]) -> None:
    """Within a Dask task, has its worker run others beside it: ours, before it ends."""
    from distributed import get_worker, secede

    try:
        worker = get_worker()
        if worker.address in addresses:
            worker.get_current_task()
            secede()
    except ValueError:  # on no worker
        return
    except KeyError:  # in no task, or one that has done so, as with worker_client
        return


async def _there(client: Client) -> list[str]:
    return list(await while_scheduler_answers(client, workers_of, client))


def _scheduler_address(client: Client) -> str:
    return str(scheduler_of(client).address)
