"""From what the user calls a cluster to an executor whose workers are checked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from fcdcc_keras.errors import ClusterError
from fcdcc_keras.execution.address import check_address
from fcdcc_keras.execution.base import Executor
from fcdcc_keras.execution.dask import DaskExecutor
from fcdcc_keras.execution.direct import DirectTransport
from fcdcc_keras.execution.embedded import (
    default_workers,
    start_local_cluster,
    stop_local_cluster,
)
from fcdcc_keras.execution.message_logs import keep_no_messages
from fcdcc_keras.execution.probe import prepare
from fcdcc_keras.execution.tasks import TaskTransport

if TYPE_CHECKING:
    from distributed import Client

CONNECT_TIMEOUT = 10.0
"""Seconds that a scheduler gets to answer."""
REACH_TIMEOUT = 3.0
"""Seconds that a worker gets to answer the client directly."""
JOIN_TIMEOUT = 60.0
"""Seconds that an adaptive cluster gets to bring up its workers."""

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
        stragglers: γ; only for the size of a local cluster.
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
        addresses = sorted(_addresses(client, workers))
        client.sync(prepare, client, addresses)
        client.sync(keep_no_messages, client)
        executor = client.sync(_executor, client, addresses, transport)
    except BaseException:
        disconnect()
        raise

    def cleanup() -> None:
        executor.close()
        disconnect()

    return executor, cleanup


async def _executor(
    client: Client, addresses: list[str], transport: TransportChoice
) -> DaskExecutor:
    if transport == "tasks" or (
        transport == "auto" and client.direct_to_workers is False
    ):
        return DaskExecutor(client, addresses, TaskTransport(client))
    direct = DirectTransport(client)
    silent = await _unreachable(direct, addresses)
    if not silent:
        return DaskExecutor(client, addresses, direct)
    await direct.close()
    if transport == "direct":
        raise ClusterError(
            "transport='direct' needs workers that the client reaches by their own "
            f"addresses. Received: no answer from {', '.join(silent)} within "
            f"{REACH_TIMEOUT:g} s. Open the network to them, or use "
            "transport='tasks', which goes through the scheduler."
        )
    return DaskExecutor(client, addresses, TaskTransport(client))


async def _unreachable(direct: DirectTransport, addresses: list[str]) -> list[str]:
    pings = [asyncio.wait_for(direct.ping(a), REACH_TIMEOUT) for a in addresses]
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
        try:
            client = Client(cluster, timeout=CONNECT_TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"A scheduler must answer within {CONNECT_TIMEOUT:g} s. Received: "
                f"cluster={cluster!r}, {type(error).__name__}: {error}. Start one "
                "with `dask scheduler`, or check the address and the firewall."
            ) from error
        except TypeError as error:  # of Dask, where there is no certificate for tls://
            raise ClusterError(
                "A scheduler with TLS takes clients that show a certificate. Received: "
                f"cluster={cluster!r}, {error}. Pass Client(address, "
                "security=Security(...)), or name the files in Dask's configuration."
            ) from error
        return client, client.close
    raise ClusterError(
        "`cluster` must be a distributed.Client, a scheduler address, a Dask "
        "cluster, an Executor, or None for a local one. Received: "
        f"cluster={cluster!r}. Pass one of these."
    )


def _sized(executor: Executor, workers: int | None) -> Executor:
    if workers is not None and workers != executor.workers:
        raise ClusterError(
            "`workers` must be the number of the executor's workers. Received: "
            f"workers={workers}, an executor of {executor.workers}. Leave `workers` "
            "out, or make the executor of that size."
        )
    return executor


def _addresses(client: Client, workers: int | None) -> list[str]:
    minimum = _adaptive_minimum(client)
    found = list(client.nthreads())
    if minimum is not None:
        needed = workers or max(minimum, len(found), 1)
        if minimum < needed:
            raise ClusterError(
                "An adaptive cluster must not take away the workers that hold "
                f"kernels. Received: adapt(minimum={minimum}) for {needed} workers. "
                f"Use cluster.adapt(minimum={needed}), or cluster.scale."
            )
        with suppress(TimeoutError):
            client.wait_for_workers(needed, timeout=JOIN_TIMEOUT)
        found = list(client.nthreads())
    if not found or (workers is not None and workers > len(found)):
        raise ClusterError(
            "The cluster must have the workers that are asked for. Received: "
            f"workers={workers}, a cluster of {len(found)}. Start more with "
            f"`fcdcc-keras worker {_scheduler_address(client)}`, or ask for fewer."
        )
    return found if workers is None else found[:workers]


def _scheduler_address(client: Client) -> str:
    scheduler: Any = client.scheduler
    return str(scheduler.address)


def _adaptive_minimum(client: Client) -> int | None:
    adaptive = getattr(client.cluster, "_adaptive", None)
    if adaptive is None:
        return None
    minimum: int = adaptive.minimum
    return minimum
